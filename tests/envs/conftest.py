"""Fixtures for the tests of the environments."""

from __future__ import annotations

import contextlib
import importlib.util
import sys
import types
import warnings
from pathlib import Path

import mujoco
import numpy as np
import pytest

from smac_jax.envs.physics import mujoco as c_engine

GYMNASIUM_NAMES = {"hopper": "Hopper", "walker2d": "Walker2d", "halfcheetah": "HalfCheetah", "ant": "Ant"}


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of public data beside the checkout. Tests that need it are skipped without it."""
    path = Path(__file__).resolve().parents[3] / "shared" / "data"
    if not path.is_dir():
        pytest.skip(f"no folder {path}")
    return path


@pytest.fixture(scope="session")
def make_gymnasium(tmp_path_factory):
    """Makes Gymnasium's own environment without wrappers, by default with the contact margins of the data.

    All geoms of a robot have the same margin, so the sum of two halves is the larger of two margins.
    """
    if importlib.util.find_spec("imageio") is None:
        sys.modules["imageio"] = types.ModuleType("imageio")  # Gymnasium imports it for rendering, which no test does
    gymnasium = pytest.importorskip("gymnasium")

    scratch = tmp_path_factory.mktemp("gymnasium")

    def make(name: str, version: str, margins: str = "max"):
        # MuJoCo logs a complaint about the half cheetah's model to the working directory.
        with contextlib.chdir(scratch), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            env = gymnasium.make(f"{GYMNASIUM_NAMES[name]}-{version}").unwrapped
        if margins == "max":
            env.model.geom_margin[:] *= 0.5
        return env

    return make


@pytest.fixture(scope="session")
def load_policy(shared_data):
    """Loads a trained deterministic policy, for NumPy or (``xp=jnp``) for JAX."""

    def load(name: str):
        with np.load(shared_data / f"sac-{name}-policy.npz") as file:
            w = {key: file[key] for key in file.files}

        def policy(observation, xp=np):
            x = xp.asarray(observation, xp.float32)
            for i in (0, 1):
                x = xp.maximum(x @ w[f"w{i}"] + w[f"b{i}"], 0.0)
            return xp.tanh(x @ w["w_mean"] + w["b_mean"])

        return policy

    return load


@pytest.fixture
def elliptic_c_engine(monkeypatch):
    """Gives every model of the C engine elliptic friction cones, before it is registered with the C++ code."""
    compiled = c_engine.compile_model

    def compile_model(model):
        mj = compiled(model)
        mj.opt.cone = mujoco.mjtCone.mjCONE_ELLIPTIC
        return mj

    monkeypatch.setattr(c_engine, "compile_model", compile_model)
