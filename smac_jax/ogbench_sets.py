"""Parses the names of OGBench's data sets, for the reader of their rows and for the environment ``ogbench:NAME``.

Source: ``ogbench/utils.py`` of the package ``ogbench`` (S. Park et al., "OGBench: Benchmarking Offline Goal-Conditioned
RL", arXiv 2410.20092).
"""

from __future__ import annotations

import re
import warnings
from types import ModuleType
from typing import NamedTuple

from smac_jax.errors import SmacError


class OGBenchName(NamedTuple):
    """The parts of a name such as ``antmaze-large-navigate-singletask-task2-v0``.

    Attributes:
      name: the whole name.
      env: the id of the environment in Gymnasium's registry, ``antmaze-large-singletask-task2-v0``.
      dataset: the name of the file, ``antmaze-large-navigate-v0``.
    """

    name: str
    env: str
    dataset: str


def parse_ogbench(name: str, error: type[SmacError]) -> OGBenchName:
    """Parses the name of a data set with one task.

    Args:
      name: the name without ``ogbench:``.
      error: the type of the error to raise.

    Raises:
      error: the name does not have OGBench's form, its data set has many goals which the observations do not show, or
        its observations are images.
    """
    words = name.split("-")
    if len(words) < 3 or not re.fullmatch(r"v\d+", words[-1]) or words[0] == "singletask" or words[1] == "singletask":
        raise error(
            f"ogbench:{name} does not have the form ENVIRONMENT-DATA-singletask-vNUMBER, such as "
            "ogbench:antmaze-large-navigate-singletask-v0 or, with a task, ...-singletask-task2-v0."
        )
    if words[0] in ("visual", "powderworld"):
        raise error(f"ogbench:{name} has images as observations, but smac_jax learns from vectors.")
    if "oraclerep" in words or "singletask" not in words:
        plain = [word for word in words[:-1] if word != "oraclerep"]
        one = "-".join([*plain, "singletask", words[-1]])
        raise error(
            f"ogbench:{name} is goal-conditioned: observations do not show the goal, and there are no rewards. Use one "
            f"of its tasks: ogbench:{one}, or ...-singletask-task1-{words[-1]} to -task5."
        )
    at = words.index("singletask")
    return OGBenchName(name, "-".join([*words[: at - 1], *words[at:]]), "-".join([*words[:at], words[-1]]))


def import_ogbench(name: str, error: type[SmacError]) -> ModuleType:
    """Imports the package ``ogbench``.

    Args:
      name: the name in the error message.
      error: the type of the error to raise.

    Raises:
      error: the package is not installed.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns if there is no display
            import ogbench
    except ImportError as missing:
        raise error(
            f"ogbench:{name} needs the package ogbench: pip install 'smac_jax[ogbench]' ({missing})."
        ) from missing
    return ogbench
