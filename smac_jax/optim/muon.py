"""Muon on stacked parameters.

``optax.contrib.muon`` takes every 2-D leaf for a matrix and gives the rest to Adam. A stacked ensemble turns that
upside down: kernels are 3-D ``[member, in, out]`` and would silently get Adam, biases are 2-D ``[member, out]`` and
would be orthogonalised across members. What a leaf *is* shows in its name, not in its rank: :func:`matrix_axes` marks
the last two axes of every ``kernel`` as the matrix and all axes before them as a batch of independent matrices.

Source: SMAC section 4 and tables 6-8 (momentum 0.95, 5 Newton-Schulz steps, Adam for all that is no matrix).
"""

from __future__ import annotations

import jax
import optax
from optax.contrib import MuonDimensionNumbers

from smac_jax.types import Params


def matrix_axes(params: Params) -> Params:
    """For each leaf the axes of its matrix, or None where it is no matrix and Adam should have it."""

    def axes(path: tuple, leaf: jax.Array) -> MuonDimensionNumbers | None:
        is_kernel = getattr(path[-1], "key", None) == "kernel" and leaf.ndim >= 2
        return MuonDimensionNumbers(reduction_axis=-2, output_axis=-1) if is_kernel else None

    return jax.tree_util.tree_map_with_path(axes, params)


def muon(learning_rate: optax.ScalarOrSchedule) -> optax.GradientTransformation:
    """Muon for kernels, Adam at the same learning rate for biases and other non-matrices."""
    return optax.contrib.muon(learning_rate, beta=0.95, ns_steps=5, muon_weight_dimension_numbers=matrix_axes)
