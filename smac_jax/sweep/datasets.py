"""The data sets of a sweep: their environments, and the reference returns that figures show."""

from __future__ import annotations

from typing import Any

import smac_jax
from smac_jax.envs import check_name
from smac_jax.errors import ConfigError
from smac_jax.tasks import task_info


def environment_of(data: smac_jax.Dataset, given: str | None) -> str:
    """Returns the name of a data set's environment: the one given, else ``env`` in its metadata, else its task.

    Raises:
      ConfigError: none of these names an environment; or the data's rewards are not those of a binary task.
      UnknownNameError: the environment does not exist.
    """
    task = given or dict(data.metadata).get("env") or data.task
    if task is None:
        raise ConfigError(f"{data.name} does not record the environment of its data. Name the environment with --env.")
    check_name(task)
    if task_info(task).rewards.only_success and task not in (data.task, dict(data.metadata).get("env")):
        raise ConfigError(
            f"{data.name} has the rewards of {data.task or 'another task'}, not of {task}. Rename its file so that the "
            f"name begins with {task}; its rewards are then made binary when it is read."
        )
    return task


def check_fits(data: smac_jax.Dataset, task: str, env: Any) -> None:
    """Raises ConfigError if the sizes of a data set's observations and actions are not those of the environment."""
    of_data = data.observations.shape[-1], data.actions.shape[-1]
    of_env = env.observation_size, env.action_size
    if of_data != of_env:
        raise ConfigError(
            f"{data.name} has {of_data[0]} observations and {of_data[1]} actions, but the environment {task} has "
            f"{of_env[0]} and {of_env[1]}: the data are not from this environment. Name another one with --env."
        )


def references(data: smac_jax.Dataset) -> dict[str, float]:
    """Reference values for evaluations, by label, in the units of evaluations (``RewardRule.evaluation``).

    Empty if the data have other units: OGBench's data have a reward in each step, and its evaluations count successes.
    """
    env = dict(data.metadata).get("env")
    if env is not None and task_info(env).rewards.evaluation != data.reward_rule.evaluation:
        return {}
    scores = data.episode_scores()
    if data.reward_rule.only_success:
        return {"the data's success rate": float(scores.mean())}
    return {"the data's mean": float(scores.mean()), "the data's best": float(scores.max())}
