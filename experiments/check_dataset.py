"""The command ``smac-jax check-dataset``, in a checkout: ``python -m experiments.check_dataset --help``."""

from smac_jax.cli import run_command

if __name__ == "__main__":
    run_command("check-dataset")
