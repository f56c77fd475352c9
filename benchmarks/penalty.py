r"""The cost of the score-matching penalty: SMAC's update compared with SAC's, and the penalty's gradient by itself.

    python -m benchmarks.penalty --sizes=field,paper --json=penalty.json

The updates use the score of the data, whose network runs in every update, or the score of the policy, which costs
nothing; and the penalty on all rows of the batch or on a quarter. All critics have tanh activations, as in SMAC, and
the networks and batches are the same. The gradient is computed by forward over reverse differentiation (as in the
package) and by reverse over reverse differentiation (as the equation is written).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from absl import flags

import smac_jax
from benchmarks.learners import SIZES, Size, case, offline_learner, online_learner
from benchmarks.measure import Case, Report, in_turns, rows
from smac_jax.data.dataset import Dataset
from smac_jax.matrix_products import product_flops
from smac_jax.networks import Critic, init_ensemble
from smac_jax.scores import MatchingPoints, action_gradient, score_matching_penalty
from smac_jax.scores.penalty import ActionValue
from smac_jax.sweep.program import run
from smac_jax.types import Array, Params

FLAGS = flags.FLAGS
flags.DEFINE_list("sizes", ["field"], "Which sizes: field, paper.")
flags.DEFINE_integer("seeds", 1, "Seeds trained at once.", lower_bound=1)
flags.DEFINE_integer(
    "chunk", 0, "Updates per compiled call; 0 for 100 at the size field and 10 at the size paper.", lower_bound=0
)

UPDATES: dict[str, dict[str, Any]] = {
    "policy score": {"score": "policy"},
    "policy score, on a quarter": {"score": "policy", "penalty_fraction": 0.25},
    "data score": {},
    "data score, on a quarter": {"penalty_fraction": 0.25},
}
Penalty = Callable[[ActionValue, Params, MatchingPoints], Array]


def reverse_over_reverse(q: ActionValue, params: Params, points: MatchingPoints) -> Array:
    """The penalty as its equation is written, which JAX differentiates."""

    def of_member(params: Params) -> Array:
        gradient = action_gradient(q, params, points.observation, points.action)
        return jnp.mean(jnp.sum((points.weight * gradient - points.target) ** 2, axis=-1))

    return jax.vmap(of_member)(params).sum()


FORMS: dict[str, Penalty] = {
    "forward over reverse": score_matching_penalty,
    "reverse over reverse": reverse_over_reverse,
}


def main(argv: Sequence[str]) -> int:
    """Measures and reports."""
    del argv
    data = smac_jax.load_dataset("hopper-medium-replay")
    report = Report("The penalty's cost", "SMAC's update and SAC's; the gradient of the penalty only")
    for size_name in FLAGS.sizes:
        size = SIZES[size_name]
        length = FLAGS.chunk or (10 if size_name == "paper" else 100)
        plain = online_learner("sac", size, FLAGS.seeds, data, batch_size=size.offline_batch, critic_activation="tanh")
        cases = [case("SAC", plain, length)]
        for name, overrides in UPDATES.items():
            cases.append(case(name, offline_learner("smac", size, FLAGS.seeds, data, **overrides), length))
        timings = in_turns(cases)
        made = rows(report, timings)
        for line, timing in zip(made, timings, strict=True):
            line["time / SAC's"] = timings[0].rate / timing.rate
            line["arithmetic / SAC's"] = timing.flops / timings[0].flops
        report.table(f"{size_name} size: {size}", made)
        gradients = in_turns([gradient_case(name, penalty, size, data) for name, penalty in FORMS.items()])
        report.table(f"{size_name} size, the penalty's gradient only", rows(report, gradients, "gradients/s"))
        jax.clear_caches()
    report.finish()
    return 0


def gradient_case(name: str, penalty: Penalty, size: Size, data: Dataset) -> Case:
    """The gradient of the penalty with respect to the critics' parameters, for all seeds."""
    batch = data.sample(jax.random.key(0), size.offline_batch)
    points = MatchingPoints(batch.observation, batch.action, jnp.zeros_like(batch.action), jnp.ones_like(batch.action))
    critic = Critic(size.hidden, "tanh")
    widths = batch.observation.shape[-1], batch.action.shape[-1]
    keys = jax.random.split(jax.random.key(0), FLAGS.seeds)
    params = jax.vmap(lambda key: init_ensemble(critic, key, size.members, *widths))(keys)
    gradient = jax.vmap(jax.grad(partial(penalty, critic.apply)), in_axes=(0, None))
    compiled = jax.jit(gradient)
    flops = product_flops(gradient, params, points) / FLAGS.seeds
    return Case(name, lambda: jax.block_until_ready(compiled(params, points)), units=FLAGS.seeds, flops=flops)


if __name__ == "__main__":
    run(main)
