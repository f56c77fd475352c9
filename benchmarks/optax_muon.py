"""Optax's Muon with the matrix axes of stacked kernels: the reference for this package's Muon."""

from __future__ import annotations

from typing import Any

import jax
import optax
from optax.contrib import MuonDimensionNumbers

from smac_jax.optim.muon import MOMENTUM, STEPS, is_matrix


def optax_muon(learning_rate: float, consistent_rms: float = 0.0) -> optax.GradientTransformation:
    """Returns optax's Muon, which is several times slower on a CPU than that of this package.

    Args:
      learning_rate: the learning rate.
      consistent_rms: as in :func:`smac_jax.optim.muon`; 0 for none.
    """

    def axes(path: tuple[Any, ...], leaf: jax.Array) -> MuonDimensionNumbers | None:
        return MuonDimensionNumbers(reduction_axis=-2, output_axis=-1) if is_matrix(path, leaf) else None

    return optax.contrib.muon(
        learning_rate,
        beta=MOMENTUM,
        ns_steps=STEPS,
        muon_weight_dimension_numbers=lambda params: jax.tree_util.tree_map_with_path(axes, params),
        consistent_rms=consistent_rms or None,
    )
