"""Fixtures: curves whose dip and regret were computed by hand."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from smac_jax.analysis.curves import TransferCurve


@pytest.fixture
def make_curve() -> Callable[..., TransferCurve]:
    """Makes curves of two seeds: transfers at 100 and 200, dips to 60 (40 %) and 200 (0 %), random return 0."""

    def make(offline: str = "smac", online: str = "sac", control: bool = True, **changes: object) -> TransferCurve:
        fields: dict = {
            "task": "hopper",
            "offline": offline,
            "online": online,
            "offline_updates": np.array([0, 500, 1000]),
            "offline_returns": np.array([[0.0, 50.0, 100.0], [0.0, np.nan, 200.0]]),
            "online_steps": np.array([0, 100, 200, 400]),
            "online_returns": np.array([[100.0, 60.0, 100.0, 300.0], [200.0, 200.0, 100.0, 300.0]]),
        }
        if control:
            fields |= {
                "control_steps": np.array([0, 100, 400]),
                "control_returns": np.array([[100.0, 90.0, 0.0], [200.0, 180.0, 0.0]]),
            }
        return TransferCurve(**(fields | changes))

    return make
