"""Figures with a caption: what they were made from, below everything else on them."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from smac_jax.files import local_path

SIZE = 6.5
"""Of the caption's letters, in points."""
GAP = 0.06
"""Between the figure and its caption, in inches."""


def save(figure: Figure, path: Path, caption: str = "", endings: Sequence[str] = (".png",)) -> list[Path]:
    """Writes a figure with its caption below; afterwards its layout stays as it is.

    Args:
      figure: what is drawn.
      path: of the figure, without an ending; its folder is made.
      caption: lines; those wider than the figure are broken.
      endings: of the files.

    Returns:
      The files written.
    """
    if caption:
        _write_below(figure, caption)
    path = local_path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # not with_suffix, which would cut "kappa-0.5" at its point
    files = [path.with_name(path.name + ending) for ending in endings]
    for file in files:
        figure.savefig(file, dpi=180, bbox_inches="tight", pad_inches=0.1)
    return files


def _write_below(figure: Figure, caption: str) -> None:
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for legend in figure.legends:
        # one outside the axes is laid at the edge of whatever is saved, and would move onto the caption
        legend.set_bbox_to_anchor((0, 0, 1, 1), figure.transFigure)
    width, height = figure.get_size_inches()
    letters = int(21 * width)
    lines = "\n".join(textwrap.fill(line, letters) for line in caption.splitlines())
    below = (figure.get_tightbbox().y0 - GAP) / height
    figure.text(0.01, below, lines, fontsize=SIZE, color="0.35", ha="left", va="top", parse_math=False)
