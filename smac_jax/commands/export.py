r"""Export a trained policy as a file for NumPy, ONNX Runtime or JAX.

    smac-jax export results/NAME/runs/TASK/OFFLINE/seeds-0-3/to-sac --out=policy.onnx

The format is the suffix of --out, or --to:

  npz         For NumPy, on machines without JAX. The run's own actor_critic/policy.npz is such a file with all seeds;
              this command writes one of them.
                  policy = smac_jax.load("policy.npz")
                  action = policy(observation)
  onnx        For ONNX Runtime, TensorRT, browsers and small devices (opset 17). To write it, you need:
              pip install 'smac_jax[onnx]'
                  session = onnxruntime.InferenceSession("policy.onnx")
                  (action,) = session.run(None, {"observation": observations})
  stablehlo   For JAX on CPU, CUDA or TPU, without this package. JAX can read the file for at least six months.
                  policy = jax.jit(jax.export.deserialize(Path("policy.stablehlo").read_bytes()).call)
                  action = policy(observations)

All formats compute float32 actions [batch, action] in [-1, 1] from float32 observations [batch, observation] in the
environment's own units; the normalization of observations is part of the file. The action is the policy's mode. With
--sample the file has a second input, noise [batch, action], which must be standard normal. With --seed=all the output
has the actions of every seed: [seed, batch, action].

RUN is a run's folder, its actor_critic folder, a policy file, or a folder above that contains one of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

from absl import app, flags

if TYPE_CHECKING:
    from smac_jax.deploy.flax_policy import FlaxPolicy

ARGUMENTS = 1
FLAGS = flags.FLAGS
flags.DEFINE_string("out", None, "The file to write; an existing file is replaced.", required=True)
flags.DEFINE_enum("to", None, ["npz", "stablehlo", "onnx"], "Format; default: the suffix of --out.")
flags.DEFINE_string("seed", None, "The number of the seed to export, or all; default: the run's first seed.")
flags.DEFINE_integer("batch", None, "A fixed batch size; default: any.", lower_bound=1)
flags.DEFINE_bool("sample", False, "Take standard normal noise as a second input, and compute a sample of the policy.")


def source_of(run: Path) -> Path | FlaxPolicy:
    """The run to export; or its policy as a Flax module, if its network is defined in a user's file.

    Raises:
      CheckpointError: the user's file has not been imported.
    """
    from smac_jax.deploy.load import own_actor
    from smac_jax.files import local_path

    if not own_actor(run) or (FLAGS.to or local_path(FLAGS.out).suffix.removeprefix(".")) != "stablehlo":
        return run
    from smac_jax.deploy.flax_policy import FlaxPolicy
    from smac_jax.runs.checkpoint import load_actor_critic, seeds_of

    place = run if run.name == "actor_critic" else run / "actor_critic"
    return FlaxPolicy.of(load_actor_critic(place), seeds_of(place))


def main(argv: Sequence[str]) -> int:
    """Exports the policy, and prints the shapes of its input and output."""
    import smac_jax
    from smac_jax.errors import ConfigError
    from smac_jax.files import local_path

    if len(argv) != 2:
        raise app.UsageError("Give one RUN: smac-jax export RUN --out=FILE")
    seed = FLAGS.seed
    if seed not in (None, "all"):
        if not seed.isdecimal():
            raise ConfigError(f"--seed={seed}: must be the number of a seed, or all.")
        seed = int(seed)
    chosen = cast('int | Literal["all"] | None', seed)
    source = source_of(local_path(argv[1]))
    policy = smac_jax.export(source, FLAGS.out, FLAGS.to, seed=chosen, batch=FLAGS.batch, sample=FLAGS.sample)
    rows = FLAGS.batch or "batch"
    which, leading = (
        (f"seed {policy.seeds}", "") if isinstance(policy.seeds, int) else (f"seeds {policy.seeds}", "seed, ")
    )
    noise = f", noise [{rows}, {policy.action_size}]" if FLAGS.sample else ""
    print(f"{FLAGS.out}: {which}, {local_path(FLAGS.out).stat().st_size:,} bytes")
    print(f"observation [{rows}, {policy.observation_size}]{noise} -> action [{leading}{rows}, {policy.action_size}]")
    return 0
