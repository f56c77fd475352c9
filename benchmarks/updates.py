r"""Updates per second of all algorithms, at two sizes and for several numbers of seeds.

    python -m benchmarks.updates --sizes=field --algorithms=td3_bc,sac --seeds=1,4 --json=updates.json

The size `field` has networks of 2 x 256, two critics and batches of 256 (CORL's setting). The size `paper` has networks
of 3 x 512, ten critics and batches of 64 offline and 1,024 online. The size `small` has networks of 2 x 128, ten
critics and batches of 64 and 256, as in the studies on CPUs. At the size `field`, TD3+BC and SAC are compared with two
references: a plain PyTorch loop (benchmarks/torch_reference.py, if torch is installed) and a JAX loop that dispatches
every update from Python.

With several seeds, a rate counts the updates of all seeds. "% of peak" is the rate of the update's matrix products as a
share of the machine's peak rate. "% of a layer's" is the same as a share of the rate of single products with the shape
of a hidden layer, [batch, width] x [width, width], which are slower than the peak if they are small. All programs are
compiled without the compilation cache.

`--onednn` also times each case with XLA's oneDNN products, for users who run on a CPU with
`XLA_FLAGS="--xla_cpu_use_onednn=true --xla_cpu_experimental_onednn_fusion_type=dot"`. This is experimental in XLA, and
crashes with JAX 0.10.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence

import jax
from absl import flags

import smac_jax
from benchmarks.learners import OFFLINE_NAMES, ONEDNN, ONLINE_NAMES, SIZES, case, dispatched_from_python, learner
from benchmarks.measure import Case, Report, in_turns, rows
from smac_jax.matrix_products import product_rate
from smac_jax.sweep.program import run
from smac_jax.text import count

FLAGS = flags.FLAGS
flags.DEFINE_list("sizes", ["field"], "Sizes: field, paper, small.")
flags.DEFINE_list("algorithms", [*OFFLINE_NAMES, *ONLINE_NAMES], "Algorithms.")
flags.DEFINE_list("seeds", ["1", "4"], "Numbers of seeds trained at once.")
flags.DEFINE_integer(
    "chunk", 0, "Updates per compiled call; 0 for 100 at the size field and 10 at the size paper.", lower_bound=0
)
flags.DEFINE_bool("onednn", False, "Also time each case with XLA's oneDNN products; JAX 0.12, on a CPU.")
flags.DEFINE_bool("yardsticks", True, "Also time the loops of PyTorch and of JAX in Python.")


def main(argv: Sequence[str]) -> int:
    """Measures and reports."""
    del argv
    data = smac_jax.load_dataset("hopper-medium-replay")
    report = Report("Updates per second", "Gradient updates on hopper-medium-replay (11 observations, 3 actions)")
    for size_name in FLAGS.sizes:
        size = SIZES[size_name]
        length = FLAGS.chunk or (10 if size_name == "paper" else 100)
        for name in FLAGS.algorithms:
            cases = []
            for seeds in map(int, FLAGS.seeds):
                title = f"{name}, {count(seeds, 'seed')}"
                cases.append(case(title, learner(name, size, seeds, data), length))
                if FLAGS.onednn:
                    cases.append(case(f"{title}, oneDNN", learner(name, size, seeds, data), length, ONEDNN))
            if FLAGS.yardsticks and size_name != "paper" and name in ("td3_bc", "sac"):
                made = learner(name, size, 1, data)
                cases.append(dispatched_from_python("JAX, dispatched from Python", made, length))
                cases += torch_cases(name, size_name, length)
            timings = in_turns(cases)
            made_rows = rows(report, timings)
            batch = size.offline_batch if name in OFFLINE_NAMES else size.online_batch
            layer = product_rate(batch, size.hidden[0])
            for line, timing in zip(made_rows, timings, strict=True):
                line["% of a layer's"] = 100.0 * timing.flops * timing.rate / layer
            title = f"{name}, {size_name} size: {size}; products of one layer's shape: {layer / 1e9:,.0f} GFLOP/s"
            report.table(title, made_rows)
            jax.clear_caches()
    report.finish()
    return 0


def torch_cases(name: str, size_name: str, length: int) -> list[Case]:
    """The PyTorch loop, if PyTorch is installed."""
    if importlib.util.find_spec("torch") is None:
        return []
    from benchmarks.torch_reference import make_loop

    return [Case("PyTorch", make_loop(name, SIZES[size_name], length), units=length)]


if __name__ == "__main__":
    run(main)
