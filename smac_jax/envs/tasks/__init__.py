"""Tasks, one module for each: model, reset, observation, reward and termination, in this order.

The modules have the same structure, so that they differ only where the tasks differ; see
:class:`smac_jax.envs.base.Task`.
"""
