"""The states of logged rows are found, and rows of this simulator agree with it."""

from __future__ import annotations

import importlib.util

import jax
import numpy as np
import pytest

from smac_jax.data.readers.d4rl import OPTIONAL, REQUIRED, read_columns
from smac_jax.envs import ADROIT, LOCOMOTION, make_env
from smac_jax.envs.logged_states import INFOS, compare_with_simulator, fitting_version, tolerance_of
from smac_jax.errors import DatasetError

needs_hand = pytest.mark.skipif(
    importlib.util.find_spec("gymnasium_robotics") is None, reason="the models come with gymnasium-robotics"
)


def roll(name, episodes=2, steps=6):
    """A log of random actions, with the physics states that D4RL logs."""
    env = make_env(name, "mujoco")
    step = jax.jit(jax.vmap(env.step))
    state = jax.jit(jax.vmap(env.reset))(jax.random.split(jax.random.key(0), episodes))
    rng = np.random.default_rng(0)
    rows = []
    for _ in range(steps):
        action = rng.uniform(-1, 1, (episodes, env.action_size)).astype(np.float32)
        after = step(state, action)
        physics = state.pipeline_state
        rows.append((state.obs, action, after.reward, after.obs, physics.qpos, physics.qvel))
        state = after
    stacked = [np.stack(column, axis=1) for column in zip(*rows, strict=True)]  # [episode, step, ...]
    columns = [column.reshape(episodes * steps, *column.shape[2:]) for column in stacked]
    keys = ("observations", "actions", "rewards", "next_observations", "infos/qpos", "infos/qvel")
    timeouts = np.arange(episodes * steps) % steps == steps - 1
    return dict(zip(keys, columns, strict=True)) | {"terminals": np.zeros(len(timeouts), bool), "timeouts": timeouts}


@pytest.fixture(scope="module")
def rolled():
    """Returns a copy of a log, which is made only once."""
    logs = {}

    def log(name):
        if name not in logs:
            logs[name] = roll(name)
        return dict(logs[name])

    return log


@needs_hand
@pytest.mark.parametrize("hand", ADROIT)
def test_rows_of_the_hand_agree_with_states_from_infos(hand, rolled):
    """The scene follows from the first row of each episode."""
    result = compare_with_simulator("mine", hand, rolled(hand), physics="mujoco")
    assert result.agreement.share == 1.0
    assert result.agreement.rows == 12
    assert "scene from each episode's first observation" in result.note


@needs_hand
def test_a_scene_in_the_file_is_used(rolled):
    rows = rolled("door")
    env = make_env("door", "mujoco")
    offset = (
        rows["observations"][:, 32:35] - np.asarray(env.reset_to(rows["infos/qpos"], rows["infos/qvel"]).obs)[:, 32:35]
    )
    door = (env.init_scene + offset)[np.array([0] * 6 + [6] * 6)]
    for key in ("infos/scene", "infos/door_body_pos"):
        result = compare_with_simulator("mine", "door", rows | {key: door}, physics="mujoco")
        assert result.agreement.share == 1.0
        assert f"scene from {key}" in result.note
    elsewhere = compare_with_simulator("mine", "door", rows | {"infos/scene": door + 0.1}, physics="mujoco")
    assert elsewhere.agreement.share == 0.0


@needs_hand
def test_a_binary_file_is_compared_with_the_binary_task(rolled):
    rows = rolled("door")
    rows["rewards"] = np.full(12, -1.0, np.float32)
    result = compare_with_simulator("mine", "door-binary", rows, physics="mujoco")
    assert (result.agreement.share, result.agreement.reward_share) == (1.0, 1.0)


@needs_hand
def test_a_hand_without_states_is_not_compared(rolled):
    rows = {key: value for key, value in rolled("door").items() if not key.startswith("infos/")}
    result = compare_with_simulator("mine", "door", rows, physics="mujoco")
    assert result.agreement is None
    assert result.note == (
        "observations of door do not contain the whole state, and infos/qpos, infos/qvel are missing"
    )


def test_states_of_another_row_are_not_used(rolled):
    """If the log has the states after the actions, the states come from the observations, if these contain them."""
    rows = rolled("hopper")
    assert compare_with_simulator("mine", "hopper", rows, physics="mujoco").note.startswith("states from infos/qpos")
    for key in ("infos/qpos", "infos/qvel"):
        rows[key] = np.roll(rows[key], -1, axis=0)
    result = compare_with_simulator("mine", "hopper", rows, physics="mujoco")
    assert result.agreement.share == 1.0
    assert (
        "observations (infos/qpos and infos/qvel match the observation of their row in only 0% of the rows"
        in result.note
    )
    rows["infos/qpos"] = rows["infos/qpos"][:, :4]
    result = compare_with_simulator("mine", "hopper", rows, physics="mujoco")
    assert result.agreement.share == 1.0
    assert "do not fit the model: qpos must be finite and end in shape (6,)" in result.note


def test_a_terminal_without_a_next_observation_is_not_compared(rolled):
    rows = rolled("hopper")
    rows["terminals"] = rows["timeouts"]
    rows["next_observations"] = np.where(rows["terminals"][:, None], rows["observations"], rows["next_observations"])
    result = compare_with_simulator("mine", "hopper", rows, physics="mujoco")
    assert (result.agreement.share, result.agreement.rows) == (1.0, 10)


def test_at_most_the_given_number_of_rows_is_compared(rolled):
    result = compare_with_simulator("mine", "hopper", rolled("hopper"), physics="mujoco", most_rows=5)
    assert (result.agreement.rows, result.agreement.skipped) == (5, 7)


def test_the_note_says_why_rows_cannot_be_compared(rolled):
    rows = rolled("hopper")
    assert "noisy" in compare_with_simulator("mine", "kitchen-partial", rows).note
    assert "no simulator of frog" in compare_with_simulator("mine", "frog", rows).note
    assert "not known; see --env" in compare_with_simulator("mine", None, rows).note
    with pytest.raises(DatasetError, match="11 observations and 3 actions, but the environment has 17 and 6"):
        compare_with_simulator("mine", "walker2d", {k: v for k, v in rows.items() if "infos" not in k})


def test_the_version_follows_from_name_and_size():
    assert [fitting_version("mine", "ant", size) for size in (27, 105, 111)] == ["v4", "v5", "d4rl"]
    assert fitting_version("minari:mujoco/hopper/expert-v0", "hopper", 11) == "v5"
    assert fitting_version("hopper-medium-v2", "hopper", 11) == "v4"
    assert fitting_version("pen-human-v1", "pen", 45) == "d4rl"
    assert [fitting_version("mine", "antmaze-umaze", size) for size in (29, 31, 109)] == [
        "d4rl",
        "robotics-v4",
        "robotics-v5",
    ]
    assert [fitting_version("mine", "maze2d-large", size) for size in (4, 8)] == ["d4rl", "robotics-v3"]


def test_rounded_numbers_are_compared_less_strictly():
    values = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    assert tolerance_of(values) == 1e-4
    rounded = (values.view(np.uint32) & ~np.uint32((1 << 13) - 1)).view(np.float32)
    assert tolerance_of(rounded) == pytest.approx(100 / 2**11)


def logged(path):
    return read_columns(path, (*REQUIRED, *OPTIONAL, *INFOS))


@pytest.mark.parametrize("name", LOCOMOTION)
def test_rows_of_public_files_agree(name, shared_data):
    rows = logged(shared_data / "locomotion" / f"{name}-cs285-expert.hdf5")
    result = compare_with_simulator(name, name, rows, physics="mujoco", most_rows=200)
    assert result.agreement.share == 1.0
    assert result.agreement.rows == 200


@needs_hand
@pytest.mark.parametrize(("margins", "lowest", "highest"), [("sum", 1.0, 1.0), ("max", 0.0, 0.1)])
def test_rows_agree_only_with_the_contact_margins_of_their_log(margins, lowest, highest, shared_data):
    """Human actions, replayed with summed contact margins. Ball and target follow from the first rows."""
    rows = logged(shared_data / "adroit" / "relocate-human-replayed.hdf5")
    result = compare_with_simulator("mine", "relocate", rows, physics="mujoco", margins=margins, most_rows=300)
    assert lowest <= result.agreement.share <= highest
