"""A reader of data: logs that are tables of comma-separated values, one row for each step.

    smac-jax sweep --import=my_dataset.py --task=csv:logs/hopper-lab.csv

The columns are called ``observation_0``, ``observation_1``, ..., ``action_0``, ..., ``reward`` and ``terminal``.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from smac_jax.extend import Dataset, register_dataset
from smac_jax.tasks import parse_name


@register_dataset("csv")
def read_csv(name: str) -> Dataset:
    """The data set of ``csv:NAME``; the name of the file begins with that of its task."""
    path = Path(name).expanduser()
    with path.open(encoding="utf-8") as file:
        columns = file.readline().strip().split(",")
        rows = np.loadtxt(file, delimiter=",", ndmin=2)
    observation, action = ([column.startswith(kind) for column in columns] for kind in ("observation", "action"))
    return Dataset.from_arrays(
        observations=rows[:, observation],
        actions=rows[:, action],
        rewards=rows[:, columns.index("reward")],
        terminals=rows[:, columns.index("terminal")],
        name=path.stem,
        task=parse_name(path.stem).task,
    )
