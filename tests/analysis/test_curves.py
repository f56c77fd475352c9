"""Curves are equal after writing and reading, and invalid curves are refused."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from smac_jax.analysis.curves import TransferCurve, joined
from smac_jax.errors import DatasetError


@pytest.mark.parametrize("control", [True, False])
def test_curve_read_back_equals_curve_written(make_curve, tmp_path, control):
    curve = make_curve(control=control)
    path = tmp_path / "curves" / "smac_sac.json"
    curve.to_json(path)
    read = TransferCurve.from_json(path)
    for field in dataclasses.fields(TransferCurve):
        np.testing.assert_array_equal(getattr(read, field.name), getattr(curve, field.name))
    assert read.has_control is control


def test_curve_without_evaluations_of_pretraining_survives_its_file(make_curve, tmp_path):
    make_curve(offline_updates=np.zeros(0), offline_returns=np.zeros((2, 0))).to_json(tmp_path / "a.json")
    assert TransferCurve.from_json(tmp_path / "a.json").offline_returns.shape == (2, 0)


def test_file_is_strict_json_with_null_for_what_is_not_finite(make_curve, tmp_path):
    returns = np.array([[1.0, np.nan, np.inf, 2.0], [1.0, 1.0, 1.0, 1.0]])
    make_curve(online_returns=returns).to_json(tmp_path / "a.json")

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is not JSON")

    values = json.loads((tmp_path / "a.json").read_text(), parse_constant=refuse)
    assert values["online_returns"][0] == [1.0, None, None, 2.0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"online_steps": np.array([5, 100, 200, 400])}, "start at 0"),
        ({"online_steps": np.array([0, 200, 100, 400])}, "increasing"),
        ({"online_steps": np.array([0, np.nan, 100, 400])}, "increasing"),
        ({"online_steps": np.array([0, 100])}, "shape"),
        ({"online_returns": np.zeros(4)}, "shape"),
        ({"offline_returns": np.zeros((3, 3))}, "3 seeds, online_returns 2"),
        ({"control_steps": np.array([50, 100, 400])}, "control_steps must start at 0"),
        ({"online_steps": np.zeros(0), "online_returns": np.zeros((2, 0))}, "start at 0"),
    ],
)
def test_invalid_curves_are_refused_by_name(make_curve, changes, message):
    with pytest.raises(DatasetError, match=message):
        make_curve(**changes)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"task": "hopper"}', '{"online_returns": "x"}'])
def test_other_files_are_refused_with_their_path(tmp_path, text):
    path = tmp_path / "other.json"
    path.write_text(text)
    with pytest.raises(DatasetError, match=r"other\.json"):
        TransferCurve.from_json(path)
    with pytest.raises(DatasetError, match=r"missing\.json"):
        TransferCurve.from_json(tmp_path / "missing.json")


def with_episodes(make_curve, **changes):
    """Returns a curve of two seeds. The first evaluation has 4 episodes, the others have 2."""
    curve = make_curve(**changes)
    rng = np.random.default_rng(0)
    online, control = (
        tuple(
            mean[:, None] + rng.normal(size=(2, 4 if i == 0 else 2)).astype(np.float32)
            for i, mean in enumerate(returns.T)
        )
        for returns in (curve.online_returns, curve.control_returns)
    )
    return dataclasses.replace(curve, online_episodes=online, control_episodes=control)


def test_episode_returns_are_stored_beside_the_curve_and_read_with_it(make_curve, tmp_path):
    curve = with_episodes(make_curve)
    path = tmp_path / "smac_sac.json"
    curve.to_json(path)
    with np.load(tmp_path / "smac_sac_episodes.npz") as file:
        assert {name: (file[name].dtype, file[name].shape) for name in file} == {
            "online_returns": (np.float32, (2, 10)),
            "online_counts": (np.int32, (4,)),
            "control_returns": (np.float32, (2, 8)),
            "control_counts": (np.int32, (3,)),
        }
    read = TransferCurve.from_json(path)
    assert [found.shape for found in read.online_episodes] == [(2, 4), (2, 2), (2, 2), (2, 2)]
    for name in ("online_episodes", "control_episodes"):
        for ours, theirs in zip(getattr(read, name), getattr(curve, name), strict=True):
            np.testing.assert_array_equal(ours, theirs)
    assert read.offline_episodes == ()
    # a curve without episode returns removes the file, and a curve of an earlier version is read without them
    make_curve().to_json(path)
    assert TransferCurve.from_json(path).online_episodes == ()
    assert not (tmp_path / "smac_sac_episodes.npz").exists()


def test_episodes_that_are_damaged_or_of_another_curve_are_refused(make_curve, tmp_path):
    path = tmp_path / "smac_sac.json"
    with_episodes(make_curve).to_json(path)
    beside = tmp_path / "smac_sac_episodes.npz"
    whole = beside.read_bytes()
    beside.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DatasetError, match=r"smac_sac_episodes\.npz: not a file of episode returns"):
        TransferCurve.from_json(path)
    other = with_episodes(make_curve)
    fewer = dataclasses.replace(
        other, online_steps=other.online_steps[:2], online_returns=other.online_returns[:, :2],
        online_episodes=other.online_episodes[:2],
    )  # fmt: skip
    fewer.to_json(tmp_path / "fewer.json")
    (tmp_path / "fewer_episodes.npz").write_bytes(whole)
    with pytest.raises(DatasetError, match="online_episodes has 4 evaluations, online_steps 2"):
        TransferCurve.from_json(tmp_path / "fewer.json")
    with pytest.raises(DatasetError, match=r"of shape \(3, 2\)"):
        dataclasses.replace(other, online_episodes=(np.zeros((3, 2)),) * 4)


def test_joined_curves_have_episode_returns_if_all_parts_have_them(make_curve):
    first, second = with_episodes(make_curve), with_episodes(make_curve)
    both = joined([first, second])
    assert [found.shape for found in both.online_episodes] == [(4, 4), (4, 2), (4, 2), (4, 2)]
    np.testing.assert_array_equal(both.online_episodes[0][2:], second.online_episodes[0])
    assert joined([first, make_curve()]).online_episodes == ()
