"""The paper's tasks and algorithms, and the scales at which its experiments can be reproduced."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Callable

from ml_collections import ConfigDict

from experiments.configs import transfer_study
from smac_jax.registry import OFFLINE
from smac_jax.sweep.landscape import Resolution

ONLINE = ("awr", "sac", "td3", "td3_bc")
PAPER_TABLE_1 = {
    "iql": (0.508, 0.471, 0.653, 0.494),
    "smac": (0.380, 0.031, 0.090, 0.226),
    "td3_bc": (0.654, 0.962, 0.545, 0.562),
    "cal_ql/cql": (0.482, 0.448, 0.442, 0.614),
}
"""Mean normalized regret (SMAC, table 1), lower is better. The columns are those of :data:`ONLINE`."""


@dataclasses.dataclass(frozen=True)
class SuiteTask:
    """A task of the suite.

    Attributes:
      data: its data set in D4RL.
      family: the family of the paper's settings, a module of :mod:`smac_jax.presets`.
      in_paper: whether it is one of the paper's six tasks.
    """

    data: str
    family: str
    in_paper: bool = True

    @property
    def offline(self) -> tuple[str, ...]:
        """The algorithms to compare: CQL for data without Monte-Carlo returns, else Cal-QL (SMAC, appendix)."""
        return ("iql", "smac", "td3_bc", "cql" if self.family == "locomotion" else "cal_ql")


SUITE = (
    SuiteTask("hopper-medium-replay-v2", "locomotion"),
    SuiteTask("walker2d-medium-replay-v2", "locomotion"),
    SuiteTask("kitchen-partial-v0", "kitchen"),
    SuiteTask("pen-binary-v0", "adroit"),
    SuiteTask("door-binary-v0", "adroit"),
    SuiteTask("relocate-binary-v0", "adroit"),
    SuiteTask("halfcheetah-medium-replay-v2", "locomotion", in_paper=False),
    SuiteTask("ant-medium-replay-v2", "locomotion", in_paper=False),
)


FAMILIES = ("locomotion", "adroit", "kitchen", "antmaze")
"""Families of tasks (``TaskInfo.family``) with a preset in ``smac_jax.presets``; that of AntMaze is not the paper's."""


def paper_scale(family: str) -> ConfigDict:
    """The paper's networks, steps and evaluations, which take hours on a GPU for each job."""
    return importlib.import_module(f"smac_jax.presets.{family}").get_config()


def small_scale(family: str) -> ConfigDict:
    """The networks and steps of the transfer study (minutes per job on two CPU cores), with the family's rewards."""
    config = transfer_study.get_config()
    config.pretrain.update({"num_updates": 12_000, "eval_every": 3_000, "eval_episodes": 5})
    return _rewards(config, family)


def tiny_scale(family: str) -> ConfigDict:
    """A scale that takes seconds per job, to check that everything runs."""
    config = small_scale(family)
    evaluations = {"eval_every": 10, "eval_episodes": 1, "final_episodes": 1}
    config.pretrain.update({"num_updates": 20, **evaluations})
    config.finetune.update({"num_steps": 20, "warm_start": 10, **evaluations})
    config.smac.score_model.num_updates = 10
    config.smac.network.num_critics = 2
    for name in OFFLINE:
        if "network" in config[name]:
            config[name].network.update({"actor_hidden": (8, 8), "critic_hidden": (8, 8)})
    return config


def _rewards(config: ConfigDict, family: str) -> ConfigDict:
    as_published = paper_scale(family)
    for name in OFFLINE:
        for field in ("reward_scale", "reward_bias"):
            if field in config[name]:
                config[name][field] = as_published[name][field]
    return config


@dataclasses.dataclass(frozen=True)
class Scale:
    """A scale of the experiments.

    Attributes:
      config: makes the configuration for a family.
      seeds: the number of seeds.
      description: a description for captions.
      resolution: the resolution of lines and planes.
    """

    config: Callable[[str], ConfigDict]
    seeds: int
    description: str
    resolution: Resolution


SCALES = {
    "paper": Scale(paper_scale, 4, "the paper's networks and steps", Resolution(points=49, grid=33, episodes=10)),
    "small": Scale(
        small_scale, 4, "networks of 2 x 128, 12,000 offline, 4,000 online updates: far below the paper's", Resolution()
    ),
    "tiny": Scale(
        tiny_scale,
        2,
        "20 updates of networks of 2 x 8: a test of the program, not of the method",
        Resolution(points=7, grid=5, episodes=1, points_at_once=4),
    ),
}
