"""The command ``smac-jax report``, in a checkout: ``python -m experiments.report --help``."""

from smac_jax.cli import run_command

if __name__ == "__main__":
    run_command("report")
