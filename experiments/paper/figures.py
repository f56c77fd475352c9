"""The paper's figures: the jobs that each needs, and how it is drawn."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter
from ml_collections import ConfigDict

import smac_jax
from smac_jax.analysis.bands import COLORS, draw_band, intervals_of
from smac_jax.analysis.captions import save
from smac_jax.analysis.curves import TransferCurve
from smac_jax.analysis.plots import transfer_figure
from smac_jax.analysis.statistics import bootstrap_interval
from smac_jax.data.dataset import Dataset
from smac_jax.errors import CheckpointError
from smac_jax.files import write_text
from smac_jax.runs.folder import policy_at
from smac_jax.spread import spread
from smac_jax.sweep import landscape
from smac_jax.sweep.datasets import references
from smac_jax.sweep.grid import Job
from smac_jax.sweep.landscape import Resolution
from smac_jax.tasks import task_info
from smac_jax.text import count, mean_over, name_of


@dataclasses.dataclass(frozen=True)
class FigureData:
    """The data of a figure of one task.

    Attributes:
      folder: where the figure is written.
      data: the data set.
      jobs: the jobs of the figure, by label.
      curves: their learning curves, by the labels of the job and of the online algorithm.
      caption: the caption with data, scale, seeds, device and commit.
      resolution: the resolution of lines and planes.
    """

    folder: Path
    data: Dataset
    jobs: Mapping[str, Job]
    curves: Mapping[tuple[str, str], TransferCurve]
    caption: str
    resolution: Resolution


@dataclasses.dataclass(frozen=True)
class PaperFigure:
    """A figure of the paper.

    Attributes:
      claim: the paper's claim or question that the figure is about.
      draw: writes the figure and returns its file.
      online: the online algorithms that fine-tune SMAC.
      vary: ``config -> --vary``, the variants of SMAC; None for no variants.
      parts: shares of the data set on which SMAC is also trained.
      control: whether to add a control without a transfer.
      trains: whether the figure needs training; False if it shows the data only.
    """

    claim: str
    draw: Callable[[str, FigureData], Path]
    online: tuple[str, ...] = ("sac",)
    vary: Callable[[ConfigDict], list[str]] | None = None
    parts: tuple[float, ...] = ()
    control: bool = False
    trains: bool = True


def variants(name: str, found: FigureData) -> Path:
    """Draws the learning curves of variants under SAC and their returns at three times; also writes a table."""
    shown = {label: curve for (label, end), curve in found.curves.items() if end == "sac"}
    figure = Figure(figsize=(9.5, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.6, 1))
    rows = []
    for i, (label, curve) in enumerate(shown.items()):
        color = COLORS[i % len(COLORS)]
        steps = np.concatenate([curve.offline_updates - curve.offline_updates[-1], curve.online_steps])
        returns = np.concatenate([curve.offline_returns, curve.online_returns], axis=1)
        draw_band(left, steps, intervals_of(returns), color, label=name_of(label))
        first_quarter = curve.online_steps <= curve.warm_start + 0.25 * (curve.online_steps[-1] - curve.warm_start)
        moments = {
            "transfer": curve.online_returns[:, 0],
            "lowest": curve.online_returns[:, first_quarter].min(axis=1),
            "final": curve.online_returns[:, -1],
        }
        for j, (moment, values) in enumerate(moments.items()):
            interval = bootstrap_interval(values)
            low, high = (interval.estimate if np.isnan(x) else x for x in interval[1:])
            error = [[interval.estimate - low], [high - interval.estimate]]
            offset = 0.12 * (i - (len(shown) - 1) / 2)
            right.errorbar(j + offset, interval.estimate, error, fmt="o", ms=4, color=color, lw=1.4)
            rows.append((label, moment, *interval))
    left.axvline(0, color="0.3", lw=1)
    left.set_xlabel("gradient updates before, environment steps after the transfer")
    left.set_ylabel(task_info(curve.task).rewards.evaluation)
    right.set_xticks(range(3), ["at transfer", "lowest in the\nfirst quarter", "final"])
    for axis in (left, right):
        axis.spines[["top", "right"]].set_visible(False)
    left.legend(frameon=False, fontsize=8)
    figure.suptitle(f"{found.data.name}: {name}", fontsize=11)
    lines = ["variant,moment,mean,low,high", *(f'"{v}",{m},{a:.6g},{b:.6g},{c:.6g}' for v, m, a, b, c in rows)]
    write_text(found.folder / f"{name}.csv", "\n".join(lines) + "\n")
    return save(figure, found.folder / name, found.caption)[0]


def residual(name: str, found: FigureData) -> Path:
    """Draws the penalty's residual, and the cosine of action gradient and score, during offline training."""
    figure = Figure(figsize=(9.5, 3.0), layout="constrained")
    axes = figure.subplots(1, 2)
    points = offline_metrics(found.jobs.values())
    for axis, quantity in zip(axes, ("residual", "cosine"), strict=True):
        for color, place in zip(COLORS, ("data", "policy", "uniform"), strict=False):
            of_place = [(x["step"], x[f"{quantity}_{place}"]) for x in points if f"{quantity}_{place}" in x]
            if of_place:
                steps, values = zip(*of_place, strict=True)
                intervals = intervals_of(np.array(values, float).T)
                draw_band(axis, np.array(steps), intervals, color, label=f"{place} actions")
        axis.set_xlabel("gradient updates")
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_yscale("log")
    for formatted in (axes[0].yaxis.set_major_formatter, axes[0].yaxis.set_minor_formatter):
        formatted(LogFormatter())  # 4.6 instead of 4.6 x 10^0
    axes[0].set_ylabel(r"$|\nabla_a Q - \alpha\,\mathrm{score}|$")
    axes[1].set_ylabel(r"cosine of $\nabla_a Q$ and the score")
    axes[0].legend(frameon=False, fontsize=8)
    figure.suptitle(f"{found.data.name}: does the identity hold?", fontsize=11)
    return save(figure, found.folder / name, found.caption)[0]


def coverage(name: str, found: FigureData) -> Path:
    """Draws the returns of the data's episodes, and the states projected on their first two principal axes."""
    figure = Figure(figsize=(9.5, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    returns = found.data.episode_returns()
    left.hist(returns, bins=40, color=COLORS[0])
    left.set_xlabel("return of an episode")
    left.set_ylabel("episodes")
    observations = np.asarray(found.data.observations, float)
    constant = np.array([spread(column) == 0.0 for column in observations.T])
    # a constant column must not be divided by its rounding errors, which would make it a principal axis
    standard = (observations - observations.mean(0)) / np.where(constant, 1.0, observations.std(0))
    standard[:, constant] = 0.0
    _, singular, axes = np.linalg.svd(standard[:: max(1, len(standard) // 20_000)], full_matrices=False)
    share = singular**2 / max((singular**2).sum(), np.finfo(float).tiny)
    seen = standard @ axes[:2].T
    drawn = right.hexbin(seen[:, 0], seen[:, 1], gridsize=60, bins="log", mincnt=1, cmap="viridis")
    figure.colorbar(drawn, ax=right, label="transitions")
    right.set_xlabel(f"first principal axis ({share[0]:.0%} of variance)")
    right.set_ylabel(f"second ({share[1]:.0%})")
    figure.suptitle(
        f"{found.data.name}: {count(found.data.size, 'transition')}, {count(len(returns), 'episode')}", fontsize=11
    )
    return save(figure, found.folder / name, found.caption)[0]


def transfer(name: str, found: FigureData) -> Path:
    """Draws the learning curves of SMAC under SAC and TD3; ``transfer.png`` is already the figure of the tables."""
    figure, _ = transfer_figure(
        [curve for (_, end), curve in found.curves.items() if end in FIGURES[name].online],
        title=f"{found.data.name}: {mean_over(next(iter(found.jobs.values())).seeds)}",
        reference=references(found.data),
    )
    return save(figure, found.folder / f"smac-{name}", found.caption)[0]


def line(name: str, found: FigureData) -> Path:
    """Draws the return on the line from SMAC's policy to the one fine-tuned by SAC."""
    (job,) = found.jobs.values()
    places = [job.folder / "offline", job.folder / "to-sac"]
    return landscape.draw(places, found.folder / name, found.resolution, said=found.caption)[0]


def plane(name: str, found: FigureData) -> Path:
    """Draws the return on the plane through SMAC's policy and those fine-tuned by SAC and TD3+BC."""
    (job,) = found.jobs.values()
    places = [job.folder / run for run in ("offline", "to-sac", "to-td3_bc")]
    return landscape.draw(places, found.folder / name, found.resolution, lines=False, said=found.caption)[0]


def embedding(name: str, found: FigureData) -> Path:
    """Draws a t-SNE map of the policies' parameters during pre-training and fine-tuning, for each seed.

    Seeds start from different parameters and stay far apart, so each seed has its own map. Colors are returns.

    Raises:
      CheckpointError: the policies of the evaluations were not saved.
    """
    from sklearn.manifold import TSNE  # takes a second to import

    (job,) = found.jobs.values()
    styles = {"offline": ("offline", "0.55"), "to-sac": ("SAC", COLORS[0]), "to-td3_bc": ("TD3+BC", COLORS[1])}
    vectors, returns, lengths = [], [], []  # [seed, parameter] and [seed] of each policy, run by run
    for run in styles:
        curve = next(c for (_, online), c in found.curves.items() if run in ("offline", f"to-{online}"))
        steps = curve.offline_updates if run == "offline" else curve.online_steps
        paths = [policy_at(job.folder / run, int(step)) for step in steps]
        if missing := [path for path in paths if not path.exists()]:
            raise CheckpointError(
                f"{missing[0]} does not exist. The figure embedding needs the policy of every evaluation, and this run "
                "was trained without it. Give another --results, or remove the run's folder to train it again."
            )
        for path in paths:
            arrays = smac_jax.load(path, seed="all").arrays.values()
            vectors.append(np.concatenate([x.reshape(len(x), -1) for x in arrays], axis=1))
        returns += list((curve.offline_returns if run == "offline" else curve.online_returns).T)
        lengths.append(len(steps))

    columns = min(4, len(job.seeds))
    rows = -(-len(job.seeds) // columns)
    figure = Figure(figsize=(2.6 * columns + 1.2, 2.8 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    low, high = np.min(returns), np.max(returns)
    for i, (seed, axis) in enumerate(zip(job.seeds, axes, strict=False)):
        of_seed = np.stack([vector[i] for vector in vectors])
        # equal policies of several evaluations are one point, not a cluster
        distinct, which = np.unique(of_seed, axis=0, return_inverse=True)
        perplexity = min(30.0, (len(distinct) - 1) / 3)
        places = TSNE(perplexity=perplexity, init="pca", random_state=0).fit_transform(distinct)[which]
        runs = np.split(places, np.cumsum(lengths)[:-1])
        for (label, color), run_places in zip(styles.values(), runs, strict=True):
            axis.plot(run_places[:, 0], run_places[:, 1], color=color, lw=1.2, label=label, zorder=1)
        axis.plot(*runs[0][-1], "*", ms=13, mfc="none", mec="0.1", label="transfer", zorder=3)
        shown = [point[i] for point in returns]
        drawn = axis.scatter(places[:, 0], places[:, 1], c=shown, s=20, cmap="viridis", vmin=low, vmax=high, zorder=2)
        axis.set_title(f"seed {seed}", fontsize=9)
    for axis in axes:
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_visible(False)
    axes[0].legend(frameon=False, fontsize=7)
    figure.colorbar(drawn, ax=list(axes), label=task_info(curve.task).rewards.evaluation)
    figure.suptitle(f"{found.data.name}: t-SNE of SMAC's policies during training", fontsize=11)
    return save(figure, found.folder / name, found.caption)[0]


def _kappas(config: ConfigDict) -> list[str]:
    return ["smac.kappa=" + ",".join(f"{factor * config.smac.kappa:g}" for factor in (0.0, 0.1, 1.0, 10.0))]


FIGURES: dict[str, PaperFigure] = {
    "kappa": PaperFigure("SMAC is not sensitive to kappa.", variants, vary=_kappas),
    "muon": PaperFigure("Muon helps SMAC.", variants, vary=lambda config: ["smac.optimizer=adam,muon"]),
    "condition": PaperFigure(
        "Conditioning the score on the best return helps.",
        variants,
        vary=lambda config: ["smac.score_model.condition_on_return=True,False"],
    ),
    "residual": PaperFigure("The identity holds during offline training.", residual, online=()),
    "coverage": PaperFigure("Which states and returns do the data cover?", coverage, online=(), trains=False),
    "size": PaperFigure("How much data does SMAC need?", variants, parts=(0.05, 0.2)),
    "transfer": PaperFigure("SMAC transfers with no drop.", transfer, online=("sac", "td3"), control=True),
    "line": PaperFigure("The policies are linearly connected.", line),
    "plane": PaperFigure("The policies are in the same basin.", plane, online=("sac", "td3_bc")),
    "embedding": PaperFigure("Fine-tuned policies stay near the pre-trained one.", embedding, online=("sac", "td3_bc")),
}


def offline_metrics(jobs: Iterable[Job]) -> list[dict[str, Any]]:
    """The logged points of SMAC's offline training, with the seeds of all jobs joined."""
    merged: dict[int, dict[str, Any]] = {}
    for job in jobs:
        for line in (job.folder / "offline" / "metrics.jsonl").read_text(encoding="utf-8").splitlines():
            point = json.loads(line)
            if point["phase"] != "offline":
                continue
            here = merged.setdefault(point["step"], {"step": point["step"]})
            for key, value in point.items():
                if isinstance(value, list):
                    here[key] = [*here.get(key, []), *value]
    return [merged[step] for step in sorted(merged)]
