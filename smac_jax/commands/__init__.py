"""The programs of the command line, a file each; :mod:`smac_jax.cli` runs them by name."""
