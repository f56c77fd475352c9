"""Figures as inline SVG of a web page, with the page's colors and the data for its pointer."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from smac_jax.analysis.plots import Series


def inline_svg(figure: Figure, name: str) -> str:
    """Returns the ``<svg>`` element of a figure, with a transparent background.

    Grays become mixtures of the page's ``--ink`` and ``--paper``, so that the figure fits light and dark pages.

    Args:
      figure: the figure.
      name: a name that is unique on the page.
    """
    out = io.StringIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        figure.savefig(out, format="svg", transparent=True, metadata={"Date": None})
    text = re.sub(r"<metadata>.*?</metadata>", "", out.getvalue(), flags=re.DOTALL)
    text = text[text.index("<svg") :].replace("xlink:href", "href")
    head, _, body = text.partition(">")
    (box,) = re.findall(r'viewBox="([\d. ]+)"', head)
    # the ids of groups repeat in every figure and are not needed; ids of markers and clips depend on the salt
    body = re.sub(r'<g id="[^"]*"', "<g", body)
    return f'<svg viewBox="{box}" xmlns="http://www.w3.org/2000/svg">' + re.sub(
        r"#([0-9a-f]{2})\1\1(?![0-9a-f])",
        lambda gray: f"color-mix(in srgb, var(--ink) {100 - int(gray[1], 16) / 2.55:.0f}%, var(--paper))",
        body,
    )


def panels(figure: Figure, drawn: Sequence[Series]) -> list[dict[str, Any]]:
    """Returns the positions of the data in the ``<svg>``, as plain values for JSON. Must be called after
    :func:`inline_svg`.

    Args:
      figure: the figure.
      drawn: its curves.

    Returns:
      For each panel ``box`` (left, top, right, bottom) and ``series``, a list with ``label``, ``color``, ``steps``,
      ``x`` and ``y`` (positions), and ``values`` (text).
    """
    width, height = figure.get_size_inches() * 72
    found: dict[Axes, dict[str, Any]] = {}
    for series in drawn:
        place = series.ax.get_position()
        box = [place.x0 * width, (1 - place.y1) * height, place.x1 * width, (1 - place.y0) * height]
        panel = found.setdefault(series.ax, {"box": [round(edge, 2) for edge in box], "series": []})
        known = np.isfinite(series.intervals[:, 0])
        steps, intervals = series.steps[known], series.intervals[known]
        to_figure = series.ax.transData - figure.transFigure
        points = to_figure.transform(np.column_stack([steps, intervals[:, 0]])) if len(steps) else np.zeros((0, 2))
        panel["series"].append(
            {
                "label": series.label,
                "color": series.color,
                "steps": [f"{step:,.0f}" for step in steps],
                "x": np.round(points[:, 0] * width, 2).tolist(),
                "y": np.round((1 - points[:, 1]) * height, 2).tolist(),
                "values": [_value_text(*interval) for interval in intervals],
            }
        )
    return list(found.values())


def _value_text(mean: float, low: float, high: float) -> str:
    return f"{mean:,.1f}" if np.isnan(low) else f"{mean:,.1f} [{low:,.1f}, {high:,.1f}]"
