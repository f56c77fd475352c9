"""What the names of OGBench's data sets mean, for those who read them and for those who make their environments.

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
    """A name such as ``antmaze-large-navigate-singletask-task2-v0``, taken apart.

    Attributes:
      name: the whole.
      env: of the environment in Gymnasium's registry, ``antmaze-large-singletask-task2-v0``.
      dataset: of the data set's file, ``antmaze-large-navigate-v0``.
    """

    name: str
    env: str
    dataset: str


def parse_ogbench(name: str, error: type[SmacError]) -> OGBenchName:
    """Takes apart the name of a data set with one task.

    Raises:
      error: it is no name of OGBench's; one with many goals, none of which is in the observations; or one of images.
    """
    words = name.split("-")
    if len(words) < 3 or not re.fullmatch(r"v\d+", words[-1]) or words[0] == "singletask" or words[1] == "singletask":
        raise error(
            f"ogbench:{name}: is not of the form ENVIRONMENT-DATA-singletask-vNUMBER, such as "
            "ogbench:antmaze-large-navigate-singletask-v0, or with a task, ...-singletask-task2-v0."
        )
    if words[0] in ("visual", "powderworld"):
        raise error(f"ogbench:{name}: observes images; smac_jax learns from vectors.")
    if "oraclerep" in words or "singletask" not in words:
        plain = [word for word in words[:-1] if word != "oraclerep"]
        one = "-".join([*plain, "singletask", words[-1]])
        raise error(
            f"ogbench:{name}: is goal-conditioned, its goal is in no observation, and it has no rewards. For one of "
            f"its tasks take ogbench:{one}, or ...-singletask-task1-{words[-1]} to -task5."
        )
    at = words.index("singletask")
    return OGBenchName(name, "-".join([*words[: at - 1], *words[at:]]), "-".join([*words[:at], words[-1]]))


def import_ogbench(name: str, error: type[SmacError]) -> ModuleType:
    """The package ``ogbench``.

    Raises:
      error: it is not installed.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that there is no display
            import ogbench
    except ImportError as missing:
        raise error(
            f"ogbench:{name} needs the package ogbench: pip install 'smac_jax[ogbench]' ({missing})."
        ) from missing
    return ogbench
