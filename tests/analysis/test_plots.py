"""The figure is there and something is on it."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from smac_jax.analysis.plots import COLOURS, plot_transfer


def has_colour(image: np.ndarray, colour: str) -> bool:
    rgb = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return bool((np.abs(image[..., :3] - rgb).max(axis=-1) < 0.02).any())


def test_figure_shows_each_algorithm_in_its_colour_and_each_online_algorithm_in_its_row(make_curve, tmp_path):
    two = [make_curve("smac", "sac"), make_curve("td3_bc", "sac", control=False)]
    png, pdf = plot_transfer(two, tmp_path / "kappa-0.5", title="hopper", reference={"mean": 80.0, "best": 250.0})
    assert (png.name, pdf.name) == ("kappa-0.5.png", "kappa-0.5.pdf")
    assert pdf.read_bytes().startswith(b"%PDF")
    one_row = imread(png)
    assert has_colour(one_row, COLOURS[0])
    assert has_colour(one_row, COLOURS[1])
    assert not has_colour(one_row, COLOURS[2])
    both, _ = plot_transfer([*two, make_curve("smac", "td3")], tmp_path / "both", reference=("mean", 80.0))
    assert imread(both).shape[0] > 1.5 * one_row.shape[0]


@pytest.mark.parametrize(
    "changes",
    [
        {"offline_updates": np.zeros(0), "offline_returns": np.zeros((2, 0))},
        {"online_returns": np.full((2, 4), np.nan)},
        {"online_steps": np.zeros(1), "online_returns": np.ones((2, 1))},
        {"online_returns": np.ones((1, 4)), "offline_returns": np.ones((1, 3)), "control_returns": np.ones((1, 3))},
    ],
)
def test_curves_with_little_on_them_are_drawn_without_complaint(make_curve, tmp_path, changes):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        files = plot_transfer([make_curve(**changes)], tmp_path / "sparse")
    assert all(file.stat().st_size > 0 for file in files)
    assert has_colour(imread(files[0]), COLOURS[0])


def test_drawing_leaves_pyplot_alone():
    code = "import smac_jax.analysis.plots, sys; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], check=False).returncode == 0
