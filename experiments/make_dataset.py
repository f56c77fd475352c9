r"""Makes D4RL-style data sets with this project's own SAC, in the compiled loop, deterministically from a seed.

    python -m experiments.make_dataset --task=hopper --kinds=medium-replay,medium --out=data/

D4RL's recipe (Fu et al. 2020, arXiv 2004.07219, section 5): *random*, a policy at initialisation; *medium*, SAC
stopped at about a third of the expert's return; *medium-replay*, all that this SAC had in its replay buffer when it
got there; *expert*, SAC trained for all of --expert_steps; *medium-expert*, half of each.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from absl import flags

from experiments.setup import run, set_up
from smac_jax.data.tasks import TASKS
from smac_jax.envs import make_env
from smac_jax.errors import SmacError, UnknownNameError

if TYPE_CHECKING:
    from smac_jax.algorithms.base import ActorCritic
    from smac_jax.data.replay import ReplayBuffer
    from smac_jax.train.online import FinetuneResult

KINDS = ("random", "medium", "medium-replay", "expert", "medium-expert")

FLAGS = flags.FLAGS
flags.DEFINE_enum("task", "hopper", ["hopper", "walker2d", "halfcheetah", "ant"], "The robot.")
flags.DEFINE_list("kinds", ["medium-replay"], f"Which sets, of: {', '.join(KINDS)}.")
flags.DEFINE_integer("seed", 0, "Everything follows from it.", lower_bound=0)
flags.DEFINE_string("out", "data", "Folder for the files TASK-KIND.hdf5.")
flags.DEFINE_integer("size", 100_000, "Transitions in random, medium and expert sets.", lower_bound=1000)
flags.DEFINE_integer(
    "max_steps", 300_000, "Give up on reaching the medium return after this many steps.", lower_bound=1
)
flags.DEFINE_integer("expert_steps", 1_000_000, "Environment steps of the expert's training.", lower_bound=1)
flags.DEFINE_float("medium_fraction", 1 / 3, "Share of the expert's reference return at which SAC counts as medium.")
flags.DEFINE_integer("eval_every", 5_000, "Steps between looks at the return.", lower_bound=100)
flags.DEFINE_integer("eval_episodes", 10, "Episodes a look.", lower_bound=1)
flags.DEFINE_bool(
    "next_observations",
    True,
    "Store next_observations; without them files are half as large, and the last "
    "row of an episode that ran out of time is lost on reading.",
)
flags.DEFINE_integer(
    "mantissa_bits",
    23,
    "Round numbers to this many bits after the leading one: 10 (a relative error of 0.0005) makes "
    "files about half as large.",
    lower_bound=1,
    upper_bound=23,
)
flags.DEFINE_list("hidden", ["256", "256"], "Layers of SAC's networks.")
flags.DEFINE_integer("batch_size", 256, "SAC's batch.", lower_bound=1)


def fresh_policy(env: Any, seed: int) -> ActorCritic:
    """An untrained actor-critic with a seed axis of one."""
    import jax
    import jax.numpy as jnp

    from smac_jax.algorithms.base import NetworkConfig, new_actor_critic
    from smac_jax.train.keys import stream_keys

    hidden = tuple(int(width) for width in FLAGS.hidden)
    network = NetworkConfig(actor_hidden=hidden, critic_hidden=hidden)
    zeros, ones = jnp.zeros(env.observation_size), jnp.ones(env.observation_size)
    build = jax.vmap(lambda key: new_actor_critic(network, key, zeros, ones, env.action_size))
    return build(stream_keys((seed,), "init"))


def train(env: Any, seed: int, steps: int, until: float | None) -> FinetuneResult:
    """SAC from nothing; stops at the first evaluation whose mean return is at least ``until``."""
    from smac_jax.train.online import finetune

    def reached(step: int, returns: np.ndarray) -> bool:
        print(
            f"  step {step:>8,}  return {returns.mean():8.1f}  "
            f"(lowest {returns.min():.1f}, highest {returns.max():.1f})"
        )
        return until is not None and bool(returns.mean() >= until)

    return finetune(
        "sac",
        fresh_policy(env, seed),
        env,
        seeds=(seed,),
        num_steps=steps,
        # Haarnoja's settings, not SMAC's: entropy in the backup, and a temperature that starts at one
        config={
            "batch_size": FLAGS.batch_size,
            "actor_learning_rate": 3e-4,
            "entropy_backup": True,
            "initial_temperature": 1.0,
        },
        warm_start=5_000,
        eval_every=FLAGS.eval_every,
        eval_episodes=FLAGS.eval_episodes,
        on_evaluation=reached,
    )


def replay_arrays(buffer: ReplayBuffer) -> dict[str, np.ndarray]:
    """A replay buffer that never wrapped, in the order it was filled, with the time-outs marked."""
    size = int(np.asarray(buffer.size)[0])
    stored = {
        name: np.asarray(getattr(buffer.storage, name))[0, :size]
        for name in ("observation", "action", "reward", "next_observation", "terminal")
    }
    terminals = stored["terminal"] > 0.5
    new_episode = np.ones(
        size, bool
    )  # the row after the last would start one: the tail is cut, so marked as a time-out
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
    """``size`` transitions of a (sampled, not deterministic) policy in ``num_envs`` environments side by side.

    Each environment's stream stands in the file in one piece; where it is cut, the row is marked as a time-out.
    """
    import jax
    import jax.numpy as jnp

    from smac_jax.envs import AutoReset

    wrapped = AutoReset(env)
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
    """Float32 numbers with only ``bits`` bits after the leading one, half away from zero; other types as they are."""
    if values.dtype != np.float32 or bits >= 23:
        return values
    dropped = np.uint32(23 - bits)
    half, mask = np.uint32(1) << (dropped - np.uint32(1)), ~((np.uint32(1) << dropped) - np.uint32(1))
    return ((values.view(np.uint32) + half) & mask).view(np.float32)


def save(kind: str, arrays: dict[str, np.ndarray], recipe: str) -> Path:
    """Writes one set, with how it was made."""
    from smac_jax.data.d4rl import read_d4rl, write_d4rl
    from smac_jax.train.logger import command_line, versions

    path = Path(FLAGS.out) / f"{FLAGS.task}-{kind}.hdf5"
    path.parent.mkdir(parents=True, exist_ok=True)
    if FLAGS.mantissa_bits < 23:
        recipe += f"; numbers rounded to {FLAGS.mantissa_bits} bits"
    arrays = {name: round_mantissa(values, FLAGS.mantissa_bits) for name, values in arrays.items()}
    metadata = {
        "task": FLAGS.task,
        "kind": kind,
        "recipe": recipe,
        "seed": FLAGS.seed,
        "command": command_line(),
        "date": datetime.date.today().isoformat(),
        "versions": json.dumps(versions(), sort_keys=True),
    }
    write_d4rl(path, arrays, metadata=metadata, next_observations=FLAGS.next_observations)
    print(f"\n{path}  ({path.stat().st_size / 1e6:.1f} MB)\n{read_d4rl(path).summary()}")
    return path


def main(argv: Sequence[str]) -> int:
    """Makes the sets that --kinds names."""
    del argv
    set_up()
    unknown = sorted(set(FLAGS.kinds) - set(KINDS))
    if unknown or not FLAGS.kinds:
        raise UnknownNameError("kind", unknown[0] if unknown else "", KINDS)
    env = make_env(FLAGS.task, physics="mujoco")
    wanted = set(FLAGS.kinds)
    medium: dict[str, np.ndarray] | None = None
    if "random" in wanted:
        save(
            "random", rollout_arrays(env, fresh_policy(env, FLAGS.seed), FLAGS.size, FLAGS.seed), "untrained SAC policy"
        )
    if wanted & {"medium", "medium-replay", "medium-expert"}:
        goal = FLAGS.medium_fraction * TASKS[FLAGS.task].expert_return
        print(f"SAC until its return is {goal:.0f}, {FLAGS.medium_fraction:.0%} of D4RL's expert")
        result = train(env, FLAGS.seed, FLAGS.max_steps, until=goal)
        reached = float(result.returns[0, -1].mean())
        if reached < goal:
            raise SmacError(
                f"SAC reached {reached:.0f} of {goal:.0f} in {FLAGS.max_steps:,} steps; give it more --max_steps."
            )
        story = f"SAC stopped at {result.evaluation_steps[-1]:,} steps, at a return of {reached:.1f}"
        if "medium-replay" in wanted:
            save("medium-replay", replay_arrays(result.buffer), f"replay buffer of {story}")
        if wanted & {"medium", "medium-expert"}:
            medium = rollout_arrays(env, result.actor_critic, FLAGS.size, FLAGS.seed)
        if "medium" in wanted and medium is not None:
            save("medium", medium, f"samples of {story}")
    if wanted & {"expert", "medium-expert"}:
        result = train(env, FLAGS.seed, FLAGS.expert_steps, until=None)
        expert = rollout_arrays(env, result.actor_critic, FLAGS.size, FLAGS.seed + 1)
        story = f"SAC after {FLAGS.expert_steps:,} steps, at a return of {result.returns[0, -1].mean():.1f}"
        if "expert" in wanted:
            save("expert", expert, f"samples of {story}")
        if "medium-expert" in wanted and medium is not None:
            both = {key: np.concatenate([medium[key], expert[key]]) for key in medium}
            save("medium-expert", both, f"medium, then samples of {story}")
    return 0


if __name__ == "__main__":
    run(main)
