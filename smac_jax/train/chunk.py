"""One compiled call of training: a scan over steps, vmapped over seeds, in which seeds that diverge are frozen.

Offline and online training differ only in the step. Both use this function to compile it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Float

from smac_jax.train.divergence import freeze_diverged
from smac_jax.train.sharding import SeedLayout
from smac_jax.types import Array, Key, Metrics, Sometimes

State = TypeVar("State")
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

        def step_once(state: Any, step: Array) -> tuple[Any, Metrics]:
            return one_step(state, step, jax.random.fold_in(seed_key, step), data)

        state, means = scan_with_means(step_once, state, start + jnp.arange(0, length, stride, dtype=jnp.int32))
        means |= measured_at_end(state)
        kept, diverged = freeze_diverged(before, learner_of(state), means, diverged, start, q_limit)
        return with_learner(state, kept), diverged, means

    return layout.map(one_seed, (0, 0, None, 0, None), donate=(0,))


def scan_with_means(
    step: Callable[[State, Any], tuple[State, Metrics]], state: State, inputs: Any
) -> tuple[State, dict[str, Sometimes]]:
    """Does the same as ``jax.lax.scan``, but returns the mean of each metric over the steps that have it.

    The sums are carried from step to step in one array. If metrics were stacked, each step would write each of them
    separately, which on a GPU divides the step into several CUDA graphs.

    Args:
      step: ``(state, input) -> (state, metrics)``. Metrics that are not scalars are replaced by their means.
      state: the first state.
      inputs: the inputs of all steps; every leaf is ``[step, ...]``.
    """
    step = jax.jit(step, inline=True)  # with this it is traced once, for the names of the metrics and for the loop
    shapes = jax.eval_shape(lambda: step(state, jax.tree.map(lambda x: x[0], inputs))[1])
    names = list(shapes)

    def body(carry: tuple[State, Array], x: Any) -> tuple[tuple[State, Array], None]:
        state, sums = carry
        state, metrics = step(state, x)
        return (state, sums + sums_of_one_step([metrics[name] for name in names])), None

    (state, (sums, steps)), _ = jax.lax.scan(body, (state, jnp.zeros((2, len(names)), jnp.float32)), inputs)
    means = sums / jnp.maximum(steps, 1.0)
    return state, {name: Sometimes(means[k], steps[k]) for k, name in enumerate(names)}


def sums_of_one_step(metrics: Sequence[Array | Sometimes]) -> Float[Array, "2 metric"]:
    """Returns two rows: the values of the metrics of one step, and 1.0 for each metric that the step has."""
    pairs = [x if isinstance(x, Sometimes) else Sometimes(jnp.mean(x), jnp.ones((), jnp.float32)) for x in metrics]
    return jnp.stack([jnp.stack([x.value * x.steps for x in pairs]), jnp.stack([x.steps for x in pairs])])
