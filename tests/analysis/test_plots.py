"""Figures have the expected content."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from smac_jax.algorithms import OFFLINE, ONLINE
from smac_jax.analysis.bands import COLORS
from smac_jax.analysis.plots import plot_transfer, transfer_figure
from smac_jax.text import NAMES


def has_color(image: np.ndarray, color: str) -> bool:
    rgb = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return bool((np.abs(image[..., :3] - rgb).max(axis=-1) < 0.02).any())


def test_figure_shows_each_algorithm_in_its_color_and_each_online_algorithm_in_its_row(make_curve, tmp_path):
    two = [make_curve("smac", "sac"), make_curve("td3_bc", "sac", control=False)]
    png, pdf = plot_transfer(two, tmp_path / "kappa-0.5", title="hopper", reference={"mean": 80.0, "best": 250.0})
    assert (png.name, pdf.name) == ("kappa-0.5.png", "kappa-0.5.pdf")
    assert pdf.read_bytes().startswith(b"%PDF")
    one_row = imread(png)
    assert has_color(one_row, COLORS[0])
    assert has_color(one_row, COLORS[1])
    assert not has_color(one_row, COLORS[2])
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
def test_curves_with_few_points_are_drawn_without_warnings(make_curve, tmp_path, changes):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        files = plot_transfer([make_curve(**changes)], tmp_path / "sparse")
    assert all(file.stat().st_size > 0 for file in files)
    assert has_color(imread(files[0]), COLORS[0])


def test_drawing_does_not_open_figures_in_pyplot():
    code = "import smac_jax.analysis.plots, sys; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], check=False).returncode == 0


def labels(figure, words: str) -> list:
    """Returns the drawn texts that contain some words, with their bounding boxes."""
    figure.draw_without_rendering()
    found = [text for ax in figure.axes for text in ax.texts if words in text.get_text()]
    return [(text.get_text(), text.get_window_extent()) for text in found]


@pytest.mark.parametrize("compact", [False, True])
@pytest.mark.parametrize("references", [{"mean": 3000.0, "best": 90_000.0}, {"mean": -5000.0}, {"a": -1e4, "b": 1e4}])
def test_distant_references_do_not_stretch_an_axis_and_show_their_value(make_curve, references, compact):
    curves = [make_curve("smac", "sac"), make_curve("smac", "td3")][: 1 if compact else 2]
    plain, _ = transfer_figure(curves, compact=compact)
    figure, _ = transfer_figure(curves, reference=references, compact=compact)
    heights = [np.ptp(f.axes[0].get_ylim()) for f in (plain, figure)]
    assert heights[1] < 1.5 * heights[0]
    for name, value in references.items():
        found = labels(figure, f"{name}: ")
        assert [f"{name}: {value:,.4g}" in text for text, _ in found] == [True] * len(curves)


def test_near_references_are_lines_whose_labels_do_not_overlap(make_curve):
    curve = make_curve()
    for gap in (0.0, 1.0, 5.0, 20.0, 80.0):
        figure, _ = transfer_figure([curve], reference={"the mean": 200.0, "the best": 200.0 + gap})
        (_, first), (_, second) = labels(figure, "the ")
        assert not first.overlaps(second)
        (left, right) = figure.axes
        for ax in (left, right):
            assert {200.0, 200.0 + gap} <= {line.get_ydata()[0] for line in ax.lines if len(set(line.get_ydata())) == 1}


@pytest.mark.parametrize(("steps", "shown"), [(0, []), (6, []), (40, [90]), (160, [0])])
def test_the_label_of_a_warm_start_stays_in_its_band(make_curve, steps, shown):
    figure, _ = transfer_figure([make_curve(warm_start=steps)])
    found = [text for text in figure.axes[1].texts if "warm start" in text.get_text()]
    assert [text.get_rotation() for text in found] == shown
    for _, box in labels(figure, "warm start"):
        low, high = figure.axes[1].transData.transform([[0, 0], [steps, 0]])[:, 0]
        assert low - 1 <= box.x0
        assert box.x1 <= high + 1


def test_every_algorithm_has_a_display_name(make_curve):
    assert {*OFFLINE, *ONLINE} <= {*NAMES}
    figure, drawn = transfer_figure([make_curve(name, "td3_bc") for name in OFFLINE])
    shown = [text.get_text() for text in figure.legends[0].get_texts()][: len(OFFLINE)]
    assert shown == [NAMES[name] for name in OFFLINE]
    assert {series.label.partition(",")[0] for series in drawn} == {*shown}
    assert figure.axes[1].get_title().endswith("TD3+BC")
