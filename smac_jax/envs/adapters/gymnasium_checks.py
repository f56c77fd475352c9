"""What Gymnasium asks of an environment, checked where others' code may not keep to it.

Each error is a line with the environment, the method and the value.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from jaxtyping import Float

from smac_jax.errors import ConfigError

OLD = "the interface of Gym before 0.26; gymnasium.make('GymV21Environment-v0', env_id=...) of shimmy translates it"
"""What to say of an environment that keeps to it."""


class CheckedEnv:
    """An environment whose observations are flat vectors of finite numbers, and whose steps are numbers.

    Args:
      name: of the environment, for messages.
      env: made by Gymnasium.
    """

    def __init__(self, name: str, env: gymnasium.Env):
        self._name, self._env, self._space = name, env, env.observation_space

    def reset(self, seed: int) -> Float[np.ndarray, " observation"]:
        """A new episode: its first observation."""
        try:
            found = self._env.reset(seed=seed)
        except TypeError as error:
            if "seed" in str(error):
                raise self._error("reset", f"does not take a seed ({error}): {OLD}") from error
            raise self._raised("reset", error) from error
        except Exception as error:  # any: it is others' code
            raise self._raised("reset", error) from error
        if not (isinstance(found, tuple) and len(found) == 2 and isinstance(found[1], dict)):
            old = f". An observation alone is {OLD}" if not isinstance(found, tuple) else ""
            raise self._error("reset", f"must return (observation, info), returned {short(found)}{old}")
        return self._flat("reset", found[0])

    def step(self, action: np.ndarray) -> tuple[Float[np.ndarray, " observation"], float, bool, bool]:
        """A step: the observation, the reward, whether the episode terminated, whether it was truncated."""
        try:
            found = self._env.step(action)
        except Exception as error:  # any: it is others' code
            if isinstance(error, ValueError) and "expected 5, got 4" in str(error):  # by a wrapper of Gymnasium's
                raise self._error("step", f"must return 5 values, returned 4: {OLD}") from None
            raise self._raised(f"step({short(action)})", error) from error
        if not isinstance(found, tuple) or len(found) != 5:
            old = f": {OLD}" if isinstance(found, tuple) and len(found) == 4 else ""
            count = f"{len(found)} values" if isinstance(found, tuple) else "no tuple"
            wanted = "(observation, reward, terminated, truncated, info)"
            raise self._error("step", f"must return {wanted}, returned {count}, {short(found)}{old}")
        observation, reward, terminated, truncated, _ = found
        flat = self._flat("step", observation)
        return (
            flat,
            self._number("reward", reward),
            bool(self._number("terminated", terminated)),
            bool(self._number("truncated", truncated)),
        )

    def _flat(self, method: str, observation: Any) -> Float[np.ndarray, " observation"]:
        self._fits(method, "observation", self._space, observation)
        try:
            flat = np.asarray(spaces.flatten(self._space, observation), np.float32)
        except Exception as error:  # any: a space may be others' code, too
            raise self._error(
                method, f"returned {short(observation)}, which is not of its observation_space {self._space}"
            ) from error
        wanted = spaces.flatdim(self._space)
        if flat.shape != (wanted,):
            raise self._error(method, f"returned an observation of {flat.size} numbers, its space has {wanted}")
        if not np.isfinite(flat).all():
            raise self._error(method, f"returned an observation that is not finite: {short(observation)}")
        return flat

    def _fits(self, method: str, where: str, space: spaces.Space, value: Any) -> None:
        """Looks at what flattening would not: the shapes of boxes, and the names of what is in a dictionary."""
        if isinstance(space, spaces.Dict):
            if not isinstance(value, dict) or set(value) != set(space.spaces):
                raise self._error(method, f"returned {short(value)} as {where}, its space has {sorted(space.spaces)}")
            for name, inner in space.spaces.items():
                self._fits(method, f"{where}[{name!r}]", inner, value[name])
        elif isinstance(space, spaces.Tuple):
            if not isinstance(value, (tuple, list)) or len(value) != len(space.spaces):
                raise self._error(
                    method, f"returned {short(value)} as {where}, its space has {len(space.spaces)} parts"
                )
            for i, inner in enumerate(space.spaces):
                self._fits(method, f"{where}[{i}]", inner, value[i])
        elif isinstance(space, spaces.Box):
            try:
                array = np.asarray(value)
            except ValueError:  # of rows of different lengths
                array = np.asarray(None)
            if array.dtype.kind not in "biuf":
                raise self._error(method, f"returned {short(value)} as {where}, which are no real numbers")
            # axes of length 1 change nothing about which number is which
            if [n for n in array.shape if n != 1] != [n for n in space.shape if n != 1]:
                raise self._error(
                    method, f"returned {where} of shape {array.shape}, its space has {space.shape}: {short(value)}"
                )

    def _number(self, what: str, value: Any) -> float:
        try:
            array = np.asarray(value)
        except ValueError:
            array = np.asarray(None)
        if array.dtype.kind not in "biuf" or array.size != 1 or not np.isfinite(array).all():
            kind = f"of shape {array.shape}: " if array.dtype.kind in "biuf" and array.size != 1 else ""
            raise self._error("step", f"returned a {what} that is no finite number, {kind}{short(value)}")
        return float(array.reshape(()))

    def _error(self, method: str, what: str) -> ConfigError:
        return ConfigError(f"gymnasium:{self._name}: {method} {what}.")

    def _raised(self, method: str, error: Exception) -> ConfigError:
        said = (str(error).strip() or "no message").splitlines()[0]
        return self._error(method, f"raised {type(error).__name__}: {said}")


def check_spaces(name: str, env: gymnasium.Env) -> spaces.Box:
    """Looks whether observations can be vectors, and actions are vectors with bounds.

    Returns:
      The space of the actions.

    Raises:
      ConfigError: they cannot, or are not.
    """
    seen, actions = env.observation_space, env.action_space
    try:
        size = spaces.flatdim(seen)
    except (NotImplementedError, ValueError, AttributeError, TypeError):
        size = 0
    if size == 0:
        raise ConfigError(
            f"gymnasium:{name}: its observations are not vectors, and do not flatten to vectors: its observation_space "
            f"is {short(seen)}."
        )

    def error(more: str) -> ConfigError:
        rule = f"its actions must be vectors with bounds{more}"
        return ConfigError(f"gymnasium:{name}: {rule}; its action_space is {short(actions)}.")

    if not isinstance(actions, spaces.Box):
        raise error("")
    if not np.issubdtype(actions.dtype, np.floating):
        raise error(f", of floats rather than {actions.dtype}")
    if not actions.is_bounded():
        raise error(", all of them finite")
    if 0 in actions.shape:
        raise error(", of one number at least")
    if (actions.low >= actions.high).any():
        raise error(", the lower ones below the upper ones")
    return actions


def short(value: Any, limit: int = 100) -> str:
    """A value on one line, cut where it is long."""
    text = " ".join(repr(value).split())
    return text if len(text) <= limit else f"{text[:limit]}..."
