"""Muon on stacked parameters.

    m <- beta m + (1 - beta) g ,   W <- W - rate * factor * orthogonalize(beta m + (1 - beta) g)

where ``m`` is corrected for its bias. By default ``optax.contrib.muon`` treats every 2-D leaf as a matrix, and uses
Adam for all other leaves. For a stacked ensemble both are wrong: kernels are 3-D ``[member, in, out]`` and would get
Adam without notice, and biases are 2-D ``[member, out]`` and would be orthogonalized across members. Therefore the name
of a leaf decides here, not its rank: the last two axes of every ``kernel`` are a matrix, and all axes before them are a
batch of independent matrices. If optax's Muon is told these axes, it takes the same steps (``tests/optim`` compares
them). This one is several times faster on a CPU, because of :mod:`smac_jax.optim.newton_schulz`.

Source: Jordan et al. 2024, Muon; SMAC section 4 and tables 6-8 (momentum 0.95, 5 Newton-Schulz steps, Adam for leaves
that are not matrices).
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import optax
from flax import struct

from smac_jax.optim.newton_schulz import orthogonalize_all
from smac_jax.types import Array, Params

MOMENTUM = 0.95
STEPS = 5


def is_matrix(path: tuple, leaf: jax.Array) -> bool:
    """Returns whether the leaf at a path of a Flax tree is a matrix, or a stack of matrices ``[*stack, in, out]``."""
    return getattr(path[-1], "key", None) == "kernel" and leaf.ndim >= 2


class MuonState(struct.PyTreeNode):
    """The state of Muon.

    Attributes:
      count: the number of steps so far, ``[]``.
      momentum: the moving average of the gradients, with the shapes of the parameters.
    """

    count: Array
    momentum: Params


def shape_factor(shape: tuple[int, ...], consistent_rms: float) -> float:
    """Returns the factor of an orthogonal step.

    It is ``sqrt(max(1, out / in))`` if ``consistent_rms`` is 0. Otherwise the RMS (root mean square) of the step
    becomes ``consistent_rms``; that of an orthogonal matrix ``[in, out]`` is ``1 / sqrt(max(in, out))``.
    """
    rows, columns = shape[-2:]
    return consistent_rms * max(rows, columns) ** 0.5 if consistent_rms else max(1.0, columns / rows) ** 0.5


def scale_by_muon(consistent_rms: float = 0.0) -> optax.GradientTransformation:
    """Returns a transformation that replaces gradients by orthogonalized Nesterov momentum, matrix by matrix.

    The result is scaled by :func:`shape_factor`, and has the sign of a gradient.
    """

    def init(params: Params) -> MuonState:
        return MuonState(jnp.zeros((), jnp.int32), optax.tree.zeros_like(params))

    def update(gradients: Params, state: MuonState, params: Params | None = None) -> tuple[Params, MuonState]:
        del params
        momentum = optax.tree.update_moment(gradients, state.momentum, MOMENTUM, 1)
        count = state.count + 1
        ahead = jax.tree.map(
            lambda m, g: MOMENTUM * m + (1.0 - MOMENTUM) * g,
            optax.tree.bias_correction(momentum, MOMENTUM, count + 1),
            optax.tree.bias_correction(gradients, MOMENTUM, count),
        )
        kernels, tree = jax.tree.flatten(ahead)
        steps = [x * shape_factor(x.shape, consistent_rms) for x in orthogonalize_all(kernels, STEPS)]
        updates = jax.tree.unflatten(tree, steps)
        return updates, MuonState(count, momentum)

    return optax.GradientTransformation(init, update)


def muon(learning_rate: optax.ScalarOrSchedule, consistent_rms: float = 0.0) -> optax.GradientTransformation:
    """Returns Muon for kernels, with Nesterov's Adam for biases and other leaves that are not matrices.

    Args:
      learning_rate: the learning rate of both.
      consistent_rms: 0 for Muon as published, where the RMS of a step is about ``learning_rate / sqrt(in)`` and so
        depends on the width of the layer. If it is above 0, the RMS of every step is ``learning_rate *
        consistent_rms``; 0.2 is that of Adam (Liu et al. 2025, arXiv 2502.16982, section 2.2).
    """

    def labels(params: Params) -> Params:
        return jax.tree_util.tree_map_with_path(lambda p, x: "muon" if is_matrix(p, x) else "adam", params)

    return optax.partition(
        {
            "muon": optax.chain(scale_by_muon(consistent_rms), optax.scale_by_learning_rate(learning_rate)),
            "adam": optax.adam(learning_rate, nesterov=True),
        },
        labels,
    )
