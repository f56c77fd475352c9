"""Seeds on several devices: the numbers do not change, and any number of seeds is possible."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import smac_jax
from smac_jax.train.evaluate import evaluation_layout
from smac_jax.train.sharding import SeedLayout

HERE = Path(__file__).parent


@pytest.mark.parametrize("devices", ["2", pytest.param("8", marks=pytest.mark.slow)])
def test_the_same_numbers_on_one_and_several_devices(devices):
    environment = os.environ | {"PYTHONPATH": str(HERE.parents[1])}
    command = [sys.executable, str(HERE / "several_devices.py"), devices]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]
    said = json.loads(done.stdout.splitlines()[-1])
    assert said["two seeds"] > 0.1  # the difference between seeds, which is much larger
    assert said["exchanged"] == []  # seeds share nothing
    found = said[devices]
    assert found.pop("seeds") == 5
    # after 70 updates and 60 physics steps, results differ by the rounding of batched matrix products
    assert all(distance < 1e-4 for distance in found.values()), found


class Device:
    """The part of a device that a layout uses."""

    def __init__(self, platform: str = "gpu"):
        self.platform = platform


def test_policies_are_evaluated_where_the_environment_computes():
    gpus = SeedLayout((1, 2), (Device(), Device()))  # type: ignore[arg-type]
    processor = SeedLayout((1, 2), tuple(jax.local_devices(backend="cpu")[:1]))
    c_engine, mjx = (smac_jax.make_env("hopper", physics=engine) for engine in ("mujoco", "mjx"))
    assert evaluation_layout(c_engine, gpus) == processor
    assert evaluation_layout(smac_jax.envs.AutoReset(c_engine, 10), gpus) == processor
    assert evaluation_layout(mjx, gpus) is gpus
    assert evaluation_layout(c_engine, processor) is processor


def test_without_a_processor_policies_are_evaluated_as_in_training(monkeypatch):
    def local_devices(backend: str) -> list[jax.Device]:
        raise RuntimeError(f"Unknown backend {backend}")

    monkeypatch.setattr(jax, "local_devices", local_devices)
    gpus = SeedLayout((1, 2), (Device(), Device()))  # type: ignore[arg-type]
    assert gpus.on_host() is gpus


@given(seeds=st.integers(1, 40), devices=st.integers(1, 16))
def test_seeds_are_distributed_evenly_over_devices(seeds, devices):
    layout = SeedLayout.over(range(seeds), [Device() for _ in range(devices)])
    each, rest = divmod(len(layout.padded), len(layout.devices))
    assert rest == 0
    assert each == -(-seeds // devices)  # it is as fast as with all devices
    assert len(layout.padded) - seeds < each  # no device only repeats the work of others
    assert layout.padded[:seeds] == tuple(range(seeds))
    assert set(layout.padded[seeds:]) <= {seeds - 1}


@pytest.mark.parametrize("shape", [(), (3,), (2, 4)])
def test_placing_seeds_on_devices_can_be_undone(shape):
    layout = SeedLayout.over([4, 1, 7], jax.devices())
    tree = {"a": jnp.arange(3 * int(np.prod(shape))).reshape(3, *shape), "key": jax.random.split(jax.random.key(0), 3)}
    back = layout.unpad(layout.shard(tree))
    np.testing.assert_array_equal(back["a"], tree["a"])
    assert (back["key"] == tree["key"]).all()
