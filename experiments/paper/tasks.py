"""The paper's tasks, its algorithms, and the scales at which its evidence can be made again."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Callable

from ml_collections import ConfigDict

from experiments.configs import transfer_study
from smac_jax.sweep.landscape import Resolution

ONLINE = ("awr", "sac", "td3", "td3_bc")
OFFLINE = ("smac", "iql", "td3_bc", "cql", "cal_ql", "rebrac", "fql", "awac", "bc")
"""The paper's, and those that may be asked for beside them."""
PAPER_TABLE_1 = {
    "iql": (0.508, 0.471, 0.653, 0.494),
    "smac": (0.380, 0.031, 0.090, 0.226),
    "td3_bc": (0.654, 0.962, 0.545, 0.562),
    "cal_ql/cql": (0.482, 0.448, 0.442, 0.614),
}
"""Mean normalized regret, lower is better (SMAC, table 1); columns as in :data:`ONLINE`."""


@dataclasses.dataclass(frozen=True)
class SuiteTask:
    """A task of the suite.

    Attributes:
      data: its data set in D4RL.
      family: of the paper's settings: a module of :mod:`smac_jax.presets`.
      in_paper: one of its six; the others stand in the project's summary only.
    """

    data: str
    family: str
    in_paper: bool = True

    @property
    def offline(self) -> tuple[str, ...]:
        """The compared algorithms: CQL where the data have no Monte-Carlo return, Cal-QL elsewhere (SMAC, appendix)."""
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


FAMILIES = ("locomotion", "adroit", "kitchen")
"""Families of tasks (``TaskInfo.family``) with settings of the paper, which are modules of ``smac_jax.presets``."""


def paper_scale(family: str) -> ConfigDict:
    """The paper's networks, steps and evaluations: hours on a GPU for each cell."""
    return importlib.import_module(f"smac_jax.presets.{family}").get_config()


def small_scale(family: str) -> ConfigDict:
    """The study's networks and steps, for two CPU cores: some minutes a cell; rewards as the family's."""
    config = transfer_study.get_config()
    config.pretrain.update({"num_updates": 12_000, "eval_every": 3_000, "eval_episodes": 5})
    return _rewards(config, family)


def tiny_scale(family: str) -> ConfigDict:
    """Seconds a cell: to see that everything runs, and nothing else."""
    config = small_scale(family)
    evaluations = {"eval_every": 10, "eval_episodes": 1, "final_episodes": 1}
    config.pretrain.update({"num_updates": 20, **evaluations})
    config.finetune.update({"num_steps": 20, "warm_start": 10, **evaluations})
    config.smac.score_model.num_updates = 10
    config.smac.network.num_critics = 2
    for name in OFFLINE:
        config[name].network.update({"actor_hidden": (8, 8), "critic_hidden": (8, 8)})
    return config


def _rewards(config: ConfigDict, family: str) -> ConfigDict:
    as_published = paper_scale(family)
    for name in OFFLINE:
        config[name].reward_scale = as_published[name].reward_scale
        config[name].reward_bias = as_published[name].reward_bias
    return config


@dataclasses.dataclass(frozen=True)
class Scale:
    """How large everything is.

    Attributes:
      config: makes a family's configuration.
      seeds: how many.
      says: what a reader must know.
      resolution: of lines and planes.
    """

    config: Callable[[str], ConfigDict]
    seeds: int
    says: str
    resolution: Resolution


SCALES = {
    "paper": Scale(paper_scale, 4, "the paper's networks and steps", Resolution(points=49, grid=33, episodes=10)),
    "small": Scale(
        small_scale, 4, "networks of 2 x 128, 12,000 offline, 4,000 online updates: far below the paper's", Resolution()
    ),
    "tiny": Scale(
        tiny_scale,
        2,
        "20 updates of networks of 2 x 8: shows that it runs, and nothing about the method",
        Resolution(points=7, grid=5, episodes=1, points_at_once=4),
    ),
}
