"""The command ``smac-jax make-dataset``, in a checkout: ``python -m experiments.make_dataset --help``."""

from smac_jax.cli import run_command

if __name__ == "__main__":
    run_command("make-dataset")
