"""The types that all other modules share.

Shapes are written in jaxtyping's notation, such as ``Float[Array, "batch action"]``. A leading ``*batch`` stands for
any number of axes. The axes of seeds and of ensembles are not written, because functions outside ``train/`` are for one
seed and are lifted by ``vmap``.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

import jax
import numpy as np
from jaxtyping import Float

Array: TypeAlias = jax.Array
AnyArray: TypeAlias = jax.Array | np.ndarray
"""The type of arguments that may also be NumPy arrays."""
Key: TypeAlias = jax.Array
Params: TypeAlias = dict


class Sometimes(NamedTuple):
    """A metric that is not computed in every step.

    Missing values are not NaN, so that ``jax_debug_nans`` finds real errors only.

    Attributes:
      value: the mean over the steps that have the metric; 0.0 if there are none.
      steps: the number of steps that have it.
    """

    value: Float[Array, ""]
    steps: Float[Array, ""]


Metrics: TypeAlias = dict[str, Any]
"""Metrics by name. Each is an array or a :class:`Sometimes`."""


class Transition(NamedTuple):
    """One step of experience, or a batch of them.

    Attributes:
      observation: the observation before the action, in the environment's own units.
      action: the action, in ``[-1, 1]``.
      reward: the reward of the action.
      next_observation: the observation after the action. At the end of an episode it is the last one of *that* episode.
      terminal: 1.0 if the task terminated (no bootstrap), and 0.0 otherwise, also at a time limit.
      condition: the return of the whole trajectory, min-max normalized over the data set (the ``w`` of SMAC's score
        model); 0.0 for transitions that are not from a data set.
      return_to_go: the discounted sum of the rewards from this step to the end of the trajectory (Cal-QL's lower
        bound); 0.0 if no algorithm needs it.
      next_action: the logged action at ``next_observation``, which ReBRAC's penalty of the critics needs; None if no
        algorithm needs it.
    """

    observation: Float[Array, "*batch observation"]
    action: Float[Array, "*batch action"]
    reward: Float[Array, "*batch"]
    next_observation: Float[Array, "*batch observation"]
    terminal: Float[Array, "*batch"]
    condition: Float[Array, "*batch"]
    return_to_go: Float[Array, "*batch"]
    next_action: Float[Array, "*batch action"] | None = None
