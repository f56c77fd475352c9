"""A caption is below everything else, and complete."""

from __future__ import annotations

import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from smac_jax.analysis.captions import save
from smac_jax.analysis.plots import transfer_figure

CAPTION = "made-of-$this$ (1,000 transitions; " + "from a long story, " * 20 + ")\nscale: small\n4 seeds; commit abc"


def drawn(kind: str, make_curve) -> Figure:
    if kind == "learning curves":  # their legend is outside the axes
        return transfer_figure([make_curve("smac", "sac"), make_curve("iql", "sac")], title="hopper")[0]
    figure = Figure(figsize=(6.2, 3.6), layout="constrained" if kind == "constrained" else None)
    figure.subplots().set_xlabel("steps")
    return figure


@pytest.mark.parametrize("kind", ["learning curves", "constrained", "plain"])
def test_a_caption_covers_nothing(kind, make_curve, tmp_path):
    figure = drawn(kind, make_curve)
    (file,) = save(figure, tmp_path / "folder" / "kappa-0.5", CAPTION)
    assert file.name == "kappa-0.5.png"
    caption = figure.texts[-1]
    assert caption.get_text().split() == CAPTION.split()
    renderer = figure._get_renderer()
    box = caption.get_window_extent(renderer)
    assert box.width < figure.bbox.width
    for other in (*figure.axes, *figure.legends):
        assert box.y1 < other.get_tightbbox(renderer).y0


def test_a_caption_makes_the_image_higher_and_hides_nothing(make_curve, tmp_path):
    heights = []
    for caption in ("", "one line", CAPTION):
        (file,) = save(drawn("learning curves", make_curve), tmp_path / "figure", caption)
        heights.append(imread(file).shape[0])
    plain, one, six = heights
    assert plain < one
    assert six - one > 3 * (one - plain) / 2
