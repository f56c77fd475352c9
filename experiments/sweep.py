"""The command ``smac-jax sweep``, in a checkout: ``python -m experiments.sweep --help``."""

from smac_jax.cli import run_command

if __name__ == "__main__":
    run_command("sweep")
