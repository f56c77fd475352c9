"""Optimisers by name."""

from __future__ import annotations

from collections.abc import Callable

import optax

from smac_jax.errors import UnknownNameError
from smac_jax.optim.muon import muon, muon_optax

OPTIMIZERS: dict[str, Callable[[optax.ScalarOrSchedule], optax.GradientTransformation]] = {
    "adam": optax.adam,
    "muon": muon,
    "muon_optax": muon_optax,
}


def make_optimizer(name: str, learning_rate: float, decay_steps: int = 0) -> optax.GradientTransformation:
    """An optimiser.

    Args:
      name: ``"adam"`` (optax's defaults), ``"muon"``, or ``"muon_optax"``, the same and slower.
      learning_rate: of the first step.
      decay_steps: fall to zero over this many steps along a cosine; 0 holds the rate.

    Raises:
      UnknownNameError: any other name.
    """
    if name not in OPTIMIZERS:
        raise UnknownNameError("optimizer", name, tuple(OPTIMIZERS))
    schedule = optax.cosine_decay_schedule(learning_rate, decay_steps) if decay_steps else learning_rate
    return OPTIMIZERS[name](schedule)
