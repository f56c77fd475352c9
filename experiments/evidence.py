"""The paper's figures beside its transfer curves: what each needs trained, and how it is drawn."""

from __future__ import annotations

import dataclasses
import json
import textwrap
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from ml_collections import ConfigDict

import smac_jax
from experiments import between
from experiments.between import Resolution
from experiments.grid import Block
from experiments.transfer import references
from smac_jax.analysis.curves import TransferCurve
from smac_jax.analysis.plots import COLOURS, transfer_figure
from smac_jax.analysis.statistics import bootstrap_interval
from smac_jax.data.dataset import Dataset
from smac_jax.errors import CheckpointError
from smac_jax.files import write_text
from smac_jax.train.run_folder import policy_at


@dataclasses.dataclass(frozen=True)
class Found:
    """What is there to draw from, of one task.

    Attributes:
      folder: for what is drawn.
      data: the data set.
      blocks: of the cells that the figure asked for, SMAC's own at their head.
      curves: of every pair that is done, by the labels of its variants.
      caption: data, scale, seeds, device and commit, in a line.
      resolution: of lines and planes.
    """

    folder: Path
    data: Dataset
    blocks: Sequence[Block]
    curves: Mapping[tuple[str, str], TransferCurve]
    caption: str
    resolution: Resolution


@dataclasses.dataclass(frozen=True)
class Evidence:
    """A figure.

    Attributes:
      claim: of the paper, that it bears on.
      vary: ``config -> --vary``: the variants of SMAC.
      draw: writes the figure, returns its file.
      online: what they are handed to.
      parts: of the data set, that are trained on besides.
    """

    claim: str
    vary: Callable[[ConfigDict], list[str]]
    draw: Callable[[str, Found], Path]
    online: tuple[str, ...] = ("sac",)
    parts: tuple[float, ...] = ()


def save(figure: Figure, found: Found, name: str) -> Path:
    """Writes ``name.png`` with the caption below."""
    width = int(21 * figure.get_figwidth())
    caption = "\n".join(textwrap.fill(line, width) for line in found.caption.splitlines())
    figure.text(0.01, -0.02, caption, fontsize=6.5, color="0.35", ha="left", va="top")
    found.folder.mkdir(parents=True, exist_ok=True)
    path = found.folder / f"{name}.png"
    figure.savefig(path, dpi=180, bbox_inches="tight", pad_inches=0.1)
    return path


def variants(name: str, found: Found) -> Path:
    """Learning curves of the variants across the hand-over to SAC, and where each stands at three moments."""
    return compared(name, found, {offline: curve for (offline, end), curve in found.curves.items() if end == "sac"})


def size(name: str, found: Found) -> Path:
    """The same, of parts of the data set."""
    curves = {}
    for block in found.blocks:
        (sac,) = (end for end in block.online if end.label == "sac")
        part = block.data.split(":")[1] if block.data.startswith("part:") else "1"
        curves[f"{float(part):.0%} of the data"] = TransferCurve.from_json(block.curve(sac))
    return compared(name, found, curves)


def compared(name: str, found: Found, shown: Mapping[str, TransferCurve]) -> Path:
    """Draws learning curves side by side, and writes a table of them."""
    figure = Figure(figsize=(9.5, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.6, 1))
    rows = []
    for i, (label, curve) in enumerate(shown.items()):
        colour = COLOURS[i % len(COLOURS)]
        steps = np.concatenate([curve.offline_updates - curve.offline_updates[-1], curve.online_steps])
        returns = np.concatenate([curve.offline_returns, curve.online_returns], axis=1)
        _band(left, steps, returns, colour, label)
        first_quarter = curve.online_steps <= curve.warm_start + 0.25 * (curve.online_steps[-1] - curve.warm_start)
        moments = {
            "hand-over": curve.online_returns[:, 0],
            "lowest": curve.online_returns[:, first_quarter].min(axis=1),
            "final": curve.online_returns[:, -1],
        }
        for j, (moment, values) in enumerate(moments.items()):
            interval = bootstrap_interval(values)
            low, high = (interval.estimate if np.isnan(x) else x for x in interval[1:])
            error = [[interval.estimate - low], [high - interval.estimate]]
            offset = 0.12 * (i - (len(shown) - 1) / 2)
            right.errorbar(j + offset, interval.estimate, error, fmt="o", ms=4, color=colour, lw=1.4)
            rows.append((label, moment, *interval))
    left.axvline(0, color="0.3", lw=1)
    left.set_xlabel("gradient updates before, environment steps after the hand-over")
    left.set_ylabel("evaluation return")
    right.set_xticks(range(3), ["at hand-over", "lowest in the\nfirst quarter", "final"])
    for axis in (left, right):
        axis.spines[["top", "right"]].set_visible(False)
    left.legend(frameon=False, fontsize=8)
    figure.suptitle(f"{found.data.name}: {name}", fontsize=11)
    lines = ["variant,moment,mean,low,high", *(f"{v},{m},{a:.6g},{b:.6g},{c:.6g}" for v, m, a, b, c in rows)]
    write_text(found.folder / f"{name}.csv", "\n".join(lines) + "\n")
    return save(figure, found, name)


def residual(name: str, found: Found) -> Path:
    """The penalty's residual and the cosine of action-gradient and score through offline training."""
    figure = Figure(figsize=(9.5, 3.0), layout="constrained")
    axes = figure.subplots(1, 2)
    points = offline_metrics(found.blocks)
    for axis, quantity in zip(axes, ("residual", "cosine"), strict=True):
        for colour, place in zip(COLOURS, ("data", "policy", "uniform"), strict=False):
            of_place = [(x["step"], x[f"{quantity}_{place}"]) for x in points if f"{quantity}_{place}" in x]
            if of_place:
                steps, values = zip(*of_place, strict=True)
                _band(axis, np.array(steps), np.array(values, float).T, colour, f"{place} actions")
        axis.set_xlabel("gradient updates")
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_yscale("log")
    axes[0].set_ylabel(r"$|\nabla_a Q - \alpha\,\mathrm{score}|$")
    axes[1].set_ylabel(r"cosine of $\nabla_a Q$ and the score")
    axes[0].legend(frameon=False, fontsize=8)
    figure.suptitle(f"{found.data.name}: does the critic keep the identity?", fontsize=11)
    return save(figure, found, name)


def coverage(name: str, found: Found) -> Path:
    """What the data hold: returns of their episodes, and where states lie on their two main axes."""
    figure = Figure(figsize=(9.5, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    returns = found.data.episode_returns()
    left.hist(returns, bins=40, color=COLOURS[0])
    left.set_xlabel("return of an episode")
    left.set_ylabel("episodes")
    observations = np.asarray(found.data.observations, float)
    standard = (observations - observations.mean(0)) / np.maximum(observations.std(0), 1e-6)
    _, singular, axes = np.linalg.svd(standard[:: max(1, len(standard) // 20_000)], full_matrices=False)
    share = singular**2 / (singular**2).sum()
    seen = standard @ axes[:2].T
    drawn = right.hexbin(seen[:, 0], seen[:, 1], gridsize=60, bins="log", mincnt=1, cmap="viridis")
    figure.colorbar(drawn, ax=right, label="transitions")
    right.set_xlabel(f"first principal axis ({share[0]:.0%} of variance)")
    right.set_ylabel(f"second ({share[1]:.0%})")
    figure.suptitle(f"{found.data.name}: {found.data.size:,} transitions, {len(returns):,} episodes", fontsize=11)
    return save(figure, found, name)


def transfer(name: str, found: Found) -> Path:
    """Learning curves of SMAC across the hand-over to SAC and to TD3; ``transfer.png`` is the tables' figure."""
    figure, _ = transfer_figure(
        [curve for (_, end), curve in found.curves.items() if end in FIGURES[name].online],
        title=f"{found.data.name}: mean and 95 % interval over {len(found.blocks[0].seeds)} seeds",
        reference=references(found.data),
    )
    return save(figure, found, f"smac-{name}")


def line(name: str, found: Found) -> Path:
    """The return on the line from SMAC's policy to what SAC made of it."""
    (block,) = found.blocks
    places = [block.folder / "offline", block.folder / "to-sac"]
    return between.draw(places, found.folder / name, found.resolution)[0]


def plane(name: str, found: Found) -> Path:
    """The return over the plane through SMAC's policy and what SAC and TD3+BC made of it."""
    (block,) = found.blocks
    places = [block.folder / leg for leg in ("offline", "to-sac", "to-td3_bc")]
    return between.draw(places, found.folder / name, found.resolution, lines=False)[0]


def embedding(name: str, found: Found) -> Path:
    """t-SNE of the policies' parameters along pre-training and both fine-tunings, coloured by return, seed by seed.

    Seeds start from other parameters and stay as far apart as they were, so that each has a map of its own.

    Raises:
      CheckpointError: the policies of the evaluations were not kept.
    """
    from sklearn.manifold import TSNE  # a second to import

    (block,) = found.blocks
    looks = {"offline": ("offline", "0.55"), "to-sac": ("SAC", COLOURS[0]), "to-td3_bc": ("TD3+BC", COLOURS[1])}
    vectors, returns, lengths = [], [], []  # [seed, parameter] and [seed] of each policy, leg by leg
    for leg in looks:
        curve = next(c for (_, online), c in found.curves.items() if leg in ("offline", f"to-{online}"))
        steps = curve.offline_updates if leg == "offline" else curve.online_steps
        paths = [policy_at(block.folder / leg, int(step)) for step in steps]
        if missing := [path for path in paths if not path.exists()]:
            raise CheckpointError(
                f"{missing[0]} is not there: this run was made without the figure embedding, which needs the policy of "
                "every evaluation. Give another --results, or remove the run's folder to make it again."
            )
        for path in paths:
            arrays = smac_jax.load(path, seed="all").arrays.values()
            vectors.append(np.concatenate([x.reshape(len(x), -1) for x in arrays], axis=1))
        returns += list((curve.offline_returns if leg == "offline" else curve.online_returns).T)
        lengths.append(len(steps))

    columns = min(4, len(block.seeds))
    rows = -(-len(block.seeds) // columns)
    figure = Figure(figsize=(2.6 * columns + 1.2, 2.8 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    low, high = np.min(returns), np.max(returns)
    for i, (seed, axis) in enumerate(zip(block.seeds, axes, strict=False)):
        of_seed = np.stack([vector[i] for vector in vectors])
        perplexity = min(30.0, (len(of_seed) - 1) / 3)
        places = TSNE(perplexity=perplexity, init="pca", random_state=0).fit_transform(of_seed)
        legs = np.split(places, np.cumsum(lengths)[:-1])
        for (label, colour), leg_places in zip(looks.values(), legs, strict=True):
            axis.plot(leg_places[:, 0], leg_places[:, 1], color=colour, lw=1.2, label=label, zorder=1)
        axis.plot(*legs[0][-1], "*", ms=13, mfc="none", mec="0.1", label="hand-over", zorder=3)
        shown = [point[i] for point in returns]
        drawn = axis.scatter(places[:, 0], places[:, 1], c=shown, s=20, cmap="viridis", vmin=low, vmax=high, zorder=2)
        axis.set_title(f"seed {seed}", fontsize=9)
    for axis in axes:
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_visible(False)
    axes[0].legend(frameon=False, fontsize=7)
    figure.colorbar(drawn, ax=list(axes), label="evaluation return")
    figure.suptitle(f"{found.data.name}: t-SNE of SMAC's policies along training", fontsize=11)
    return save(figure, found, name)


def _kappas(config: ConfigDict) -> list[str]:
    return ["smac.kappa=" + ",".join(f"{factor * config.smac.kappa:g}" for factor in (0.0, 0.1, 1.0, 10.0))]


FIGURES: dict[str, Evidence] = {
    "kappa": Evidence("SMAC is not sensitive to kappa.", _kappas, variants),
    "muon": Evidence("Muon helps SMAC.", lambda config: ["smac.optimizer=adam,muon"], variants),
    "condition": Evidence(
        "Conditioning the score on the best return helps.",
        lambda config: ["smac.score_model.condition_on_return=True,False"],
        variants,
    ),
    "residual": Evidence("The identity holds through offline training.", lambda config: [], residual),
    "coverage": Evidence("What there is to learn from.", lambda config: [], coverage),
    "size": Evidence("How much data does SMAC need?", lambda config: [], size, parts=(0.05, 0.2)),
    "transfer": Evidence("SMAC goes over with no drop.", lambda config: [], transfer, online=("sac", "td3")),
    "line": Evidence("The policies are linearly connected.", lambda config: [], line),
    "plane": Evidence("They lie in one basin.", lambda config: [], plane, online=("sac", "td3_bc")),
    "embedding": Evidence(
        "Fine-tuned policies stay near the pre-trained one.", lambda config: [], embedding, online=("sac", "td3_bc")
    ),
}


def offline_metrics(blocks: Sequence[Block]) -> list[dict[str, Any]]:
    """Points of SMAC's offline training, seeds of all blocks side by side."""
    merged: dict[int, dict[str, Any]] = {}
    for block in blocks:
        for line in (block.folder / "offline" / "metrics.jsonl").read_text().splitlines():
            point = json.loads(line)
            if point["phase"] != "offline":
                continue
            here = merged.setdefault(point["step"], {"step": point["step"]})
            for key, value in point.items():
                if isinstance(value, list):
                    here[key] = [*here.get(key, []), *value]
    return [merged[step] for step in sorted(merged)]


def _band(axis: Any, steps: np.ndarray, returns: np.ndarray, colour: str, label: str) -> None:
    intervals = np.array([bootstrap_interval(column, resamples=1000) for column in returns.T])
    axis.plot(steps, intervals[:, 0], color=colour, lw=1.8, label=label)
    axis.fill_between(steps, intervals[:, 1], intervals[:, 2], color=colour, alpha=0.18, lw=0)
