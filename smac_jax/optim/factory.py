"""Makes optimizers by name."""

from __future__ import annotations

from collections.abc import Callable

import optax

from smac_jax.errors import UnknownNameError
from smac_jax.optim.muon import muon

OPTIMIZERS: dict[str, Callable[[optax.ScalarOrSchedule, float], optax.GradientTransformation]] = {
    "adam": lambda learning_rate, consistent_rms: optax.adam(learning_rate),
    "muon": muon,
}


def make_optimizer(
    name: str, learning_rate: float, decay_steps: int = 0, consistent_rms: float = 0.0
) -> optax.GradientTransformation:
    """Makes an optimizer.

    Args:
      name: ``"adam"`` (optax's defaults) or ``"muon"`` (:mod:`smac_jax.optim.muon`).
      learning_rate: the learning rate of the first step.
      decay_steps: the number of steps in which the learning rate decays to zero along a cosine; 0 for a constant rate.
      consistent_rms: an option of :func:`smac_jax.optim.muon.muon`, which Adam ignores.

    Raises:
      UnknownNameError: there is no optimizer of that name.
    """
    if name not in OPTIMIZERS:
        raise UnknownNameError("optimizer", name, tuple(OPTIMIZERS))
    schedule = optax.cosine_decay_schedule(learning_rate, decay_steps) if decay_steps else learning_rate
    return OPTIMIZERS[name](schedule, consistent_rms)
