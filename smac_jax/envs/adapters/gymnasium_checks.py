"""Checks that an environment satisfies Gymnasium's contract.

Each error is one line, with the environment, the method and the value.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from jaxtyping import Float

from smac_jax.errors import ConfigError

OLD_INTERFACE = (
    "this is the interface of Gym before 0.26; gymnasium.make('GymV21Environment-v0', env_id=...) of shimmy converts it"
)
"""A hint for environments with the old interface."""


class CheckedEnv:
    """An environment whose observations are checked and flattened, and whose rewards and flags are checked.

    Args:
      name: the name of the environment in error messages.
      env: the environment, made by Gymnasium.
    """

    def __init__(self, name: str, env: gymnasium.Env):
        self._name, self._env, self._space = name, env, env.observation_space

    def reset(self, seed: int) -> Float[np.ndarray, " observation"]:
        """Starts a new episode, and returns its first observation.

        Raises:
          ConfigError: the environment raised an error, or it did not return a valid observation.
        """
        try:
            returned = self._env.reset(seed=seed)
        except TypeError as error:
            if "seed" in str(error):
                raise self._error("reset", f"does not take a seed ({error}): {OLD_INTERFACE}") from error
            raise self._raised("reset", error) from error
        except Exception as error:  # any exception: the environment is code of another project
            raise self._raised("reset", error) from error
        if not (isinstance(returned, tuple) and len(returned) == 2 and isinstance(returned[1], dict)):
            hint = f": {OLD_INTERFACE}" if not isinstance(returned, tuple) else ""
            raise self._error("reset", f"must return (observation, info), but it returned {short(returned)}{hint}")
        return self._flatten("reset", returned[0])

    def step(self, action: np.ndarray) -> tuple[Float[np.ndarray, " observation"], float, bool, bool]:
        """Computes a step.

        Returns:
          The observation, the reward, whether the episode terminated, and whether it was truncated.

        Raises:
          ConfigError: the environment raised an error, or it returned an invalid value.
        """
        try:
            returned = self._env.step(action)
        except Exception as error:  # any exception: the environment is code of another project
            if isinstance(error, ValueError) and "expected 5, got 4" in str(error):  # from a wrapper of Gymnasium
                raise self._error("step", f"must return 5 values, but it returned 4: {OLD_INTERFACE}") from None
            raise self._raised(f"step({short(action)})", error) from error
        if not isinstance(returned, tuple) or len(returned) != 5:
            hint = f": {OLD_INTERFACE}" if isinstance(returned, tuple) and len(returned) == 4 else ""
            count = f"{len(returned)} values" if isinstance(returned, tuple) else "no tuple"
            expected = "(observation, reward, terminated, truncated, info)"
            raise self._error("step", f"must return {expected}, but it returned {count}, {short(returned)}{hint}")
        observation, reward, terminated, truncated, _ = returned
        flat = self._flatten("step", observation)
        return (
            flat,
            self._number("reward", reward),
            bool(self._number("terminated", terminated)),
            bool(self._number("truncated", truncated)),
        )

    def _flatten(self, method: str, observation: Any) -> Float[np.ndarray, " observation"]:
        self._check_structure(method, "observation", self._space, observation)
        try:
            flat = np.asarray(spaces.flatten(self._space, observation), np.float32)
        except Exception as error:  # any exception: a space may also be code of another project
            raise self._error(
                method, f"returned {short(observation)}, which is not in its observation_space {self._space}"
            ) from error
        size = spaces.flatdim(self._space)
        if flat.shape != (size,):
            raise self._error(method, f"returned an observation of {flat.size} numbers, but its space has {size}")
        if not np.isfinite(flat).all():
            raise self._error(method, f"returned an observation that is not finite: {short(observation)}")
        return flat

    def _check_structure(self, method: str, where: str, space: spaces.Space, value: Any) -> None:
        """Checks what flattening does not check: the shapes of boxes, and the keys of dictionaries."""
        if isinstance(space, spaces.Dict):
            if not isinstance(value, dict) or set(value) != set(space.spaces):
                keys = sorted(space.spaces)
                raise self._error(method, f"returned {short(value)} as {where}, but its space has {keys}")
            for name, inner in space.spaces.items():
                self._check_structure(method, f"{where}[{name!r}]", inner, value[name])
        elif isinstance(space, spaces.Tuple):
            if not isinstance(value, (tuple, list)) or len(value) != len(space.spaces):
                raise self._error(
                    method, f"returned {short(value)} as {where}, but its space has {len(space.spaces)} parts"
                )
            for i, inner in enumerate(space.spaces):
                self._check_structure(method, f"{where}[{i}]", inner, value[i])
        elif isinstance(space, spaces.Box):
            try:
                array = np.asarray(value)
            except ValueError:  # the rows have different lengths
                array = np.asarray(None)
            if array.dtype.kind not in "biuf":
                raise self._error(method, f"returned {short(value)} as {where}, which are not real numbers")
            # axes of length 1 do not change the order of the numbers
            if [n for n in array.shape if n != 1] != [n for n in space.shape if n != 1]:
                raise self._error(
                    method, f"returned {where} of shape {array.shape}, but its space has {space.shape}: {short(value)}"
                )

    def _number(self, what: str, value: Any) -> float:
        try:
            array = np.asarray(value)
        except ValueError:
            array = np.asarray(None)
        if array.dtype.kind not in "biuf" or array.size != 1 or not np.isfinite(array).all():
            kind = f"of shape {array.shape}: " if array.dtype.kind in "biuf" and array.size != 1 else ""
            raise self._error("step", f"returned a {what} that is not a finite number, {kind}{short(value)}")
        return float(array.reshape(()))

    def _error(self, method: str, what: str) -> ConfigError:
        return ConfigError(f"gymnasium:{self._name}: {method} {what}.")

    def _raised(self, method: str, error: Exception) -> ConfigError:
        message = (str(error).strip() or "no message").splitlines()[0]
        return self._error(method, f"raised {type(error).__name__}: {message}")


def check_goal(name: str, env: gymnasium.Env) -> None:
    """Refuses environments of OGBench whose goals change with the episode and are not observed.

    Other goal-conditioned environments, such as gymnasium-robotics', have the goal in their observations.

    Raises:
      ConfigError: the environment has no fixed goal.
    """
    spec = env.spec
    of_ogbench = spec is not None and str(spec.entry_point).startswith("ogbench.")
    if spec is None or not of_ogbench or spec.kwargs.get("reward_task_id") is not None:
        return
    *words, version = spec.id.split("-")
    raise ConfigError(
        f"gymnasium:{name}: is goal-conditioned, and its goal is in no observation. For one of its tasks take "
        f"gymnasium:ogbench:{'-'.join([*words, 'singletask', version])}."
    )


def check_spaces(name: str, env: gymnasium.Env) -> spaces.Box:
    """Checks that observations can be flattened to vectors, and that actions are vectors with bounds.

    Returns:
      The space of the actions.

    Raises:
      ConfigError: the observations cannot be flattened, or the actions are not vectors with bounds.
    """
    observations, actions = env.observation_space, env.action_space
    try:
        size = spaces.flatdim(observations)
    except (NotImplementedError, ValueError, AttributeError, TypeError):
        size = 0
    if size == 0:
        raise ConfigError(
            f"gymnasium:{name}: its observations are not vectors and cannot be flattened to vectors: its "
            f"observation_space is {short(observations)}."
        )

    def error(more: str) -> ConfigError:
        rule = f"its actions must be vectors with bounds{more}"
        return ConfigError(f"gymnasium:{name}: {rule}; its action_space is {short(actions)}.")

    if not isinstance(actions, spaces.Box):
        raise error("")
    if not np.issubdtype(actions.dtype, np.floating):
        raise error(f" that hold floats, not {actions.dtype}")
    if not actions.is_bounded():
        raise error(" that are all finite")
    if 0 in actions.shape:
        raise error(" for at least one number")
    if (actions.low >= actions.high).any():
        raise error(", and each lower bound must be below the upper bound")
    return actions


def short(value: Any, limit: int = 100) -> str:
    """Returns a value on one line, with at most ``limit`` characters."""
    text = " ".join(repr(value).split())
    return text if len(text) <= limit else f"{text[:limit]}..."
