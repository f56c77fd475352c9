"""Any Gymnasium environment with vectors to observe and to act by, on the interface of the others.

Gymnasium's environments change in place; ours are pure functions of a state. Here the state is what has happened: the
seed of the episode and its actions so far. An environment that has come that far is kept alive on the host and goes on
with the next action; where there is none (after a resumption, or when a state is stepped from twice), one is made from
the seed and the actions again. So a program may step, go back, be stopped and go on, and gets the same episodes,
provided that an environment does the same when it is given the same seed and actions, as Gymnasium asks of it.

The compiled program calls back to Python in every step, and a batch is stepped one after the other, on one core: for
evaluation, and for fine-tuning a few seeds. Where one of our own tasks is the same (they equal Gymnasium's), take it.
"""

from __future__ import annotations

import contextlib
import hashlib
import threading
import warnings
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from brax.envs.base import Env, State
from flax import struct
from gymnasium import spaces
from jaxtyping import Bool, Float, UInt32

from smac_jax.config import whole_number
from smac_jax.envs.adapters.gymnasium_checks import CheckedEnv, check_spaces
from smac_jax.envs.host_errors import as_raised_on_host, raise_on_host
from smac_jax.errors import ConfigError, SmacError, UnknownNameError
from smac_jax.types import AnyArray, Array, Key

_DIGEST = 2  # 32-bit words


class Episode(struct.PyTreeNode):
    """What has happened in an episode, which is all that its state depends on.

    Attributes:
      seed: that the environment was reset with.
      actions: taken so far, then zeros.
      count: how many.
      digest: of the seed and the actions so far: by it the environment that has come that far is found.
      over: it ended, for either reason; further steps do nothing.
    """

    seed: UInt32[Array, ""]
    actions: Float[Array, "time action"]
    count: UInt32[Array, ""]
    digest: UInt32[Array, "2"]
    over: Bool[Array, ""]


class GymnasiumEnv(Env):
    """One of Gymnasium's environments; `jax.vmap` its methods for many.

    Actions in [-1, 1] are scaled to the bounds of the environment's action space, and clipped to them. Observations
    are flattened as ``gymnasium.spaces.flatten`` does. ``state.info["truncated"]`` is 1 where the environment's own
    time limit has cut the episode.

    Args:
      name: Gymnasium's id, such as ``"Hopper-v4"``, or ``"module:ID"`` to import what registers it.
      episode_length: the longest episode; default: the environment's own limit, or 1,000 where it has none.
      instances: environments kept alive; default: two for each of the largest batch. Where there are too few, they are
        made again from their seeds and actions, which gives the same numbers, later.
      **kw: for ``gymnasium.make``.

    Raises:
      UnknownNameError: Gymnasium knows none of that name.
      ConfigError: it cannot be made; its observations or actions are not vectors with bounds; or its first reset or
        step is not what Gymnasium asks for. Later ones raise it, too, where they happen.
    """

    def __init__(self, name: str, episode_length: int | None = None, instances: int | None = None, **kw: Any):
        if episode_length is not None:
            episode_length = whole_number(f"gymnasium:{name}: episode_length", episode_length, 1)
        if instances is not None:
            instances = whole_number(f"gymnasium:{name}: instances", instances, 1)
        self._name = name
        first = self._prepared(_make(name, kw))
        self._actions = check_spaces(name, first)
        self._observation_size = spaces.flatdim(first.observation_space)
        self._low, self._high = (np.asarray(x, np.float64).ravel() for x in (self._actions.low, self._actions.high))
        limit = first.spec.max_episode_steps if first.spec else None
        self.episode_length = int(episode_length or limit or 1000)
        checked = CheckedEnv(name, first)
        # what is wrong with it is said before anything is trained
        checked.reset(0)
        checked.step(self._scaled(np.zeros(len(self._low), np.float32)))
        self._worlds = _Worlds(lambda: CheckedEnv(name, self._prepared(_make(name, kw))), checked, instances)

    def _prepared(self, env: gymnasium.Env) -> gymnasium.Env:
        """The environment as it is stepped; for adapters of one library's."""
        return env

    def reset(self, rng: Key) -> State:
        """A new episode, whose seed is drawn from the key."""
        return self.reset_where(rng, jnp.ones((), jnp.float32))

    def reset_where(self, rng: Key, wanted: Float[Array, ""]) -> State:
        """A new episode where ``wanted`` is above 0; elsewhere zeros, and no environment is touched."""
        seed = jax.random.bits(rng, (), jnp.uint32)
        message = jnp.stack([seed, (wanted > 0).astype(jnp.uint32)])
        answer = self._call(self._begin, message)
        return State(
            pipeline_state=Episode(
                seed=seed,
                actions=jnp.zeros((self.episode_length, self.action_size), jnp.float32),
                count=jnp.zeros((), jnp.uint32),
                digest=answer[:_DIGEST],
                over=jnp.zeros((), bool),
            ),
            obs=_floats(answer[_DIGEST + 3 :]),
            reward=jnp.zeros((), jnp.float32),
            done=jnp.zeros((), jnp.float32),
            metrics={},
            info={"truncated": jnp.zeros((), jnp.float32)},
        )

    def step(self, state: State, action: Float[AnyArray, " action"]) -> State:
        """One step. After the end of an episode nothing happens any more, and the reward is 0."""
        before = state.pipeline_state
        action = jnp.clip(action.astype(jnp.float32), -1.0, 1.0)
        head = jnp.stack([before.seed, before.count, before.over.astype(jnp.uint32), *before.digest])
        # where the live environment is lost, the host needs all the actions
        answer = self._call(self._advance, jnp.concatenate([head, _words(action), _words(before.actions.ravel())]))
        (reward, terminated, truncated), observation = jnp.split(_floats(answer[_DIGEST:]), [3])
        count = before.count + 1
        truncated = jnp.where(count >= self.episode_length, 1.0 - terminated, truncated)
        after = Episode(
            seed=before.seed,
            actions=before.actions.at[before.count].set(action),
            count=count,
            digest=answer[:_DIGEST],
            over=(terminated > 0) | (truncated > 0),
        )
        return state.replace(
            pipeline_state=jax.tree.map(lambda old, new: jnp.where(before.over, old, new), before, after),
            obs=jnp.where(before.over, state.obs, observation),
            reward=jnp.where(before.over, 0.0, reward),
            done=jnp.where(before.over, state.done, terminated),
            info=state.info | {"truncated": jnp.where(before.over, state.info["truncated"], truncated)},
        )

    @property
    def observation_size(self) -> int:
        """Length of ``state.obs``."""
        return self._observation_size

    @property
    def action_size(self) -> int:
        """Length of an action, each number in [-1, 1]."""
        return len(self._low)

    @property
    def backend(self) -> str:
        """Who steps it: "gymnasium"."""
        return "gymnasium"

    def _call(self, host: Callable[[np.ndarray], np.ndarray], message: UInt32[Array, " words"]) -> Array:
        # an answer: the digest, the reward, whether it terminated, whether it was truncated, the observation
        answer = jax.ShapeDtypeStruct((_DIGEST + 3 + self.observation_size,), jnp.uint32)
        call = partial(jax.pure_callback, partial(_rows, host), answer, vmap_method="broadcast_all")
        if isinstance(message, jax.core.Tracer):
            return call(message)
        with as_raised_on_host():
            return jax.block_until_ready(call(message))

    def _begin(self, messages: UInt32[np.ndarray, "n 2"]) -> UInt32[np.ndarray, "n answer"]:
        answers = np.zeros((len(messages), _DIGEST + 3 + self.observation_size), np.uint32)
        for answer, (seed, wanted) in zip(answers, messages, strict=True):
            if wanted:
                digest, observation = self._worlds.begin(int(seed), len(messages))
                self._write(answer, digest, 0.0, False, False, observation)
        return answers

    def _advance(self, messages: UInt32[np.ndarray, "n words"]) -> UInt32[np.ndarray, "n answer"]:
        answers = np.zeros((len(messages), _DIGEST + 3 + self.observation_size), np.uint32)
        for answer, message in zip(answers, messages, strict=True):
            (seed, count, over), digest = message[:3], message[3 : 3 + _DIGEST].tobytes()
            if over:
                continue
            numbers = np.ascontiguousarray(message[3 + _DIGEST :]).view(np.float32).reshape(-1, self.action_size)
            action, past = numbers[0], numbers[1 : 1 + count]
            digest, outcome = self._worlds.advance(digest, int(seed), past, action, self._scaled, len(messages))
            observation, reward, terminated, truncated = outcome
            self._write(answer, digest, reward, terminated, truncated and not terminated, observation)
        return answers

    def _write(
        self,
        answer: np.ndarray,
        digest: bytes,
        reward: float,
        terminated: bool,
        truncated: bool,
        observation: Float[np.ndarray, " observation"],
    ) -> None:
        answer[:_DIGEST] = np.frombuffer(digest, np.uint32)
        numbers = np.concatenate([np.array([reward, terminated, truncated], np.float32), observation])
        answer[_DIGEST:] = numbers.view(np.uint32)

    def _scaled(self, action: Float[np.ndarray, " action"]) -> np.ndarray:
        # exact where the bounds are -1 and 1
        value = self._low + (action.astype(np.float64) + 1.0) * (0.5 * (self._high - self._low))
        value = np.where((self._low == -1.0) & (self._high == 1.0), action, np.clip(value, self._low, self._high))
        return value.astype(self._actions.dtype).reshape(self._actions.shape)


class _Worlds:
    """Live environments, each found by the digest of what has happened in it."""

    def __init__(self, make: Callable[[], CheckedEnv], first: CheckedEnv, instances: int | None):
        self._make, self._instances, self._largest, self._made = make, instances, 1, 1
        self._idle: deque[CheckedEnv] = deque([first])
        # several may have come to the same point; the longest unused stand first
        self._live: OrderedDict[bytes, list[CheckedEnv]] = OrderedDict()
        self._lock = threading.Lock()  # several devices may call at the same time

    def begin(self, seed: int, batch: int) -> tuple[bytes, Float[np.ndarray, " observation"]]:
        """A new episode: its digest and the first observation."""
        with self._lock:
            env = self._take(batch)
            with self._idle_after_an_error(env):
                observation = env.reset(seed)
            digest = _digest(seed.to_bytes(4, "little"))
            self._keep(digest, env)
            return digest, observation

    def advance(
        self,
        digest: bytes,
        seed: int,
        past: Float[np.ndarray, "count action"],
        action: Float[np.ndarray, " action"],
        scaled: Callable[[np.ndarray], np.ndarray],
        batch: int,
    ) -> tuple[bytes, tuple[Float[np.ndarray, " observation"], float, bool, bool]]:
        """One more step of the episode with this digest: the next digest, and what the step returned."""
        with self._lock:
            found = self._live.get(digest)
            if found:
                env = found.pop()
                if not found:
                    del self._live[digest]
            else:
                env = self._take(batch)
                with self._idle_after_an_error(env):
                    env.reset(seed)
                    for earlier in past:
                        env.step(scaled(earlier))
            with self._idle_after_an_error(env):
                outcome = env.step(scaled(action))
            digest = _digest(digest + action.tobytes())
            if outcome[2] or outcome[3]:
                self._idle.append(env)
            else:
                self._keep(digest, env)
            return digest, outcome

    @contextlib.contextmanager
    def _idle_after_an_error(self, env: CheckedEnv) -> Iterator[None]:
        try:
            yield
        except Exception:
            self._idle.append(env)  # to be reset by whoever takes it
            raise

    def _keep(self, digest: bytes, env: CheckedEnv) -> None:
        self._live.setdefault(digest, []).append(env)
        self._live.move_to_end(digest)

    def _take(self, batch: int) -> CheckedEnv:
        self._largest = max(self._largest, batch)
        if self._idle:
            return self._idle.pop()
        if self._made < (self._instances or 2 * self._largest):
            self._made += 1
            return self._make()
        oldest = next(iter(self._live))
        env = self._live[oldest].pop()
        if not self._live[oldest]:
            del self._live[oldest]
        return env


def _make(name: str, kw: dict[str, Any]) -> gymnasium.Env:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that there is a newer version: who names v4 means it
            # its checker compares every observation with the space in Python, at every step
            return gymnasium.make(name, disable_env_checker=True, **kw)
    except (gymnasium.error.UnregisteredEnv, gymnasium.error.NamespaceNotFound) as error:
        raise UnknownNameError("environment of Gymnasium", name, tuple(gymnasium.registry)) from error
    except Exception as error:  # whatever the environment's own code raises
        raise ConfigError(f"gymnasium:{name} cannot be made: {type(error).__name__}: {error}") from error


def _rows(host: Callable[[np.ndarray], np.ndarray], message: np.ndarray) -> np.ndarray:
    """Calls with a list of messages, however many axes they came with. NumPy only: JAX could wait for us."""
    message = np.asarray(message)
    try:
        return host(message.reshape(-1, message.shape[-1])).reshape(*message.shape[:-1], -1)
    except SmacError as error:
        raise_on_host(error)


def _digest(what: bytes) -> bytes:
    return hashlib.blake2b(what, digest_size=4 * _DIGEST).digest()


def _words(x: Float[Array, " n"]) -> UInt32[Array, " n"]:
    return jax.lax.bitcast_convert_type(x, jnp.uint32)


def _floats(x: UInt32[Array, " n"]) -> Float[Array, " n"]:
    return jax.lax.bitcast_convert_type(x, jnp.float32)
