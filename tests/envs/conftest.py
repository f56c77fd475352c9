"""What several tests of environments need."""

from __future__ import annotations

import mujoco
import pytest

from smac_jax.envs.physics import mujoco as c_engine


@pytest.fixture
def elliptic_c_engine(monkeypatch):
    """The C engine with elliptic friction cones in every model, before it hands the model on to C++."""
    compiled = c_engine.compile_model

    def compile_model(model):
        mj = compiled(model)
        mj.opt.cone = mujoco.mjtCone.mjCONE_ELLIPTIC
        return mj

    monkeypatch.setattr(c_engine, "compile_model", compile_model)
