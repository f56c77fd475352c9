"""The command ``smac-jax evaluate``, in a checkout: ``python -m experiments.evaluate --help``."""

from smac_jax.cli import run_command

if __name__ == "__main__":
    run_command("evaluate")
