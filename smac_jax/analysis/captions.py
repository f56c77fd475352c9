"""Saves figures with a caption below them, which states their provenance."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from smac_jax.files import local_path

SIZE = 6.5
"""Font size of the caption, in points."""
GAP = 0.06
"""Distance between the figure and its caption, in inches."""


def save(figure: Figure, path: Path, caption: str = "", endings: Sequence[str] = (".png",)) -> list[Path]:
    """Saves a figure with its caption below. This fixes the figure's layout.

    Args:
      figure: the figure.
      path: the path without its suffix; its folder is created.
      caption: the lines of the caption; lines wider than the figure are wrapped.
      endings: the suffixes of the files.

    Returns:
      The paths of the files.
    """
    if caption:
        _write_below(figure, caption)
    path = local_path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # not with_suffix, which would replace the ".5" of "kappa-0.5"
    files = [path.with_name(path.name + ending) for ending in endings]
    for file in files:
        figure.savefig(file, dpi=180, bbox_inches="tight", pad_inches=0.1)
    return files


def _write_below(figure: Figure, caption: str) -> None:
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for legend in figure.legends:
        # a legend outside the axes is placed at the edge of the saved area, and would overlap the caption
        legend.set_bbox_to_anchor((0, 0, 1, 1), figure.transFigure)
    width, height = figure.get_size_inches()
    letters = int(21 * width)
    lines = "\n".join(textwrap.fill(line, letters) for line in caption.splitlines())
    below = (figure.get_tightbbox().y0 - GAP) / height
    figure.text(0.01, below, lines, fontsize=SIZE, color="0.35", ha="left", va="top", parse_math=False)
