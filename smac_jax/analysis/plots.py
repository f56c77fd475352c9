"""Learning curves across the hand-over."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from smac_jax.analysis.curves import TransferCurve
from smac_jax.analysis.statistics import bootstrap_interval

# Okabe and Ito's palette, told apart by colour-blind readers too
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
NAMES = {"smac": "SMAC", "td3_bc": "TD3+BC", "sac": "SAC"}


def plot_transfer(
    curves: Sequence[TransferCurve],
    path: Path,
    title: str = "",
    reference: tuple[str, float] | None = None,
) -> list[Path]:
    """Draws every curve: pre-training left of the hand-over, fine-tuning right of it, a row of panels an online algorithm.

    Thick lines are means over seeds, bands their 95 % bootstrap intervals, thin lines single seeds; dotted is the control
    that went on training offline.

    Args:
      curves: of one task.
      path: of the figure, without an ending; ``.png`` and ``.pdf`` are written.
      title: above all.
      reference: a label and a return to draw as a horizontal line, e.g. the data's mean.

    Returns:
      The files written.
    """
    online = list(dict.fromkeys(curve.online for curve in curves))
    offline = list(dict.fromkeys(curve.offline for curve in curves))
    figure = Figure(figsize=(10.0, 0.6 + 3.6 * len(online)), layout="constrained")
    axes = figure.subplots(len(online), 2, sharey=True, squeeze=False, width_ratios=(1.0, 1.25))
    for row, online_name in zip(axes, online, strict=True):
        for curve in curves:
            if curve.online != online_name:
                continue
            colour, name = COLOURS[offline.index(curve.offline) % len(COLOURS)], NAMES.get(curve.offline, curve.offline)
            draw(row[0], curve.offline_updates, curve.offline_returns, colour, name)
            draw(row[1], curve.online_steps, curve.online_returns, colour, name)
            if curve.has_control:
                label = f"{name}, no hand-over"
                row[1].plot(curve.control_steps, curve.control_returns.mean(axis=0), ":", color=colour, lw=1.6, label=label)
        row[0].set_ylabel("evaluation return")
        row[0].set_title("offline pre-training", fontsize=10)
        row[1].set_title(f"online fine-tuning with {NAMES.get(online_name, online_name)}", fontsize=10)
        row[0].set_xlabel("gradient updates")
        row[1].set_xlabel("environment steps after the hand-over (control: gradient updates)")
        row[1].axvline(0, color="0.3", lw=1.2, ls="--")
        for ax in row:
            ax.margins(x=0.01)
            ax.grid(color="0.92")
            ax.spines[["top", "right"]].set_visible(False)
            ax.xaxis.set_major_formatter(lambda x, _: f"{x / 1000:g}k" if x else "0")
            if reference is not None:
                ax.axhline(reference[1], color="0.5", lw=1, ls=(0, (1, 2)))
        if reference is not None:
            row[0].annotate(
                reference[0], (0.99, reference[1]), xycoords=("axes fraction", "data"), ha="right", va="bottom",
                fontsize=8, color="0.4",
            )
        row[1].legend(frameon=False, fontsize=8)
    if title:
        figure.suptitle(title, fontsize=11)
    path.parent.mkdir(parents=True, exist_ok=True)
    files = [path.with_suffix(ending) for ending in (".png", ".pdf")]
    for file in files:
        figure.savefig(file, dpi=160)
    return files


def draw(
    ax: Axes, steps: Float[np.ndarray, "point"], returns: Float[np.ndarray, "seed point"], colour: str, label: str
) -> None:
    """Mean, interval and single seeds."""
    for seed in returns:
        ax.plot(steps, seed, color=colour, lw=0.6, alpha=0.35)
    if returns.size == 0:
        return
    intervals = np.array([bootstrap_interval(column, resamples=2000) for column in returns.T])
    ax.fill_between(steps, intervals[:, 1], intervals[:, 2], color=colour, alpha=0.18, lw=0)
    ax.plot(steps, intervals[:, 0], color=colour, lw=2.0, label=label)
