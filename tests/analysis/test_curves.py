"""A curve survives its file, and refuses what is not a curve."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from smac_jax.analysis.curves import TransferCurve
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
def test_what_is_no_curve_is_refused_by_name(make_curve, changes, message):
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
