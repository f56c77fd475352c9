"""The share of each online batch that comes from the offline data: a constant, or one that changes in time.

SMAC's protocol and RLPD (Ball et al. 2023, arXiv 2302.02948) have a constant half, WSRL (Zhou et al. 2024, arXiv
2412.07762) has none.
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Float, Int

from smac_jax.config import real_number, whole_number
from smac_jax.errors import ConfigError
from smac_jax.types import Array


class DataFraction(NamedTuple):
    """The share as a function of the environment step: linear between two constants.

    Attributes:
      first, last: the shares at the beginning and at the end, in [0, 1].
      begins: the environment step at which the share begins to change.
      steps: the number of environment steps in which it changes.
    """

    first: float
    last: float
    begins: int
    steps: int

    @classmethod
    def constant(cls, share: float) -> DataFraction:
        """Returns a share that never changes."""
        return cls(share, share, begins=0, steps=1)

    @property
    def is_constant(self) -> bool:
        """Returns whether the share never changes."""
        return self.first == self.last

    def at(self, step: Int[Array, ""]) -> Float[Array, ""]:
        """Returns the share at an environment step, ``[]``."""
        done = jnp.clip((step - self.begins) / self.steps, 0.0, 1.0)
        return jnp.asarray(self.first + (self.last - self.first) * done, jnp.float32)


def data_fraction_from(
    first: float, last: float | None, steps: int | None, warm_start: int, num_steps: int
) -> DataFraction:
    """Checks the arguments of :func:`smac_jax.finetune`.

    Args:
      first, last: ``data_fraction`` and ``final_data_fraction``, which is None for a constant share.
      steps: ``data_fraction_steps``; None for all of ``num_steps``.
      warm_start: the share begins to change after so many environment steps, when learning begins.
      num_steps: the number of environment steps after the warm start.

    Raises:
      ConfigError: a share outside [0, 1], or a number of steps without a final share.
    """
    first = real_number("finetune: data_fraction", first, 0.0, 1.0)
    if last is None:
        if steps is not None:
            raise ConfigError(
                f"finetune: data_fraction_steps = {steps}: says in how many steps data_fraction becomes "
                "final_data_fraction, which is not given."
            )
        return DataFraction.constant(first)
    last = real_number("finetune: final_data_fraction", last, 0.0, 1.0)
    steps = num_steps if steps is None else whole_number("finetune: data_fraction_steps", steps, 1)
    return DataFraction(first, last, warm_start, steps)
