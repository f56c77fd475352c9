"""The command ``smac-jax status``, in a checkout: ``python -m experiments.status --help``."""

from smac_jax.cli import run_command

if __name__ == "__main__":
    run_command("status")
