r"""What the score-matching penalty costs: SMAC's update beside plain SAC's, at equal networks and batches, by form.

    python -m benchmarks.penalty --sizes=field,paper --json=penalty.json

Forms: forward over reverse (the default) and reverse over reverse (as the equation is written), with the score of the
data, whose network runs at every update, and with the policy's own, which costs nothing; and the penalty measured on a
quarter of the batch's rows. All critics are tanh, as SMAC's are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
from absl import flags

import smac_jax
from benchmarks.learners import SIZES, case, offline_learner, online_learner
from benchmarks.measure import Report, in_turns, rows
from smac_jax.sweep.program import run

FLAGS = flags.FLAGS
flags.DEFINE_list("sizes", ["field"], "Which sizes: field, paper.")
flags.DEFINE_integer("seeds", 1, "Seeds trained at once.", lower_bound=1)
flags.DEFINE_integer(
    "chunk", 0, "Updates a compiled call; 0: 100 at the field's size, 10 at the paper's.", lower_bound=0
)

FORMS: dict[str, dict[str, Any]] = {
    "policy score, forward-reverse": {"score": "policy"},
    "policy score, on a quarter": {"score": "policy", "penalty_fraction": 0.25},
    "policy score, reverse-reverse": {"score": "policy", "penalty_form": "reverse_over_reverse"},
    "data score, forward-reverse": {},
    "data score, on a quarter": {"penalty_fraction": 0.25},
    "data score, reverse-reverse": {"penalty_form": "reverse_over_reverse"},
}


def main(argv: Sequence[str]) -> int:
    """Measures, prints, writes."""
    del argv
    data = smac_jax.load_dataset("hopper-medium-replay")
    report = Report("The penalty's cost", "SMAC's update and SAC's, the same networks and batches")
    for size_name in FLAGS.sizes:
        size = SIZES[size_name]
        length = FLAGS.chunk or (10 if size_name == "paper" else 100)
        plain = online_learner("sac", size, FLAGS.seeds, data, batch_size=size.offline_batch, critic_activation="tanh")
        cases = [case("SAC", plain, length)]
        for name, overrides in FORMS.items():
            cases.append(case(name, offline_learner("smac", size, FLAGS.seeds, data, **overrides), length))
        timings = in_turns(cases)
        made = rows(report, timings)
        for line, timing in zip(made, timings, strict=True):
            line["time / SAC's"] = timings[0].rate / timing.rate
            line["arithmetic / SAC's"] = timing.flops / timings[0].flops
        report.table(f"{size_name} size: {size}", made)
        jax.clear_caches()
    report.finish()
    return 0


if __name__ == "__main__":
    run(main)
