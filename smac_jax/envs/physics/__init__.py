"""Engines: what moves the bodies. One file each, all with the contract of :class:`smac_jax.envs.base.Engine`."""
