"""Metrics of a run are on disk as soon as they are logged."""

from __future__ import annotations

import json

import jax.numpy as jnp
import numpy as np

from smac_jax.runs.metrics import MetricLogger, means_of


def strict(text: str):
    """JSON without JavaScript's NaN and Infinity."""

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is not JSON")

    return json.loads(text, parse_constant=refuse)


def test_each_point_is_written_to_disk_immediately(tmp_path):
    logger = MetricLogger(tmp_path / "run", "smac to sac", trackers=[])
    path = tmp_path / "run" / "metrics.jsonl"
    logger.log("offline", 500, {"td_loss": jnp.array([1.0, jnp.nan]), "kappa": 40})
    first = strict(path.read_text())
    assert first == {"run": "smac to sac", "phase": "offline", "step": 500, "td_loss": [1.0, None], "kappa": 40.0}
    logger.log("online", 1000, {"return": np.array([np.inf, 2.0], np.float32)})
    lines = [strict(line) for line in path.read_text().splitlines()]
    assert lines == [first, {"run": "smac to sac", "phase": "online", "step": 1000, "return": [None, 2.0]}]
    assert [file.name for file in path.parent.iterdir()] == ["metrics.jsonl"]


def test_a_second_logger_continues_in_the_same_file(tmp_path):
    for step in (1, 2):
        MetricLogger(tmp_path, "smac", trackers=[]).log("offline", step, {})
    assert [strict(line)["step"] for line in (tmp_path / "metrics.jsonl").read_text().splitlines()] == [1, 2]


def test_a_restart_removes_later_lines(tmp_path):
    logger = MetricLogger(tmp_path, "smac", trackers=[])
    for step in (1, 2, 3):
        logger.log("offline", step, {"loss": step})
    logger.restart([("offline", 1, {"loss": 1})])
    logger.log("offline", 2, {"loss": 5})
    lines = [strict(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [(line["step"], line["loss"]) for line in lines] == [(1, 1.0), (2, 5.0)]


def test_a_mean_is_over_the_seeds_that_have_a_finite_value():
    metrics = {
        "loss": [1.0, 3.0, np.nan],
        "none": [np.nan, np.inf, np.nan],
        "all": jnp.array([1.0, 2.0, 6.0]),
        "one": 4,
    }
    assert means_of("offline", metrics) == {"offline/loss": 2.0, "offline/all": 3.0, "offline/one": 4.0}
