"""Learning curves across the transfer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Real
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from smac_jax.analysis.bands import COLORS, DOTTED, draw_band, intervals_of
from smac_jax.analysis.captions import save
from smac_jax.analysis.curves import TransferCurve
from smac_jax.tasks import task_info
from smac_jax.text import name_of, start_of

BEYOND = 0.4
"""A reference is drawn as a line if its distance from the curves is at most this share of their height."""
LABEL = 0.17
"""Height of a label, in inches."""


class Series(NamedTuple):
    """A curve of a figure.

    Attributes:
      ax: the axes.
      label: the label.
      color: the color.
      steps: the steps of its points.
      intervals: mean, low and high at these steps.
    """

    ax: Axes
    label: str
    color: str
    steps: Real[np.ndarray, " point"]
    intervals: Float[np.ndarray, "point 3"]


def plot_transfer(
    curves: Sequence[TransferCurve],
    path: Path,
    title: str = "",
    reference: Mapping[str, float] | tuple[str, float] | None = None,
    caption: str = "",
) -> list[Path]:
    """Draws learning curves, with pre-training to the left of the transfer and fine-tuning to its right.

    There is one row for each online algorithm and checkpoint. Thick lines are means over seeds, bands are their 95 %
    bootstrap intervals, and thin lines are single seeds. A dotted line is the mean of the control, which continues
    offline training.

    Args:
      curves: learning curves of one task.
      path: the path of the figure without its suffix; ``.png`` and ``.pdf`` are written.
      title: the title of the figure.
      reference: returns to draw as horizontal lines, by label, such as the mean and the best return of the data; or one
        label and its return.
      caption: the caption below the figure, with its provenance.

    Returns:
      The paths of the files.
    """
    figure, _ = transfer_figure(curves, title, reference)
    return save(figure, path, caption, (".png", ".pdf"))


def colors_of(curves: Sequence[TransferCurve]) -> dict[str, str]:
    """Returns the color of each offline algorithm."""
    return {name: COLORS[i % len(COLORS)] for i, name in enumerate(dict.fromkeys(curve.offline for curve in curves))}


@rc_context({"text.parse_math": False})  # a name with two $ is not a formula
def transfer_figure(
    curves: Sequence[TransferCurve],
    title: str = "",
    reference: Mapping[str, float] | tuple[str, float] | None = None,
    colors: Mapping[str, str] | None = None,
    compact: bool = False,
) -> tuple[Figure, list[Series]]:
    """Returns the figure of :func:`plot_transfer`.

    Args:
      curves, title, reference: as for :func:`plot_transfer`.
      colors: the colors of the offline algorithms; default: :func:`colors_of` these curves.
      compact: whether to draw a small figure without a legend.

    Returns:
      The figure, and the curves in it.
    """
    shown = list(dict.fromkeys((curve.online, curve.checkpoint) for curve in curves))
    several = len({checkpoint for _, checkpoint in shown}) > 1
    colors = colors or colors_of(curves)
    drawn = []
    # Figure instead of pyplot, which needs no display and does not change the caller's backend and figures; there is no
    # gap between the two panels, which meet at the transfer
    layout = ConstrainedLayoutEngine(wspace=0.0, w_pad=0.0, hspace=0.02)
    size = (4.8, 2.5) if compact else (9.0, 1.1 + 3.0 * len(shown))
    figure = Figure(figsize=size, layout=layout)
    axes = figure.subplots(
        *(len(shown), 2),
        sharex=False if several else "col",  # each checkpoint has another number of offline updates
        sharey=True,
        squeeze=False,
        width_ratios=(1.0, 1.5),
        gridspec_kw={"wspace": 0.0},
    )
    for (left, right), (online, checkpoint) in zip(axes, shown, strict=True):
        for curve in (curve for curve in curves if (curve.online, curve.checkpoint) == (online, checkpoint)):
            label, color = start_of(curve.offline, checkpoint), colors[curve.offline]
            drawn += [
                _draw(left, label, color, curve.offline_updates, curve.offline_returns),
                _draw(right, label, color, curve.online_steps, curve.online_returns),
            ]
            if curve.has_control:
                intervals = intervals_of(curve.control_returns)
                # aligned by the number of updates, of which there are none in the warm start
                steps = curve.warm_start + curve.control_steps
                right.plot(steps, intervals[:, 0], ls=DOTTED, color=color, lw=1.5, zorder=2.5)
                drawn.append(Series(right, f"{label}, no transfer", color, steps, intervals))
        left.set_ylabel(task_info(curves[0].task).rewards.evaluation)
        left.set_title("offline" if compact else "offline pre-training", fontsize=10)
        how = "" if compact else " fine-tuning with"
        since = "" if checkpoint is None else f" from {checkpoint:,} updates"
        right.set_title(f"online{how} {name_of(online)}{since}", fontsize=10)
        _frame(left, right)
        _mark_warm_start(right, max(curve.warm_start for curve in curves), width=0.55 * size[0])
    references = dict([reference]) if isinstance(reference, tuple) else dict(reference or {})
    _draw_references(axes, references, height=max(1.0, size[1] / len(shown) - 0.8))
    control = any(curve.has_control for curve in curves)
    axes[-1, 1].set_xlabel("environment steps" + (" (control: gradient updates)" if control and not compact else ""))
    axes[-1, 0].set_xlabel("gradient updates")
    for left, right in axes if several else axes[-1:]:
        _ticks(left, 2 if compact else 4)
        _ticks(right, 4 if compact else 7)
    if not compact:
        handles = [Line2D([], [], color=colors[name], lw=2.2, label=name_of(name)) for name in colors_of(curves)]
        if control:
            handles.append(Line2D([], [], color="0.3", lw=1.5, ls=DOTTED, label="no transfer (control)"))
        figure.legend(
            handles=handles, loc="outside lower center", ncols=min(len(handles), 5), frameon=False, fontsize=9
        )
    if title:
        figure.suptitle(title, fontsize=11)
    return figure, drawn


def _mark_warm_start(ax: Axes, steps: int, width: float) -> None:
    """Draws the warm start as a gray band. Its label is vertical if the band is narrow, and omitted without room.

    Args:
      ax: the axes.
      steps: the number of steps of the warm start.
      width: the approximate width of the panel, in inches.
    """
    if not steps:
        return
    ax.axvspan(0, steps, color="0.95", lw=0, zorder=0)
    low, high = ax.get_xlim()
    inches = width * steps / (high - low)
    if inches < 0.2:
        return
    narrow = inches < 0.8
    ax.annotate(
        "warm start" if narrow else "warm start:\nno updates",
        (steps / 2, 0.02),
        xycoords=("data", "axes fraction"),
        ha="center",
        rotation=90 if narrow else 0,
        fontsize=8,
        color="0.45",
        bbox={"facecolor": "0.95", "alpha": 0.7, "lw": 0, "pad": 0.5},
        zorder=2.4,  # below the means, so that it does not hide them
    )


def _draw_references(axes: np.ndarray, references: Mapping[str, float], height: float) -> None:
    """Draws references near the curves as dashed lines. The others are named at the edge and do not extend the axis.

    Args:
      axes: ``[row, panel]``, which share the axis of returns.
      references: returns, by label.
      height: the approximate height of a panel, in inches.
    """
    low, high = axes[0, 0].get_ylim()
    span = high - low
    ordered = dict(sorted(references.items(), key=lambda item: -item[1]))
    near: dict[str, float] = {}
    margin = BEYOND * span
    for label, y in ordered.items():
        if low - margin <= y <= high + margin:
            near[label] = y
            for ax in axes.ravel():
                ax.axhline(y, color="0.45", lw=0.9, ls=(0, (5, 3)), zorder=1)
    low, high = axes[0, 0].get_ylim()
    label_height = LABEL / height * (high - low)
    middle = (low + high) / 2
    far = {label: y for label, y in ordered.items() if label not in near}
    above = [f"{label}: {y:,.4g} \N{UPWARDS ARROW}" for label, y in far.items() if y > middle]
    below = [f"{label}: {y:,.4g} \N{DOWNWARDS ARROW}" for label, y in far.items() if y <= middle]
    # space for the labels at the edges
    bottom, top = low - len(below) * label_height, high + len(above) * label_height
    style: dict[str, Any] = {
        "xycoords": ("axes fraction", "data"),
        "textcoords": "offset points",
        "ha": "right",
        "fontsize": 8,
        "color": "0.35",
        "bbox": {"facecolor": "white", "alpha": 0.7, "lw": 0, "pad": 0.5},
        "zorder": 4,
    }
    # labels are at the right, where the curves are usually high and leave space for low lines
    for right in axes[:, -1]:
        before = np.inf
        for label, y in near.items():
            # if two lines are close, the upper label is above its line and the lower label below
            under = before - y < label_height < y - bottom
            side = {"xytext": (0, -3), "va": "top"} if under else {"xytext": (0, 3), "va": "bottom"}
            right.annotate(label, (0.99, y), **side, **style)
            before = y
        right.annotate("\n".join(above), (0.99, top), xytext=(0, -3), va="top", **style)
        right.annotate("\n".join(below), (0.99, bottom), xytext=(0, 3), va="bottom", **style)
    for ax in axes.ravel():
        ax.set_ylim(bottom, top)


def _draw(
    ax: Axes,
    label: str,
    color: str,
    steps: Real[np.ndarray, " point"],
    returns: Float[np.ndarray, "seed point"],
) -> Series:
    """Draws the mean, its interval and single seeds."""
    intervals = intervals_of(returns)
    draw_band(ax, steps, intervals, color, seeds=returns)
    return Series(ax, label, color, steps, intervals)


def _frame(left: Axes, right: Axes) -> None:
    """Joins the two panels at a line that marks the transfer."""
    for ax in (left, right):
        ax.margins(x=0.0)
        ax.grid(color="0.93", lw=0.8)
        ax.set_axisbelow(True)
        ax.spines[["top", "right"]].set_visible(False)
    right.spines["left"].set(color="0.15", lw=1.4)
    right.tick_params(axis="y", length=0)
    right.annotate(
        "transfer",
        (0.0, 1.0),
        xycoords="axes fraction",
        xytext=(3, -3),
        textcoords="offset points",
        va="top",
        fontsize=8,
        color="0.25",
        bbox={"facecolor": "white", "alpha": 0.7, "lw": 0, "pad": 0.5},
        zorder=4,
    )


def _ticks(ax: Axes, count: int) -> None:
    """Sets at most ``count`` intervals of round numbers. The outer labels are aligned inward to avoid overlaps."""
    low, high = ax.get_xlim()
    ticks = [
        tick for tick in MaxNLocator(count, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high) if low <= tick <= high
    ]
    texts = [f"{tick / 1000:g}k" if tick >= 1000 else f"{tick:g}" for tick in ticks]
    pads = {low: "\N{NO-BREAK SPACE}{}", high: "{}\N{NO-BREAK SPACE}"}
    ax.set_xticks(ticks, [pads.get(tick, "{}").format(text) for tick, text in zip(ticks, texts, strict=True)])
    for tick, label in zip(ticks, ax.get_xticklabels(), strict=True):
        if tick in pads:
            label.set_horizontalalignment("left" if tick == low else "right")
