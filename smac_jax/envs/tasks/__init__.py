"""Tasks: model, reset, observation, reward, termination. One file each, in that order, equal to Gymnasium's.

The files differ where the tasks differ and nowhere else; see :class:`smac_jax.envs.base.Task`.
"""
