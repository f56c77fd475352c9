"""Configurations of this project's own studies. Presets for everybody: :mod:`smac_jax.presets`."""
