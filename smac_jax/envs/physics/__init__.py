"""Physics engines, one module for each. All satisfy the contract of :class:`smac_jax.envs.base.Engine`."""
