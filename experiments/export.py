"""The command ``smac-jax export``, in a checkout: ``python -m experiments.export --help``."""

from smac_jax.cli import run_command

if __name__ == "__main__":
    run_command("export")
