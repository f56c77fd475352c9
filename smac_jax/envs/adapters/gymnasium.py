"""Gymnasium environments whose observations and actions are vectors, with the interface of Brax.

Gymnasium's environments change in place, but a Brax environment is a pure function of a state. Here the state consists
of the seed of the episode and its actions so far. On the host, the instance that has executed these actions is kept and
executes the next one. If there is no such instance (after a resumption, or if a state is stepped twice), an instance is
reset with the seed and executes the actions again. So a program can step, go back, stop and resume, and it gets the
same episodes, provided that the environment is deterministic for a given seed and actions, as Gymnasium requires.

The compiled program calls Python in every step, and a batch is stepped sequentially, on one core. That is fast enough
for evaluation, and for fine-tuning a few seeds. If this package has an equal task of its own, use that.
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
from smac_jax.envs.adapters.gymnasium_checks import CheckedEnv, check_goal, check_spaces
from smac_jax.envs.host_errors import as_raised_on_host, raise_on_host
from smac_jax.errors import ConfigError, SmacError, UnknownNameError
from smac_jax.types import AnyArray, Array, Key

_DIGEST = 2  # 32-bit words


class Episode(struct.PyTreeNode):
    """The history of an episode, which determines its state.

    Attributes:
      seed: the seed of the environment's reset.
      actions: the actions so far, then zeros.
      count: the number of actions so far.
      digest: a digest of the seed and the actions so far. It identifies the instance that has executed them.
      over: whether the episode has terminated or was truncated. Further steps then do nothing.
    """

    seed: UInt32[Array, ""]
    actions: Float[Array, "time action"]
    count: UInt32[Array, ""]
    digest: UInt32[Array, "2"]
    over: Bool[Array, ""]


class GymnasiumEnv(Env):
    """One of Gymnasium's environments. For several environments, use `jax.vmap` on its methods.

    Actions in [-1, 1] are scaled to the bounds of the environment's action space, and clipped to them. Observations
    are flattened as in ``gymnasium.spaces.flatten``. ``state.info["truncated"]`` is 1 where the environment's own time
    limit has ended the episode.

    Args:
      name: Gymnasium's id, such as ``"Hopper-v4"``, or ``"module:ID"``, which imports the module that registers it.
      episode_length: the time limit in steps. By default it is the environment's own limit, or 1,000 if it has none.
      instances: how many instances are kept; by default two for each environment of the largest batch. With fewer
        instances, episodes are executed again from their seeds and actions, which is slower and gives the same numbers.
      **kw: arguments of ``gymnasium.make``.

    Raises:
      UnknownNameError: Gymnasium has no environment of that name.
      ConfigError: the environment cannot be made, its goal is not observed, its observations or actions are not vectors
        with bounds, or its first reset or step violates Gymnasium's contract. Later resets and steps raise it in the
        same way.
    """

    def __init__(self, name: str, episode_length: int | None = None, instances: int | None = None, **kw: Any):
        if episode_length is not None:
            episode_length = whole_number(f"gymnasium:{name}: episode_length", episode_length, 1)
        if instances is not None:
            instances = whole_number(f"gymnasium:{name}: instances", instances, 1)
        self._name = name
        first = self._prepare(_make(name, kw))
        check_goal(name, first)
        self._actions = check_spaces(name, first)
        self._observation_size = spaces.flatdim(first.observation_space)
        self._low, self._high = (np.asarray(x, np.float64).ravel() for x in (self._actions.low, self._actions.high))
        limit = first.spec.max_episode_steps if first.spec else None
        self.episode_length = int(episode_length or limit or 1000)
        checked = CheckedEnv(name, first)
        # errors in the environment show before any training
        checked.reset(0)
        checked.step(self._scaled(np.zeros(len(self._low), np.float32)))
        self._instances = _Instances(lambda: CheckedEnv(name, self._prepare(_make(name, kw))), checked, instances)

    def _prepare(self, env: gymnasium.Env) -> gymnasium.Env:
        """Returns the environment to be stepped. Subclasses may wrap it."""
        return env

    def reset(self, rng: Key) -> State:
        """Starts a new episode, whose seed is drawn from the key."""
        return self.reset_where(rng, jnp.ones((), jnp.float32))

    def reset_where(self, rng: Key, wanted: Float[Array, ""]) -> State:
        """Starts a new episode where ``wanted`` is above 0. Elsewhere the result is zeros, and no instance is used."""
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
        """Computes one step. After the end of an episode, steps change nothing and the reward is 0."""
        before = state.pipeline_state
        action = jnp.clip(action.astype(jnp.float32), -1.0, 1.0)
        head = jnp.stack([before.seed, before.count, before.over.astype(jnp.uint32), *before.digest])
        # the host needs all actions, in case that no instance has executed them
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
        """The length of ``state.obs``."""
        return self._observation_size

    @property
    def action_size(self) -> int:
        """The length of an action. Each number is in [-1, 1]."""
        return len(self._low)

    @property
    def backend(self) -> str:
        """The name of the library that computes the steps: "gymnasium"."""
        return "gymnasium"

    def _call(self, host: Callable[[np.ndarray], np.ndarray], message: UInt32[Array, " words"]) -> Array:
        # an answer holds the digest, the reward, whether the episode terminated or was truncated, and the observation
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
                digest, observation = self._instances.begin(int(seed), len(messages))
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
            digest, outcome = self._instances.advance(digest, int(seed), past, action, self._scaled, len(messages))
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
        # unchanged if the bounds are -1 and 1
        value = self._low + (action.astype(np.float64) + 1.0) * (0.5 * (self._high - self._low))
        value = np.where((self._low == -1.0) & (self._high == 1.0), action, np.clip(value, self._low, self._high))
        return value.astype(self._actions.dtype).reshape(self._actions.shape)


class _Instances:
    """Instances of an environment. Each is found by the digest of the history that it has executed."""

    def __init__(self, make: Callable[[], CheckedEnv], first: CheckedEnv, limit: int | None):
        self._make, self._limit, self._largest_batch, self._count = make, limit, 1, 1
        self._idle: deque[CheckedEnv] = deque([first])
        # several instances may have the same history; those that were not used for the longest time come first
        self._live: OrderedDict[bytes, list[CheckedEnv]] = OrderedDict()
        self._lock = threading.Lock()  # several devices may call at the same time

    def begin(self, seed: int, batch: int) -> tuple[bytes, Float[np.ndarray, " observation"]]:
        """Starts a new episode, and returns its digest and the first observation."""
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
        """Computes one more step of the episode with this digest, and returns the next digest and the results."""
        with self._lock:
            candidates = self._live.get(digest)
            if candidates:
                env = candidates.pop()
                if not candidates:
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
            self._idle.append(env)  # it is reset before its next use
            raise

    def _keep(self, digest: bytes, env: CheckedEnv) -> None:
        self._live.setdefault(digest, []).append(env)
        self._live.move_to_end(digest)

    def _take(self, batch: int) -> CheckedEnv:
        self._largest_batch = max(self._largest_batch, batch)
        if self._idle:
            return self._idle.pop()
        if self._count < (self._limit or 2 * self._largest_batch):
            self._count += 1
            return self._make()
        oldest = next(iter(self._live))
        env = self._live[oldest].pop()
        if not self._live[oldest]:
            del self._live[oldest]
        return env


def _make(name: str, kw: dict[str, Any]) -> gymnasium.Env:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Gymnasium warns if there is a newer version than the named one
            # Gymnasium's checker would compare every observation with its space, in Python
            return gymnasium.make(name, disable_env_checker=True, **kw)
    except (gymnasium.error.UnregisteredEnv, gymnasium.error.NamespaceNotFound) as error:
        raise UnknownNameError("environment of Gymnasium", name, tuple(gymnasium.registry)) from error
    except Exception as error:  # any exception: the environment is code of another project
        raise ConfigError(f"gymnasium:{name} cannot be made: {type(error).__name__}: {error}") from error


def _rows(host: Callable[[np.ndarray], np.ndarray], message: np.ndarray) -> np.ndarray:
    """Calls ``host`` with the messages as rows, whatever their leading axes.

    It uses only NumPy: an operation of JAX could wait for the program that is waiting for this callback.
    """
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
