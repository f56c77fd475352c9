"""How the length of pre-training changes a transfer: its return and its dip against the number of offline updates."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from smac_jax.analysis.bands import DOTTED, draw_band, intervals_of
from smac_jax.analysis.captions import save
from smac_jax.analysis.curves import TransferCurve
from smac_jax.analysis.metrics import dip
from smac_jax.analysis.plots import colors_of
from smac_jax.tasks import task_info
from smac_jax.text import name_of


def lengths(curves: Sequence[TransferCurve]) -> dict[tuple[str, str], list[TransferCurve]]:
    """The curves of each pair of algorithms, in the order of their offline updates; none if no pair has several."""
    pairs: dict[tuple[str, str], dict[int, TransferCurve]] = {}
    for curve in curves:
        pairs.setdefault((curve.offline, curve.online), {})[curve.updates] = curve
    several = any(len(found) > 1 for found in pairs.values())
    return {pair: [found[n] for n in sorted(found)] for pair, found in pairs.items()} if several else {}


def plot_length(curves: Sequence[TransferCurve], path: Path, title: str = "", caption: str = "") -> list[Path]:
    """Draws the figure of :func:`length_figure`, if a pair was transferred after several numbers of updates.

    Args:
      curves: learning curves of one task.
      path: the path of the figure without its suffix; ``.png`` and ``.pdf`` are written.
      title: the title of the figure.
      caption: the caption below the figure, with its provenance.

    Returns:
      The paths of the files; none if there is nothing to draw.
    """
    return save(length_figure(curves, title), path, caption, (".png", ".pdf")) if lengths(curves) else []


@rc_context({"text.parse_math": False})  # a name with two $ is not a formula
def length_figure(curves: Sequence[TransferCurve], title: str = "") -> Figure:
    """Returns against the number of offline updates, and dips beside them, with a row for each online algorithm.

    Solid lines: the return at the transfer, and the dip. Dashed: the lowest return in the first quarter of fine-tuning.
    Dotted: the dip of the control, which continues offline training. Bands are 95 % bootstrap intervals over seeds.
    """
    pairs = lengths(curves)
    colors = colors_of(curves)
    rows = list(dict.fromkeys(online for _, online in pairs))
    figure = Figure(figsize=(9.0, 1.1 + 3.0 * len(rows)), layout="constrained")
    axes = figure.subplots(len(rows), 2, squeeze=False, sharex=True)
    for (left, right), online in zip(axes, rows, strict=True):
        for (offline, of_online), found in pairs.items():
            if of_online == online:
                _draw(left, right, found, colors[offline])
        left.set_ylabel(task_info(curves[0].task).rewards.evaluation)
        left.set_title(f"transfer to {name_of(online)}", fontsize=10)
        right.set_ylabel("dip (%)")
        right.set_title("dip after the transfer", fontsize=10)
        right.set_ylim(bottom=0.0)
        updates = sorted({curve.updates for found in pairs.values() for curve in found})
        for ax in (left, right):
            _scale(ax, updates)
    for ax in axes[-1]:
        ax.set_xlabel("offline updates before the transfer")
    offlines = dict.fromkeys(offline for offline, _ in pairs)
    handles = [Line2D([], [], color=colors[name], lw=2, label=name_of(name)) for name in offlines]
    handles.append(Line2D([], [], color="0.3", ls="--", lw=1.5, label="lowest in the first quarter"))
    if any(curve.has_control for found in pairs.values() for curve in found):
        handles.append(Line2D([], [], color="0.3", ls=DOTTED, lw=1.5, label="no transfer (control)"))
    figure.legend(handles=handles, loc="outside lower center", ncols=4, frameon=False, fontsize=9)
    if title:
        figure.suptitle(title, fontsize=11)
    return figure


def _draw(left: Axes, right: Axes, curves: Sequence[TransferCurve], color: str) -> None:
    x = np.array([curve.updates for curve in curves], float)
    random_return = task_info(curves[0].task).random_return
    _draw_mean(left, x, _intervals([curve.online_returns[:, 0] for curve in curves]), color)
    lowest = [curve.online_returns[:, curve.online_steps <= curve.early_steps].min(axis=1) for curve in curves]
    left.plot(x, _intervals(lowest)[:, 0], color=color, ls="--", lw=1.5, marker="v", ms=4)
    dips = [dip(c.online_steps, c.online_returns, random_return, horizon=c.early_steps) for c in curves]
    _draw_mean(right, x, 100.0 * _intervals(dips), color)
    held = [curve for curve in curves if curve.has_control]
    if held:
        without = [dip(c.control_steps, c.control_returns, random_return, horizon=c.early_updates) for c in held]
        places = np.array([curve.updates for curve in held], float)
        right.plot(places, 100.0 * _intervals(without)[:, 0], color=color, ls=DOTTED, lw=1.5, marker=".", ms=4)


def _draw_mean(ax: Axes, x: Float[np.ndarray, " point"], intervals: Float[np.ndarray, "point 3"], color: str) -> None:
    """Draws a mean with its band, or with a bar if there is only one point."""
    if len(x) > 1:
        draw_band(ax, x, intervals, color)
        return
    ((mean, low, high),) = intervals
    ax.errorbar(x, [mean], [[mean - low], [high - mean]], color=color, marker="o", ms=5, capsize=3)


def _intervals(columns: Sequence[Float[np.ndarray, " seed"]]) -> Float[np.ndarray, "point 3"]:
    """Mean, low and high of each column. Columns may have different numbers of seeds."""
    return np.concatenate([intervals_of(column[:, None]) for column in columns])


def _scale(ax: Axes, updates: Sequence[int]) -> None:
    """Ticks at the numbers of updates, which are on a logarithmic scale if they are of several magnitudes."""
    place = np.array(updates, float)
    if updates[0] > 0 and updates[-1] >= 8 * updates[0]:
        ax.set_xscale("log")
        place = np.log(place)
    shown = [0]
    for i in range(1, len(place)):
        # two labels that are nearer than this would overlap
        if place[i] - place[shown[-1]] > 0.08 * (place[-1] - place[0]):
            shown.append(i)
    ax.xaxis.set_major_locator(FixedLocator([updates[i] for i in shown]))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x / 1000:g}k" if x >= 1000 else f"{x:g}"))
    ax.grid(color="0.93")
    ax.set_axisbelow(True)
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
