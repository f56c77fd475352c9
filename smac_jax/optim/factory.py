"""Optimisers by name."""

from __future__ import annotations

from collections.abc import Callable

import optax

from smac_jax.errors import UnknownNameError
from smac_jax.optim.muon import muon

OPTIMIZERS: dict[str, Callable[[float], optax.GradientTransformation]] = {"adam": optax.adam, "muon": muon}


def make_optimizer(name: str, learning_rate: float) -> optax.GradientTransformation:
    """``"adam"`` (optax's defaults) or ``"muon"``.

    Raises:
      UnknownNameError: any other name.
    """
    if name not in OPTIMIZERS:
        raise UnknownNameError("optimizer", name, tuple(OPTIMIZERS))
    return OPTIMIZERS[name](learning_rate)
