"""Fixtures: jobs of sweeps for tests that train nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from smac_jax.sweep.grid import Job, Variant


@pytest.fixture
def make_job() -> Callable[..., Job]:
    """Makes jobs of TD3+BC to SAC on hopper: ``make_job(folder, label=..., seeds=..., control=...)``."""

    def make(folder: Path, label: str = "td3_bc", **changes: Any) -> Job:
        offline = Variant(label, "td3_bc", {}, {"num_updates": 20, "eval_every": 10})
        online = Variant("sac", "sac", {}, {"num_steps": 10, "eval_every": 5, "warm_start": 5})
        fields: dict[str, Any] = {"data": "data", "task": "hopper", "physics": "mujoco", "version": "v4"}
        fields |= {"offline": offline, "online": (online,), "seeds": (0,), "control": True}
        return Job(folder=folder, **(fields | changes))

    return make
