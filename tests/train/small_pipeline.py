"""The library from data to evaluation at the smallest size, in a separate process, for tests of JAX's switches.

JAX_ENABLE_X64=1 python small_pipeline.py train    pre-trains, fine-tunes and evaluates; prints the results as JSON
JAX_ENABLE_X64=1 python small_pipeline.py types    prints arrays of 64 bits in algorithms and environments
    JAX_DEBUG_NANS=1 python small_pipeline.py every    a few updates of every algorithm; prints which ones diverged
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import survivor
from small_data import noise_of_hopper

import smac_jax
from smac_jax.algorithms import OFFLINE, ONLINE, make_offline, make_online
from smac_jax.envs import AutoReset
from smac_jax.scores import damped_policy_score

sys.path.append(str(Path(__file__).parents[1] / "algorithms"))
from small_algorithms import small, transfers_to

TASKS = ("hopper", "walker2d", "halfcheetah", "ant", "gymnasium:Pendulum-v1", "brax:fast")
HANDS = ("pen", "door", "hammer-binary", "relocate", "kitchen-partial")
LENGTH = 6


def train() -> dict[str, Any]:
    """Trains SMAC on hopper with the C engine, transfers it to SAC, and trains a policy in Gymnasium's Pendulum."""
    data, env = noise_of_hopper(), smac_jax.make_env("hopper", physics="mujoco")
    size = {"eval_every": 4, "eval_episodes": 1, "episode_length": LENGTH, "progress": False}
    off = smac_jax.pretrain("smac", data, 1, 4, small("smac"), env=env, **size)
    online = {"warm_start": 4, "config": {"batch_size": 16}, **size}
    on = smac_jax.finetune("sac", off.actor_critic, env, data, 1, 4, training_state=off.training_state, **online)
    returns = smac_jax.evaluate(on.actor_critic, env, 2, episode_length=LENGTH)
    pendulum = smac_jax.make_env("gymnasium:Pendulum-v1")
    rng = np.random.default_rng(0)
    seen, acted = rng.normal(size=(40, 3)), rng.uniform(-1, 1, (40, 1))
    swings = smac_jax.Dataset.from_arrays(seen, acted, seen[:, 0], np.arange(40) % 10 == 9)
    swung = smac_jax.pretrain("td3_bc", swings, 1, 2, small("td3_bc"), progress=False)
    on_pendulum = smac_jax.finetune("td3", swung.actor_critic, pendulum, swings, 1, 4, **online)
    results = {"off": off.actor_critic, "on": (on.actor_critic, on.buffer), "pendulum": on_pendulum.buffer}
    return {
        "returns": np.concatenate(
            [x.ravel() for x in (off.returns, on.returns, returns, on_pendulum.returns)]
        ).tolist(),
        "sums": {name: float(sum(np.abs(x).sum() for x in arrays(tree))) for name, tree in results.items()},
        "types": sorted({str(x.dtype) for x in arrays(results)}),
        "diverged": [*off.diverged.tolist(), *on.diverged.tolist(), *on_pendulum.diverged.tolist()],
        "metrics": {name: float(value[-1].mean()) for name, value in off.metrics.items() if name != "phase"},
    }


def every() -> list[Any]:
    """Computes a few updates of every algorithm, each in its own chunk, and cases in which numbers can be zero."""
    data, env = noise_of_hopper(), smac_jax.make_env("hopper", physics="mujoco")
    more: dict[str, list[dict[str, Any]]] = {
        "smac": [{"kappa": 0.0}, {"score": "policy"}, {"kappa_adaptation": "residual"}],
        "cql": [{"max_target_backup": True, "return_span": 5.0}],
    }
    ended = []
    for i, name in enumerate(OFFLINE):
        for given in more.get(name, [{}]):
            off = smac_jax.pretrain(name, data, 1, 3, {**small(name), **given}, eval_every=1, progress=False)
            ended.append([name, off.diverged.tolist()])
        size = {"warm_start": 1, "eval_every": 1, "eval_episodes": 1, "episode_length": LENGTH, "progress": False}
        ends = transfers_to(name)
        online = ends[i % len(ends)]
        learn = {"batch_size": 16, "utd": 2}
        on = smac_jax.finetune(online, off.actor_critic, env, data, 1, 2, learn, **size)
        ended.append([online, on.diverged.tolist()])
    return ended


def arrays(tree: Any) -> list[np.ndarray]:
    """Returns the arrays of a tree, without random keys."""
    return [np.asarray(x) for x in jax.tree.leaves(tree) if not jnp.issubdtype(x.dtype, jax.dtypes.prng_key)]


def wide(tree: Any, name: str) -> Iterator[str]:
    """Returns the leaves of a tree (or of its shapes) with 64-bit numbers."""
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        if str(leaf.dtype) in ("float64", "int64", "uint64", "complex128"):
            yield f"{name}{jax.tree_util.keystr(path)}: {leaf.dtype}"


def types() -> Iterator[str]:
    """Traces every algorithm and steps every environment, and prints the arrays that do not have 32 bits."""
    key, data = jax.random.key(0), noise_of_hopper()
    batch = data.sample(key, 16)
    yield from wide((data, batch, data.with_next_actions()), "data")
    off = make_offline("smac", small("smac"))
    begun = jax.eval_shape(off.init, key, data)
    start = jax.eval_shape(off.actor_critic, begun), jax.eval_shape(off.training_state, begun)
    for name in OFFLINE:
        others = {"smac": {"score": "policy"}, "none": {"return_span": 9.0}}
        for more in ({}, others.get(name, {"optimizer": "muon", "return_span": 9.0})):
            built = make_offline(name, {**small(name), **more})
            state, batch = jax.eval_shape(built.init, key, data), built.prepare(data).sample(key, 16)
            for phase in built.phases:
                after = jax.eval_shape(phase.update, state, batch, key)
                yield from wide((state, after), f"{name} {phase.name}")
            yield from wide(jax.eval_shape(built.diagnostics, state, batch, key), f"{name} diagnostics")
    for name in ONLINE:
        made = make_online(name, {"batch_size": 16, "utd": 2})
        state = jax.eval_shape(made.init, key, *start)
        after = jax.eval_shape(made.update, state, batch, key), jax.eval_shape(made.act, state, jnp.zeros(11), key)
        yield from wide((state, after), f"{name} online")
    worlds = {name: smac_jax.make_env(name) for name in (*TASKS, *HANDS)}
    worlds |= {"hopper v5": smac_jax.make_env("hopper", version="v5"), "ant v5": smac_jax.make_env("ant", version="v5")}
    worlds["hopper mjx"] = smac_jax.make_env("hopper", physics="mjx")
    worlds["hopper by callback"] = smac_jax.make_env("hopper", physics="mujoco", native=False)
    for name, env in worlds.items():
        wrapped = AutoReset(env, LENGTH)
        state = jax.eval_shape(wrapped.reset, key)
        after = jax.eval_shape(wrapped.step, state, jnp.zeros(env.action_size))
        if not name.startswith("brax:"):  # their own states have the default precision of JAX
            yield from wide((state, after), name)
        for (path, old), new in zip(jax.tree_util.tree_leaves_with_path(state), jax.tree.leaves(after), strict=True):
            if (old.shape, old.dtype) != (new.shape, new.dtype):
                yield f"{name}{jax.tree_util.keystr(path)}: a step makes {new.dtype} of {old.dtype}"
    policy = off.actor_critic(off.init(key, data)).policy(np.zeros(11))
    yield from wide((policy, damped_policy_score(policy, jnp.zeros(3, jnp.float32))), "policy")


if __name__ == "__main__":
    survivor.use_cache(Path.home() / ".cache" / "smac_jax" / "tests")
    print(json.dumps({"train": train, "types": lambda: list(types()), "every": every}[sys.argv[1]]()))
