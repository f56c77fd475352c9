"""The nouns that every other module speaks in.

Shapes in this project are written in jaxtyping's notation: ``Float[Array, "batch action"]``. A leading ``*batch``
stands for any number of axes; a seed axis or an ensemble axis is never written, because no function below ``train/``
knows of it.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

import jax
import numpy as np
from jaxtyping import Float

Array: TypeAlias = jax.Array
AnyArray: TypeAlias = jax.Array | np.ndarray
"""What is taken where NumPy's arrays are welcome, too."""
Key: TypeAlias = jax.Array
Params: TypeAlias = dict


class Sometimes(NamedTuple):
    """A metric that not every step has: its mean over the steps that have it.

    A number of steps, and not NaN, says that there is none: then ``jax_debug_nans`` finds what broke, and nothing else.

    Attributes:
      value: the mean; 0.0 where no step has it.
      steps: how many have it.
    """

    value: Float[Array, ""]
    steps: Float[Array, ""]


Metrics: TypeAlias = dict[str, Any]
"""Each an array, or a :class:`Sometimes`."""


class Transition(NamedTuple):
    """One step of experience, or a batch of them.

    Attributes:
      observation: what the agent saw, in the environment's own units.
      action: what it did, in ``[-1, 1]``.
      reward: what it earned.
      next_observation: what it saw next; at the end of an episode the last observation of *that* episode.
      terminal: 1.0 where the task ended (no bootstrap), 0.0 elsewhere, at a time limit too.
      condition: the return of the whole trajectory, min-max normalized over the data set (the ``w`` of SMAC's score
        model); 0.0 for transitions that do not come from a data set.
      return_to_go: the discounted sum of the rewards from here to the trajectory's end (Cal-QL's lower bound), where an
        algorithm asked for it; else 0.0.
      next_action: what the data do at ``next_observation`` (ReBRAC's penalty of the critics), where an algorithm asked
        for it; else None.
    """

    observation: Float[Array, "*batch observation"]
    action: Float[Array, "*batch action"]
    reward: Float[Array, "*batch"]
    next_observation: Float[Array, "*batch observation"]
    terminal: Float[Array, "*batch"]
    condition: Float[Array, "*batch"]
    return_to_go: Float[Array, "*batch"]
    next_action: Float[Array, "*batch action"] | None = None
