"""The command ``smac-jax compare``, in a checkout: ``python -m experiments.compare --help``."""

from smac_jax.cli import run_command

if __name__ == "__main__":
    run_command("compare")
