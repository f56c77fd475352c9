r"""The cost of Muon: one optimizer step for the critics with Adam, this package's Muon and optax's Muon.

    python -m benchmarks.muon --hidden=512,512,512 --members=10 --json=muon.json

The lower bound is the arithmetic of the Newton-Schulz iterations at the machine's rate of matrix products.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
import optax
from absl import flags

from benchmarks.measure import Case, Report, in_turns, rows
from benchmarks.optax_muon import optax_muon
from smac_jax.networks import Critic, init_ensemble
from smac_jax.optim import muon
from smac_jax.optim.muon import STEPS, is_matrix
from smac_jax.sweep.program import run
from smac_jax.text import count

FLAGS = flags.FLAGS
flags.DEFINE_list("hidden", ["512", "512", "512"], "Layers of a critic.")
flags.DEFINE_integer("members", 10, "Critics.", lower_bound=1)
flags.DEFINE_integer("seeds", 1, "Seeds trained at once.", lower_bound=1)


def iteration_flops(params: Any) -> float:
    """The operations of the Newton-Schulz steps (three products each) for kernels ``[*stack, rows, columns]``."""
    total = 0.0
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        if is_matrix(path, leaf):
            short, long = sorted(leaf.shape[-2:])
            stack = leaf.size // (short * long)
            total += stack * STEPS * (4.0 * short * short * long + 2.0 * short**3)
    return total


def main(argv: Sequence[str]) -> int:
    """Measures and reports."""
    del argv
    hidden = tuple(int(width) for width in FLAGS.hidden)
    report = Report(
        "Muon's cost",
        f"One optimizer step for {FLAGS.members} critics of {hidden} (11 + 3 inputs), {count(FLAGS.seeds, 'seed')}",
    )
    keys = jax.random.split(jax.random.key(0), FLAGS.seeds)
    params = jax.vmap(lambda key: init_ensemble(Critic(hidden), key, FLAGS.members, 11, 3))(keys)
    random = np.random.default_rng(0)
    gradients = jax.tree.map(lambda x: random.normal(size=x.shape).astype(np.float32), params)
    flops = iteration_flops(params)
    optimizers = {"Adam": optax.adam(3e-4), "Muon": muon(3e-4), "Muon, optax's": optax_muon(3e-4)}
    cases = [step_case(name, o, params, gradients, flops * (name != "Adam")) for name, o in optimizers.items()]
    timings = in_turns(cases)
    made = rows(report, timings, "steps/s")
    assert report.machine is not None
    floor = flops / report.machine.matrix_product
    for line, timing in zip(made, timings, strict=True):
        line["ms"] = 1e3 * timing.seconds
        line["time / floor"] = timing.seconds / floor if timing.flops else float("nan")
    report.table(f"floor: {flops / 1e9:.3g} GFLOP, {1e3 * floor:.3g} ms", made)
    report.finish()
    return 0


def step_case(name: str, optimizer: optax.GradientTransformation, params: Any, gradients: Any, flops: float) -> Case:
    """One optimizer step for all seeds."""
    state = jax.vmap(optimizer.init)(params)

    @jax.jit
    @jax.vmap
    def step(params: Any, gradients: Any, state: Any) -> tuple[Any, Any]:
        updates, state = optimizer.update(gradients, state, params)
        return optax.apply_updates(params, updates), state

    return Case(name, lambda: jax.block_until_ready(step(params, gradients, state)), units=1, flops=flops)


if __name__ == "__main__":
    run(main)
