"""AWAC's pairs of files for binary Adroit tasks, read as the code of Cal-QL and WSRL reads them."""

import numpy as np
import pytest

import smac_jax.data.readers.awac as awac
from smac_jax import Dataset
from smac_jax.data import load_dataset
from smac_jax.data.sources import is_available_offline
from smac_jax.errors import DatasetError

RNG = np.random.default_rng(0)
WON, LOST, WON_TWICE = [-1, -1, 0, 0, -1], [-1, -1, -1], [-1, 0, -1, 0]


def episode(rewards):
    n = len(rewards)
    rows = RNG.normal(size=(n + 1, 45)).astype(np.float32)
    return {
        "observations": rows[:-1],
        "next_observations": rows[1:],
        "actions": RNG.uniform(-1.2, 1.2, (n, 24)),
        "rewards": np.float64(rewards),
        "terminals": np.zeros(n),
        "env_infos": [{}] * n,
    }


def as_demonstration(of):
    """An episode in the form of AWAC's human demonstrations: dicts of observations, one more action and reward."""
    dicts = {key: [{"state_observation": row} for row in of[key]] for key in ("observations", "next_observations")}
    more = {"actions": [*of["actions"], np.zeros(24)], "rewards": [*of["rewards"], -1.0]}
    return {**of, **dicts, **more}


def as_clone(of):
    """An episode in the form of AWAC's rollouts: columns, and a terminal in the middle, which is ignored."""
    terminals = np.zeros((len(of["rewards"]), 1))
    terminals[1] = 1
    return {**of, "rewards": of["rewards"][:, None], "terminals": terminals}


def save(path, episodes):
    path.parent.mkdir(parents=True, exist_ok=True)
    held = np.empty(len(episodes), object)
    held[:] = episodes
    np.save(path, held, allow_pickle=True)


@pytest.fixture
def release(tmp_path, monkeypatch):
    """The two files of the pen in an empty home directory, and their episodes."""
    monkeypatch.setenv("SMAC_JAX_DATA", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    people, clones = [episode(WON), episode(LOST)], [episode(WON_TWICE), episode(LOST), episode(LOST)]
    save(tmp_path / "offpolicy_hand_data/pen2_sparse.npy", [as_demonstration(e) for e in people])
    save(tmp_path / "offpolicy_hand_data/pen_bc_sparse4.npy", [as_clone(e) for e in clones])
    return people, clones


def test_both_files_become_one_data_set_cut_as_in_cal_ql(release):
    (won, _), (won_twice, *_) = release
    data = load_dataset("pen-binary-v0")
    assert (data.name, data.task, data.size) == ("pen-binary-v0", "pen-binary", 8)
    kept = [(won, 4), (won_twice, 4)]  # failures left out, each cut after its last success
    for key in ("observations", "next_observations", "rewards"):
        np.testing.assert_array_equal(getattr(data, key), np.concatenate([e[key][:n] for e, n in kept]))
    actions = np.concatenate([e["actions"][:n] for e, n in kept])
    np.testing.assert_array_equal(data.actions, np.float32(np.clip(actions, -1, 1)))
    notes = dict(data.metadata)
    assert notes["without_success"] == "3 of 5 episodes without success left out"
    assert notes["source"] == "AWAC, pen2_sparse.npy and pen_bc_sparse4.npy"


def test_no_success_bootstraps_and_trajectories_are_not_split(release):
    data = load_dataset("pen-binary-v0")
    np.testing.assert_array_equal(data.transitions().terminal, np.asarray(data.rewards) == 0)
    np.testing.assert_array_equal(data.terminals, [0, 0, 0, 1, 0, 0, 0, 1])
    np.testing.assert_array_equal(data.trajectory_returns, [-2] * 8)
    assert "2 episodes" in data.summary()
    assert "100% end in success" in data.summary()
    expected = []  # Cal-QL's calc_return_to_go runs backwards, and starts again at each success
    for rewards in (WON[:4], WON_TWICE[:4]):
        after, returns = 0.0, []
        for reward in rewards[::-1]:
            after = 10 * reward + 5 + (0.9 * after if reward != 0 else 0.0)
            returns.append(after)
        expected += returns[::-1]
    shifted = data.with_returns_to_go(0.9, reward_scale=10, reward_bias=5)
    np.testing.assert_allclose(shifted.returns_to_go, expected, rtol=1e-6)


def test_one_file_of_the_pair_is_read_by_its_path(release, tmp_path):
    data = load_dataset(tmp_path / "offpolicy_hand_data/pen2_sparse.npy")
    assert (data.name, data.task, data.size) == ("pen2_sparse", "pen-binary", 4)


def test_the_pair_is_found_in_every_known_folder(release, tmp_path, monkeypatch):
    assert is_available_offline("pen-binary-v0")
    assert not is_available_offline("door-binary-v0")
    assert not is_available_offline("pen-human-v1")
    monkeypatch.delenv("DATA_DIR_PREFIX", raising=False)
    here, *others = awac.folders()
    monkeypatch.setenv("DATA_DIR_PREFIX", str(tmp_path / "wsrls"))
    moved = awac.folders()
    assert sum(a != b for a, b in zip([here, *others], moved, strict=True)) == 1
    for there in moved[1:]:
        there.mkdir(parents=True, exist_ok=True)
        for file in here.glob("*.npy"):
            file.rename(there / file.name)
        assert load_dataset("pen-binary-v0").size == 8
        here = there


def test_a_pair_with_a_missing_file_is_refused(release, tmp_path):
    (tmp_path / "offpolicy_hand_data/pen_bc_sparse4.npy").unlink()
    with pytest.raises(
        DatasetError, match=r"holds only one of the two files of AWAC's release; pen_bc_sparse4\.npy is missing"
    ):
        load_dataset("pen-binary-v0")


def test_a_release_without_a_success_is_refused(release, tmp_path):
    path = tmp_path / "pen_bc_sparse4.npy"
    save(path, [as_clone(episode(LOST))])
    with pytest.raises(DatasetError, match=r"pen_bc_sparse4\.npy: no episode succeeds"):
        load_dataset(path)


def test_dense_rewards_are_refused_for_a_binary_task():
    with pytest.raises(
        DatasetError, match=r"rewards of door-binary are 0 on success and -1 otherwise, but these range from 0 to 1"
    ):
        Dataset.from_arrays(np.zeros((3, 39)), np.zeros((3, 28)), [0, 0, 1], [0, 0, 1], task="door-binary")
