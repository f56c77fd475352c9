"""One compiled call of training: a scan over steps, vmapped over seeds, in which seeds that diverge are frozen.

Offline and online training differ only in the step. Both use this function to compile it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from smac_jax.train.divergence import freeze_diverged
from smac_jax.train.sharding import SeedLayout
from smac_jax.types import Array, Key, Metrics, Sometimes

OneStep = Callable[[Any, Array, Key, Any], tuple[Any, Metrics]]
"""``(state, step, key, data) -> (state, metrics)`` of one seed, with a new key in each step."""


def compile_chunk(
    one_step: OneStep,
    layout: SeedLayout,
    q_limit: float,
    length: int,
    *,
    stride: int = 1,
    learner_of: Callable[[Any], Any] = lambda state: state,
    with_learner: Callable[[Any, Any], Any] = lambda state, learner: learner,
    measured_at_end: Callable[[Any], dict[str, Sometimes]] = lambda state: {},
) -> Any:
    """Compiles ``(state[seed], diverged[seed], first step, keys[seed], data) -> (state, diverged, mean metrics)``.

    The state is donated: its memory is reused.

    Args:
      one_step: the training step of one seed, which is called ``length / stride`` times.
      layout: the layout of the seeds over devices.
      q_limit: see :func:`smac_jax.train.divergence.has_diverged`.
      length: the number of steps, a multiple of ``stride``.
      stride: the number of steps that one call of ``one_step`` does.
      learner_of: gives the learner, the part of a state that is frozen when a seed diverges.
      with_learner: gives the state with its learner replaced.
      measured_at_end: further metrics, of the state after the last step; other metrics are means over the steps.
    """

    def one_seed(state: Any, diverged: Array, start: Array, seed_key: Key, data: Any) -> tuple[Any, Array, Metrics]:
        before = learner_of(state)

        def body(state: Any, step: Array) -> tuple[Any, Metrics]:
            return one_step(state, step, jax.random.fold_in(seed_key, step), data)

        state, metrics = jax.lax.scan(body, state, start + jnp.arange(0, length, stride, dtype=jnp.int32))
        means = mean_over_steps(metrics) | measured_at_end(state)
        kept, diverged = freeze_diverged(before, learner_of(state), means, diverged, start, q_limit)
        return with_learner(state, kept), diverged, means

    return layout.map(one_seed, (0, 0, None, 0, None), donate=(0,))


def mean_over_steps(metrics: Metrics) -> dict[str, Sometimes]:
    """The mean of each metric over the steps that have it, from leaves ``[step]``."""

    def one(metric: Array | Sometimes) -> Sometimes:
        if not isinstance(metric, Sometimes):
            return Sometimes(metric.mean(), jnp.full((), len(metric), jnp.float32))
        steps = metric.steps.sum()
        return Sometimes((metric.value * metric.steps).sum() / jnp.maximum(steps, 1.0), steps)

    return {name: one(metric) for name, metric in metrics.items()}
