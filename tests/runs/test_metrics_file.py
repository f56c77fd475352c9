"""A run's metrics are on disk when they are logged, and in TensorBoard's files where it is installed."""

from __future__ import annotations

import builtins
import json

import jax.numpy as jnp
import numpy as np
import pytest

from smac_jax.runs.metrics import MetricLogger


def strict(text: str):
    """JSON without JavaScript's NaN and Infinity."""

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is not JSON")

    return json.loads(text, parse_constant=refuse)


def test_each_point_is_a_line_on_disk_at_once(tmp_path):
    logger = MetricLogger(tmp_path / "run")
    path = tmp_path / "run" / "metrics.jsonl"
    logger.log("smac", "offline", 500, {"td_loss": jnp.array([1.0, jnp.nan]), "kappa": 40})
    first = strict(path.read_text())
    assert first == {"run": "smac", "phase": "offline", "step": 500, "td_loss": [1.0, None], "kappa": 40.0}
    logger.log("smac to sac", "online", 1000, {"return": np.array([np.inf, 2.0], np.float32)})
    lines = [strict(line) for line in path.read_text().splitlines()]
    assert lines == [first, {"run": "smac to sac", "phase": "online", "step": 1000, "return": [None, 2.0]}]


def test_a_second_logger_goes_on_in_the_same_file(tmp_path):
    for step in (1, 2):
        MetricLogger(tmp_path).log("smac", "offline", step, {})
    assert [strict(line)["step"] for line in (tmp_path / "metrics.jsonl").read_text().splitlines()] == [1, 2]


def test_tensorboard_gets_the_mean_over_seeds(tmp_path):
    pytest.importorskip("tensorboardX")
    logger = MetricLogger(tmp_path)
    logger.log("smac", "offline", 5, {"loss": [1.0, 3.0, np.nan], "none": [np.nan]})
    logger.close()
    (events,) = (tmp_path / "tensorboard").glob("events*")
    written = events.read_bytes()
    assert b"smac/offline/loss" in written
    assert np.float32(2.0).tobytes() in written
    assert b"none" not in written


def test_tensorboard_is_optional(tmp_path, monkeypatch):
    real = builtins.__import__

    def without(name, *rest, **named):
        if name.startswith("tensorboardX"):
            raise ImportError(name)
        return real(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    MetricLogger(tmp_path).log("smac", "offline", 1, {"loss": 1.0})
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.jsonl"]
