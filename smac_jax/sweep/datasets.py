"""A sweep's data sets: which environment each belongs to, whether it fits, and what evaluations are compared with."""

from __future__ import annotations

from typing import Any

import smac_jax
from smac_jax.envs import check_name
from smac_jax.errors import ConfigError
from smac_jax.tasks import task_info


def environment_of(data: smac_jax.Dataset, given: str | None) -> str:
    """The environment that a data set belongs to (``env`` in its metadata, or else its task), or the one given.

    Raises:
      ConfigError: nobody says which; or its rewards are not those of the binary task.
      UnknownNameError: there is no such environment.
    """
    task = given or dict(data.metadata).get("env") or data.task
    if task is None:
        raise ConfigError(f"{data.name} does not say which environment it belongs to; say it with --env.")
    check_name(task)
    if task_info(task).rewards.only_success and data.task != task:
        raise ConfigError(
            f"{data.name} has the rewards of {data.task or 'another task'}, not of {task}: give its file a name that "
            f"begins with {task}, and they are made binary on reading."
        )
    return task


def check_fits(data: smac_jax.Dataset, task: str, env: Any) -> None:
    """Raises ConfigError where a data set's observations or actions are not the environment's."""
    ours = data.observations.shape[-1], data.actions.shape[-1]
    theirs = env.observation_size, env.action_size
    if ours != theirs:
        raise ConfigError(
            f"{data.name} has {ours[0]} observations and {ours[1]} actions, the environment {task} {theirs[0]} and "
            f"{theirs[1]}: these data are not of it. Another environment is named with --env."
        )


def references(data: smac_jax.Dataset) -> dict[str, float]:
    """What to compare evaluations with, by label, in their units (``RewardRule.evaluation``).

    Empty where the data are in others: OGBench's are paid in each step, and its evaluations count successes.
    """
    env = dict(data.metadata).get("env")
    if env is not None and task_info(env).rewards.evaluation != data.reward_rule.evaluation:
        return {}
    scores = data.episode_scores()
    if data.reward_rule.only_success:
        return {"the data's success rate": float(scores.mean())}
    return {"the data's mean": float(scores.mean()), "the data's best": float(scores.max())}
