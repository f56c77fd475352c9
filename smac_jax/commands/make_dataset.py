r"""Make data sets in D4RL's layout, deterministically from a seed: with this package's SAC, or with given policies.

    smac-jax make-dataset --task=hopper --kinds=medium-replay,medium --out=data/
    smac-jax make-dataset --task=hopper --policy=dope-hopper.npz@3,dope-hopper.npz@6 --shares=0.7,0.3

**With SAC**, by D4RL's recipe (Fu et al. 2020, arXiv 2004.07219, section 5): *random* is a policy at initialization;
*medium* is SAC stopped at about a third of the expert's return; *medium-replay* is the replay buffer of this SAC when
it reached that return; *expert* is SAC trained for --expert_steps; *medium-expert* is half of each.

**With given policies**, --policy: files in .npz or ONNX, or runs of this package (see
:mod:`smac_jax.deploy.policy_source` for the formats), in any task of ``make_env``. ``FILE@3`` is checkpoint 3 of a file
that holds several (of a run: seed 3). --shares gives the share of the transitions that each policy collects. Every
policy collects complete episodes until it has its share of --size rows, so it exceeds its share by less than one
episode. In addition to D4RL's arrays, the file has ``infos/qpos``, ``infos/qvel`` and, for tasks that need it,
``infos/scene``: the simulator's state in which each action was taken, in float64. ``infos/checkpoint`` is the index of
the entry of --policy that acted, from 0. ``metadata/policies`` names the policies' files.
"""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from absl import flags

from smac_jax import registry
from smac_jax.config import whole_number
from smac_jax.envs import LOCOMOTION, check_name, make_env
from smac_jax.errors import ConfigError, SmacError, UnknownNameError
from smac_jax.files import local_path
from smac_jax.sweep.program import results_folder, set_up
from smac_jax.tasks import TASKS, time_limit

if TYPE_CHECKING:
    from smac_jax.algorithms.actor_critic import ActorCritic
    from smac_jax.data.replay import ReplayBuffer
    from smac_jax.deploy.policy_source import PolicySource
    from smac_jax.train.online import FinetuneResult
    from smac_jax.train.rollouts import Rollouts

KINDS = ("random", "medium", "medium-replay", "expert", "medium-expert")
OF_SAC = (
    "kinds",
    "max_steps",
    "expert_steps",
    "medium_fraction",
    "eval_every",
    "eval_episodes",
    "hidden",
    "batch_size",
)
"""Flags that cannot be used with --policy."""
OF_POLICIES = ("shares", "deterministic", "noise", "version", "name")
"""Flags that can only be used with --policy."""

FLAGS = flags.FLAGS
flags.DEFINE_string(
    "task",
    "hopper",
    f"One of {', '.join(LOCOMOTION)}, or one that --import registers; with --policy any task of make_env.",
)
flags.DEFINE_list("kinds", ["medium-replay"], f"The kinds of data to make with SAC, of {', '.join(KINDS)}.")
flags.DEFINE_integer("seed", 0, "Seed, which determines the data completely.", lower_bound=0)
flags.DEFINE_string("out", "data", "Folder for the files TASK-KIND.hdf5.")
flags.DEFINE_integer(
    "size",
    100_000,
    "Number of transitions in random, medium and expert data; with --policy the least number.",
    lower_bound=1000,
)
flags.DEFINE_list(
    "policy", [], "Collect data with these policies instead of SAC: FILE or FILE@CHECKPOINT, .npz, .onnx or a run."
)
flags.DEFINE_list(
    "shares", [], "Share of the transitions of each --policy, such as 0.7,0.3 or 2/3,1/3; default: equal shares."
)
flags.DEFINE_bool("deterministic", False, "Use the mean action of --policy instead of a sample.")
flags.DEFINE_float("noise", 0.0, "Standard deviation of normal noise added to the actions of --policy.", lower_bound=0)
flags.DEFINE_string(
    "version", None, "The environment's version, as in make_env; default: d4rl for Adroit and kitchen, v4 otherwise."
)
flags.DEFINE_string("name", "policy", "With --policy, the KIND in the file name TASK-KIND.hdf5.")
flags.DEFINE_integer(
    "max_steps",
    300_000,
    "Fail if SAC has not reached the medium return after this many environment steps, including the warm start.",
    lower_bound=1,
)
flags.DEFINE_integer(
    "expert_steps", 1_000_000, "Environment steps of the expert's training, including the warm start.", lower_bound=1
)
flags.DEFINE_float("medium_fraction", 1 / 3, "Share of the expert's reference return at which medium SAC stops.")
flags.DEFINE_integer("eval_every", 5_000, "Environment steps between evaluations.", lower_bound=100)
flags.DEFINE_integer("eval_episodes", 10, "Episodes of an evaluation.", lower_bound=1)
flags.DEFINE_bool(
    "next_observations",
    True,
    "Store next_observations. Without them files are half as large, and the last row of a truncated episode is dropped "
    "when the file is read (its reward still counts in the return).",
)
flags.DEFINE_integer(
    "mantissa_bits",
    23,
    "Round numbers to this many mantissa bits: 10 (a relative error of 0.0005) makes files about half as large.",
    lower_bound=1,
    upper_bound=23,
)
flags.DEFINE_list("hidden", ["256", "256"], "Widths of the hidden layers of SAC's networks.")
flags.DEFINE_integer("batch_size", 256, "Batch size of SAC.", lower_bound=1)


def fresh_policy(env: Any, seed: int) -> ActorCritic:
    """An untrained actor-critic with a seed axis of one."""
    import jax
    import jax.numpy as jnp

    from smac_jax.algorithms.actor_critic import NetworkConfig, new_actor_critic
    from smac_jax.train.keys import stream_keys

    try:
        hidden = tuple(int(width) for width in FLAGS.hidden)
    except ValueError:
        raise ConfigError(f"--hidden={','.join(FLAGS.hidden)}: must be layer widths, such as 256,256.") from None
    network = NetworkConfig(actor_hidden=hidden, critic_hidden=hidden)
    zeros, ones = jnp.zeros(env.observation_size), jnp.ones(env.observation_size)
    build = jax.vmap(lambda key: new_actor_critic(network, key, zeros, ones, env.action_size))
    return build(stream_keys((seed,), "init"))


def train(env: Any, seed: int, steps: int, until: float | None) -> FinetuneResult:
    """Trains SAC from an untrained policy.

    The first 5,000 steps, or half of them if there are fewer than 10,000, are the warm start without updates.

    Args:
      env: the environment.
      seed: the seed.
      steps: the largest number of environment steps, including the warm start.
      until: stop at the first evaluation whose mean return is at least this; not at the evaluation of the untrained
        policy, which has no transitions. None: train for all steps.
    """
    from smac_jax.train.online import finetune

    warm_start = min(5_000, steps // 2)
    print(f"SAC for at most {steps:,} steps, of which the first {warm_start:,} are a warm start without updates")

    def reached(step: int, returns: np.ndarray) -> bool:
        print(
            f"  step {step:>8,}  return {returns.mean():8.1f}  "
            f"(lowest {returns.min():.1f}, highest {returns.max():.1f})"
        )
        return until is not None and step > 0 and bool(returns.mean() >= until)

    return finetune(
        "sac",
        fresh_policy(env, seed),
        env,
        seeds=(seed,),
        num_steps=steps - warm_start,
        # the settings of Haarnoja et al., not SMAC's: entropy in the backup, and an initial temperature of 1
        config={
            "batch_size": FLAGS.batch_size,
            "actor_learning_rate": 3e-4,
            "entropy_backup": True,
            "initial_temperature": 1.0,
        },
        warm_start=warm_start,
        eval_every=FLAGS.eval_every,
        eval_episodes=FLAGS.eval_episodes,
        final_episodes=FLAGS.eval_episodes,
        episode_length=time_limit(FLAGS.task, env),
        on_evaluation=reached,
    )


def replay_arrays(buffer: ReplayBuffer) -> dict[str, np.ndarray]:
    """The rows of a replay buffer that has not overwritten any, in their order, with time-outs marked."""
    size = int(np.asarray(buffer.size)[0])
    stored = {
        name: np.asarray(getattr(buffer.storage, name))[0, :size]
        for name in ("observation", "action", "reward", "next_observation", "terminal")
    }
    terminals = stored["terminal"] > 0.5
    new_episode = np.ones(size, bool)  # true for the last row, too, because the last episode is truncated
    new_episode[:-1] = (stored["observation"][1:] != stored["next_observation"][:-1]).any(axis=1)
    return {
        "observations": stored["observation"],
        "actions": stored["action"],
        "rewards": stored["reward"],
        "next_observations": stored["next_observation"],
        "terminals": terminals,
        "timeouts": new_episode & ~terminals,
    }


def rollout_arrays(
    env: Any, actor_critic: ActorCritic, size: int, seed: int, num_envs: int = 20
) -> dict[str, np.ndarray]:
    """At least ``size`` transitions with sampled actions of a policy, from ``num_envs`` parallel environments.

    The rows of each environment are contiguous. Its last row is marked as a time-out unless it is terminal.
    """
    import jax
    import jax.numpy as jnp

    from smac_jax.envs import AutoReset

    size, num_envs = whole_number("size", size, 1), whole_number("num_envs", num_envs, 1)
    wrapped = AutoReset(env, time_limit(FLAGS.task, env))
    ac = jax.tree.map(lambda x: x[0], actor_critic)
    length = -(-size // num_envs)
    keys = jax.random.split(jax.random.fold_in(jax.random.key(seed), 1234), num_envs)

    @jax.jit
    def collect(keys):
        def one(key):
            def step(state, i):
                action = ac.policy(state.obs).sample(jax.random.fold_in(key, i))
                after = wrapped.step(state, action)
                return after, {
                    "observations": state.obs,
                    "actions": action,
                    "rewards": after.reward,
                    "next_observations": after.info["next_observation"],
                    "terminals": after.info["terminal"] > 0.5,
                    "timeouts": (after.info["truncation"] > 0.5) | ((i == length - 1) & (after.info["terminal"] < 0.5)),
                }

            return jax.lax.scan(step, wrapped.reset(key), jnp.arange(length))[1]

        return jax.vmap(one)(keys)

    streams = collect(keys)
    return {name: np.asarray(value).reshape(num_envs * length, *value.shape[2:]) for name, value in streams.items()}


def round_mantissa(values: np.ndarray, bits: int) -> np.ndarray:
    """Rounds float32 numbers to ``bits`` mantissa bits, half away from zero; other types are not changed."""
    if values.dtype != np.float32 or bits >= 23:
        return values
    dropped = np.uint32(23 - bits)
    half, mask = np.uint32(1) << (dropped - np.uint32(1)), ~((np.uint32(1) << dropped) - np.uint32(1))
    return ((values.view(np.uint32) + half) & mask).view(np.float32)


def check_flags() -> None:
    """Refuses flags that would have no effect.

    Raises:
      ConfigError: a flag of SAC is given with --policy, or a flag of --policy without it.
      UnknownNameError: the task or the kind of data does not exist.
    """
    policies = bool(FLAGS.policy)
    if unused := [f"--{name}" for name in (OF_SAC if policies else OF_POLICIES) if FLAGS[name].present]:
        raise ConfigError(f"{', '.join(unused)}: cannot be used {'with' if policies else 'without'} --policy.")
    if policies:
        check_name(FLAGS.task)
        if not re.fullmatch(r"\w[\w.-]*", FLAGS.name):
            raise ConfigError(
                f"--name={FLAGS.name}: must consist of letters, digits, '-', '_' and '.', as a part of a file name."
            )
        return
    others = [name for name in registry.ENVIRONMENTS.added() if not registry.ENVIRONMENTS[name].is_family]
    known = (*LOCOMOTION, *registry.TASKS.added(), *others)
    if FLAGS.task not in known:
        raise UnknownNameError("task for SAC (others take --policy)", FLAGS.task, known)
    unknown = sorted(set(FLAGS.kinds) - set(KINDS))
    if unknown or not FLAGS.kinds:
        raise UnknownNameError("kind", unknown[0] if unknown else "", KINDS)


def parse_shares(texts: Sequence[str], count: int) -> list[Fraction]:
    """Parses the shares of ``count`` policies in the transitions; equal shares if ``texts`` is empty.

    Raises:
      ConfigError: the number of shares is not ``count``, a share is not a number above 0, or their sum is not 1.
    """
    if not texts:
        return [Fraction(1, count)] * count
    given = f"--shares={','.join(texts)}"
    if len(texts) != count:
        raise ConfigError(f"{given}: there are {len(texts)} shares for {count} policies. Give one for each --policy.")
    try:
        shares = [Fraction(text.strip()) for text in texts]
    except (ValueError, ZeroDivisionError):
        raise ConfigError(f"{given}: shares must be numbers, such as 0.25 or 1/4.") from None
    if min(shares) <= 0:
        raise ConfigError(f"{given}: shares must be above 0.")
    if abs(float(sum(shares)) - 1) > 1e-6:
        raise ConfigError(f"{given}: shares must add up to 1; their sum is {float(sum(shares)):.6g}.")
    return shares


def roll_out(policies: Sequence[str], texts: Sequence[str]) -> None:
    """Writes a data set that given policies collect, and prints a table of the policies.

    Args:
      policies: ``FILE`` or ``FILE@CHECKPOINT`` of each policy.
      texts: their shares.

    Raises:
      SmacError: a file cannot be read or does not fit the task, or a share or the size is wrong.
    """
    import jax

    from smac_jax.deploy.policy_source import read_policy_source, split_checkpoint
    from smac_jax.train.keys import stream_keys
    from smac_jax.train.progress import Progress
    from smac_jax.train.rollouts import collect_episodes

    shares = parse_shares(texts, len(policies))
    # errors in the files are reported before the environment is loaded, which takes seconds
    sources = [read_policy_source(*split_checkpoint(text)) for text in policies]
    ours = FLAGS.task in registry.TASKS
    version = FLAGS.version or (registry.TASKS[FLAGS.task].versions.get("v4", "v4") if ours else "v4")
    env = make_env(FLAGS.task, "mujoco" if ours else "auto", version)
    where = f"{FLAGS.task} ({version})" if ours else FLAGS.task
    fitting = [source.fit(env.observation_size, env.action_size, where) for source in sources]
    parts, notes = [], []
    with Progress.of(True) as progress:
        for i, (policy, share) in enumerate(zip(fitting, shares, strict=True)):
            part = collect_episodes(
                env,
                policy,
                size=-(-FLAGS.size * share.numerator // share.denominator),
                key=jax.random.fold_in(stream_keys((FLAGS.seed,), "environment")[0], i),
                episode_length=time_limit(FLAGS.task, env),
                deterministic=FLAGS.deterministic,
                noise=FLAGS.noise,
                progress=progress,
            )
            parts.append(part)
            notes.append(describe(policy, share, part))
    rows = sum(note["rows"] for note in notes)
    infos = {key: np.concatenate([part.infos[key] for part in parts]) for key in parts[0].infos}
    infos["checkpoint"] = np.repeat(np.arange(len(parts), dtype=np.int32), [note["rows"] for note in notes])
    listed = ", ".join(f"{note['policy']} ({note['rows'] / rows:.1%})" for note in notes)
    acting = "mean actions" if FLAGS.deterministic else "rollouts"
    acting += f" with added noise of {FLAGS.noise:g}" if FLAGS.noise else ""
    save(
        FLAGS.name,
        {key: np.concatenate([part.arrays[key] for part in parts]) for key in parts[0].arrays},
        f"{acting} of {listed}",
        infos=infos,
        metadata={"policies": json.dumps(notes), "environment": where},
    )
    print("\npolicy                           share       rows   episodes  mean return        std")
    for note in notes:
        score = "" if note["mean_score"] is None else f"   mean score {note['mean_score']:.3f}"
        print(
            f"{note['policy']:<30} {note['rows'] / rows:>7.1%} {note['rows']:>10,} {note['episodes']:>10,} "
            f"{note['mean_return']:>12,.1f} {note['std_return']:>10,.1f}{score}"
        )


def describe(policy: PolicySource, share: Fraction, part: Rollouts) -> dict[str, Any]:
    """The entry of ``metadata/policies`` for one policy."""
    return {
        "policy": policy.name,
        "sha256": policy.sha256,
        "share": float(share),
        "samples": policy.stochastic and not FLAGS.deterministic,
        "rows": int(part.lengths.sum()),
        "episodes": len(part.lengths),
        "mean_return": float(part.returns.mean()),
        "std_return": float(part.returns.std()),
        "mean_score": None if part.scores is None else float(part.scores.mean()),
    }


def save(
    kind: str,
    arrays: dict[str, np.ndarray],
    recipe: str,
    infos: Mapping[str, np.ndarray] | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> Path:
    """Writes a data set with its provenance."""
    from smac_jax.data.readers.d4rl import read_d4rl, write_d4rl
    from smac_jax.runs.provenance import command_line, versions

    path = local_path(FLAGS.out) / f"{FLAGS.task.replace(':', '-').replace('/', '-')}-{kind}.hdf5"
    path.parent.mkdir(parents=True, exist_ok=True)
    if FLAGS.mantissa_bits < 23:
        recipe += f"; numbers rounded to {FLAGS.mantissa_bits} bits"
    arrays = {name: round_mantissa(values, FLAGS.mantissa_bits) for name, values in arrays.items()}
    described = {
        "task": FLAGS.task,
        "kind": kind,
        "recipe": recipe,
        "seed": FLAGS.seed,
        "command": command_line(without=("out",)),  # the data do not depend on their folder
        "date": datetime.date.today().isoformat(),
        "versions": json.dumps(versions(), sort_keys=True),
    }
    described |= metadata or {}
    write_d4rl(path, arrays, metadata=described, infos=infos, next_observations=FLAGS.next_observations)
    print(f"\n{path}  ({path.stat().st_size / 1e6:.1f} MB)\n{read_d4rl(path).summary()}")
    return path


def main(argv: Sequence[str]) -> int:
    """Makes the data sets of --kinds, or the one of --policy."""
    del argv
    results_folder(FLAGS.out, "out")  # an error is reported now, not after the training
    check_flags()
    set_up()
    if FLAGS.policy:
        roll_out(FLAGS.policy, FLAGS.shares)
        return 0
    env = make_env(FLAGS.task, physics="mujoco" if FLAGS.task in registry.TASKS else "auto")
    wanted = set(FLAGS.kinds)
    medium: dict[str, np.ndarray] | None = None
    if "random" in wanted:
        save(
            "random", rollout_arrays(env, fresh_policy(env, FLAGS.seed), FLAGS.size, FLAGS.seed), "untrained SAC policy"
        )
    if wanted & {"medium", "medium-replay", "medium-expert"}:
        goal = FLAGS.medium_fraction * TASKS[FLAGS.task].expert_return
        print(f"SAC until its return is {goal:.0f}, {FLAGS.medium_fraction:.0%} of the expert's return")
        result = train(env, FLAGS.seed, FLAGS.max_steps, until=goal)
        reached = float(result.returns[0, -1].mean())
        if reached < goal:
            raise SmacError(
                f"SAC reached a return of {reached:.0f} in {FLAGS.max_steps:,} steps, but {goal:.0f} is required. "
                "Increase --max_steps."
            )
        trained = f"SAC stopped at {result.evaluation_steps[-1]:,} steps, at a return of {reached:.1f}"
        if "medium-replay" in wanted:
            save("medium-replay", replay_arrays(result.buffer), f"replay buffer of {trained}")
        if wanted & {"medium", "medium-expert"}:
            medium = rollout_arrays(env, result.actor_critic, FLAGS.size, FLAGS.seed)
        if "medium" in wanted and medium is not None:
            save("medium", medium, f"samples of {trained}")
    if wanted & {"expert", "medium-expert"}:
        result = train(env, FLAGS.seed, FLAGS.expert_steps, until=None)
        expert = rollout_arrays(env, result.actor_critic, FLAGS.size, FLAGS.seed + 1)
        trained = f"SAC after {FLAGS.expert_steps:,} steps, at a return of {result.returns[0, -1].mean():.1f}"
        if "expert" in wanted:
            save("expert", expert, f"samples of {trained}")
        if "medium-expert" in wanted and medium is not None:
            both = {key: np.concatenate([medium[key], expert[key]]) for key in medium}
            save("medium-expert", both, f"medium, then samples of {trained}")
    return 0
