"""The command ``smac-jax landscape``, in a checkout: ``python -m experiments.landscape --help``."""

from smac_jax.cli import run_command

if __name__ == "__main__":
    run_command("landscape")
