"""The names that others build on."""

from __future__ import annotations

import subprocess
import sys

import smac_jax


def test_import_is_quick_and_brings_nothing_heavy():
    code = (
        "import sys, time; start = time.perf_counter(); import smac_jax; took = time.perf_counter() - start;"
        "heavy = {'jax', 'flax', 'brax', 'mujoco', 'numpy'} & set(sys.modules); print(took, sorted(heavy))"
    )
    took, heavy = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split(
        maxsplit=1
    )
    assert heavy.strip() == "[]"
    assert float(took) < 1.0


def test_every_public_name_is_there():
    for name in smac_jax.__all__:
        assert getattr(smac_jax, name) is not None
    assert set(smac_jax.__all__) <= set(dir(smac_jax))


def test_embedded_data_are_what_the_readme_says():
    data = smac_jax.load_dataset("hopper-medium-replay")
    assert (data.size, data.observations.shape[1], data.actions.shape[1], data.task) == (214_999, 11, 3, "hopper")
    described = dict(data.metadata)
    assert described["command"].startswith("python -m experiments.make_dataset --task=hopper")
    assert 395 < data.episode_returns().mean() < 410
