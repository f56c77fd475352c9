"""Readers of data sets, one module for each kind of source. Each returns a :class:`smac_jax.data.Dataset`."""
