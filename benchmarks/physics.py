r"""Environment steps per second by task, engine and number of environments, with Gymnasium and `mujoco.rollout`.

    python -m benchmarks.physics --tasks=hopper,ant --engines=native,mjx --environments=1,128 --json=physics.json

The actions are random, and environments are reset automatically. `mujoco.rollout` steps the same number of states for
20 environment steps at a time from initial states, so that both simulate similar states: robots that begin to fall.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Sequence
from typing import Any

import gymnasium
import jax
import jax.numpy as jnp
import mujoco
import mujoco.rollout
import numpy as np
from absl import flags

import smac_jax
from benchmarks.measure import Case, Report, in_turns, rows
from smac_jax.envs import TASKS, AutoReset
from smac_jax.errors import SmacError, UnknownNameError
from smac_jax.sweep.program import run
from smac_jax.text import count

FLAGS = flags.FLAGS
flags.DEFINE_list("tasks", ["hopper", "walker2d", "halfcheetah", "ant"], "Tasks.")
flags.DEFINE_list(
    "engines", ["native", "callback"], "Engines: native, callback (both C), mjx, warp (both slow to compile)."
)
flags.DEFINE_list("environments", ["1", "16", "128"], "Numbers of parallel environments.")
flags.DEFINE_integer("length", 100, "Environment steps per compiled call.", lower_bound=1)

NAMES = {"hopper": "Hopper-v4", "walker2d": "Walker2d-v4", "halfcheetah": "HalfCheetah-v4", "ant": "Ant-v4"}
BARE_STEPS = 20


def loop(env: Any, number: int, length: int) -> Callable[[], None]:
    """``length`` steps of ``number`` environments in one compiled scan."""
    wrapped = AutoReset(env)

    @jax.jit
    def steps(states: Any, key: jax.Array) -> Any:
        def one(states: Any, i: jax.Array) -> tuple[Any, None]:
            shape = (number, env.action_size)
            actions = jax.random.uniform(jax.random.fold_in(key, i), shape, minval=-1.0, maxval=1.0)
            return jax.vmap(wrapped.step)(states, actions), None

        return jax.lax.scan(one, states, jnp.arange(length))[0]

    key = jax.random.key(0)
    held = {"states": jax.jit(jax.vmap(wrapped.reset))(jax.random.split(key, number)), "calls": 0}

    def call() -> None:
        held["calls"] += 1
        held["states"] = steps(held["states"], jax.random.fold_in(key, held["calls"]))
        jax.block_until_ready(held["states"].obs)

    return call


def gymnasium_loop(task: str, length: int) -> Callable[[], None]:
    """``length`` steps of Gymnasium's environment."""
    env = gymnasium.make(NAMES[task])
    env.reset(seed=0)
    actions = np.random.default_rng(0).uniform(-1, 1, (length, *(env.action_space.shape or ()))).astype(np.float32)

    def call() -> None:
        for action in actions:
            _, _, terminated, truncated, _ = env.step(action)
            if terminated or truncated:
                env.reset()

    return call


def bare_rollout(task: str, number: int) -> Callable[[], None]:
    """``BARE_STEPS`` environment steps of ``number`` states by ``mujoco.rollout`` on all cores."""
    env: Any = gymnasium.make(NAMES[task]).unwrapped
    model, frame_skip = env.model, env.frame_skip
    random = np.random.default_rng(0)
    threads = min(number, _cores())
    data = [mujoco.MjData(model) for _ in range(threads)]
    size = mujoco.mj_stateSize(model, mujoco.mjtState.mjSTATE_FULLPHYSICS)
    first = np.zeros((number, size))
    for i in range(number):
        env.reset(seed=i)
        mujoco.mj_getState(model, env.data, first[i], mujoco.mjtState.mjSTATE_FULLPHYSICS)
    actions = random.uniform(-1, 1, (number, BARE_STEPS, model.nu)).repeat(frame_skip, axis=1)
    pool = mujoco.rollout.Rollout(nthread=threads if threads > 1 else 0)

    def call() -> None:
        pool.rollout(model, data, first, actions)

    return call


def engine_of(task: str, name: str) -> Any:
    """An environment on the C engine, called natively or back through Python, on MJX or on Warp.

    Raises:
      UnknownNameError: another name.
    """
    if name not in ("native", "callback", "mjx", "warp"):
        raise UnknownNameError("engine (--engines)", name, ("native", "callback", "mjx", "warp"))
    if name in ("mjx", "warp"):
        return smac_jax.make_env(task, physics=name)
    return smac_jax.make_env(task, physics="mujoco", native=name == "native")


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def main(argv: Sequence[str]) -> int:
    """Measures and reports."""
    del argv
    if importlib.util.find_spec("imageio") is None:  # Gymnasium's MuJoCo tasks import it
        raise SmacError("Gymnasium's MuJoCo tasks cannot be imported; pip install -e '.[bench]'")
    gymnasium.logger.min_level = gymnasium.logger.ERROR  # v4 is deprecated, but D4RL's data were logged in it
    report = Report("Physics", "Environment steps with random actions and automatic reset; version v4")
    for task in FLAGS.tasks:
        if task not in TASKS:
            raise UnknownNameError("task (--tasks)", task, tuple(TASKS))
        for number in map(int, FLAGS.environments):
            cases = [Case("mujoco.rollout, bare", bare_rollout(task, number), units=number * BARE_STEPS)]
            if number == 1:
                cases.append(Case("Gymnasium", gymnasium_loop(task, FLAGS.length), units=FLAGS.length))
            for engine in FLAGS.engines:
                made = loop(engine_of(task, engine), number, FLAGS.length)
                cases.append(Case(f"compiled loop, {engine}", made, units=number * FLAGS.length))
            made_rows = [
                {k: v for k, v in line.items() if k not in ("MFLOP each", "% of peak")}
                for line in rows(report, in_turns(cases), "steps/s")
            ]
            report.table(f"{task}, {count(number, 'environment')}", made_rows)
    report.finish()
    return 0


if __name__ == "__main__":
    run(main)
