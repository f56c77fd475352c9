"""Readers, a file for each kind of source: all give the arrays of a :class:`smac_jax.data.Dataset`."""
