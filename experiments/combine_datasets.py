"""The command ``smac-jax combine-datasets``, in a checkout: ``python -m experiments.combine_datasets --help``."""

from smac_jax.cli import run_command

if __name__ == "__main__":
    run_command("combine-datasets")
