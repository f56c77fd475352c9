"""A step from every row that others logged in MuJoCo 2.1 gives the row that they logged next.

This is what would show it if a later MuJoCo changed the physics of these models again, as 3.5 did (contact margins are
summed since then); comparing with Gymnasium, which runs on the same MuJoCo, would not.
"""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from smac_jax.envs import LOCOMOTION, make_env
from smac_jax.envs.agreement import States, one_step_agreement, states_from_observations
from smac_jax.errors import DatasetError

KEYS = ("observations", "actions", "rewards", "next_observations")


@pytest.fixture(scope="module")
def logged(shared_data):
    """The rows of a robot's expert."""

    def read(name: str, every: int = 1) -> dict[str, np.ndarray]:
        with h5py.File(shared_data / "locomotion" / f"{name}-cs285-expert.hdf5") as file:
            return {key: file[key][()][::every] for key in KEYS}

    return read


def agreement(env, rows):
    return one_step_agreement(env, states_from_observations(env, rows["observations"]), rows)


@pytest.mark.parametrize("name", LOCOMOTION)
def test_every_row_whose_state_is_known_is_reproduced(name, logged):
    found = agreement(make_env(name, "mujoco"), logged(name))
    assert found.share == 1.0
    # hopper's and walker2d's velocities are clipped to 10, where the state is not known
    assert found.rows == {"hopper": 1644, "walker2d": 216}.get(name, 2000)
    # the ant is paid for its torso's frame, whose lag behind the joints (RK4) is not in the row
    assert found.reward_share == 1.0 or name == "ant"


@pytest.mark.parametrize(("name", "share"), [("hopper", 0.745), ("ant", 0.461)])
def test_summed_margins_are_another_world(name, share, logged):
    """That the check can fail: what MuJoCo 3.5 and later make of the same models."""
    found = agreement(make_env(name, "mujoco", margins="sum"), logged(name))
    assert found.share == pytest.approx(share, abs=0.02)
    assert found.worst_error > 0.3


def test_hopper_is_reproduced_by_mjx(logged):
    found = agreement(make_env("hopper", "mjx"), logged("hopper", every=10))
    assert found.share == 1.0


@pytest.mark.slow
@pytest.mark.parametrize(("name", "share"), [("walker2d", 0.98), ("halfcheetah", 0.98), ("ant", 0.5)])
def test_the_others_are_reproduced_by_mjx(name, share, logged):
    """The ant only between its steps: MJX's frame of a contact is another one (upstream issue 2774)."""
    found = agreement(make_env(name, "mjx", iterations=20, ls_iterations=20), logged(name, every=4))
    assert found.share >= share


@pytest.mark.slow
def test_hopper_is_reproduced_by_warp(logged):
    pytest.importorskip("warp")
    assert agreement(make_env("hopper", "warp"), logged("hopper", every=10)).share == 1.0


def test_a_contradicted_row_is_named(logged):
    rows = logged("halfcheetah", every=100)
    rows["next_observations"] = rows["next_observations"].copy()
    rows["next_observations"][7, 3] += 0.5
    found = agreement(make_env("halfcheetah", "mujoco"), rows)
    assert found.share == pytest.approx(1 - 1 / found.rows)
    assert (found.worst_row, found.worst_number) == (7, 3)
    assert found.worst_error == pytest.approx(0.5, abs=1e-3)
    assert "worst: row 7, observation[3] off by 0.5" in str(found)


def test_rows_that_do_not_fit_are_refused(logged):
    rows, env = logged("halfcheetah", every=100), make_env("hopper", "mujoco")
    with pytest.raises(DatasetError, match="17 observations and 6 actions, the environment 11 and 3"):
        agreement(env, rows)
    env = make_env("halfcheetah", "mujoco")
    states = states_from_observations(env, rows["observations"])
    with pytest.raises(DatasetError, match="No row"):
        one_step_agreement(env, States(states.qpos, states.qvel, np.zeros(20, bool)), rows)
