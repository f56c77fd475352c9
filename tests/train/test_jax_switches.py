"""JAX's switches for 64-bit numbers and for finding NaN do not change results of the library."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import small_pipeline

from smac_jax.algorithms import OFFLINE, ONLINE

ROOT = Path(__file__).parents[2]


def with_switch(switch: str, what: str):
    """Returns the output of the pipeline in a separate process with one of JAX's switches."""
    environment = os.environ | {switch: "1", "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"}
    command = [sys.executable, small_pipeline.__file__, what]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def plain():
    return small_pipeline.train()


@pytest.mark.parametrize("switch", ["JAX_ENABLE_X64", "JAX_DEBUG_NANS"])
def test_the_pipeline_gives_the_same_numbers_under_a_switch(switch, plain):
    found = with_switch(switch, "train")
    assert found["types"] == plain["types"]
    assert found["diverged"] == plain["diverged"] == [-1] * 3
    np.testing.assert_allclose(found["returns"], plain["returns"], rtol=1e-4)
    for kind in ("sums", "metrics"):
        assert found[kind].keys() == plain[kind].keys()
        for name, value in plain[kind].items():
            np.testing.assert_allclose(found[kind][name], value, rtol=1e-3, atol=1e-5, err_msg=name)


def test_every_algorithm_and_environment_is_in_32_bits_where_jax_has_64():
    assert with_switch("JAX_ENABLE_X64", "types") == []


@pytest.mark.slow
@pytest.mark.parametrize("switch", ["JAX_ENABLE_X64", "JAX_DEBUG_NANS"])
def test_every_algorithm_trains_under_a_switch(switch):
    ended = with_switch(switch, "every")
    assert {name for name, _ in ended} == {*OFFLINE, *ONLINE}
    assert all(diverged == [-1] for _, diverged in ended)
