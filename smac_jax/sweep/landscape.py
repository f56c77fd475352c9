"""Landscapes: evaluates and draws the return on lines and planes through the parameters of a sweep's policies."""

from __future__ import annotations

import dataclasses
import json
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from smac_jax.analysis.bands import COLORS, draw_band, intervals_of
from smac_jax.analysis.captions import save
from smac_jax.analysis.landscape_points import Spanned, largest_fall, line_weights, plane_weights, positions
from smac_jax.analysis.statistics import Interval
from smac_jax.errors import CheckpointError, ConfigError
from smac_jax.files import write_text
from smac_jax.sweep import provenance as origin
from smac_jax.sweep.job import trained_by_of
from smac_jax.sweep.run_names import RunName
from smac_jax.tasks import task_info
from smac_jax.text import count, name_of

BEYOND = 0.25
"""How far lines and planes extend beyond their policies, as a share of the distance between them."""
NARROW = 0.15
"""A plane whose sides have a more extreme ratio is not drawn to scale, because it would be too narrow to read."""


@dataclasses.dataclass(frozen=True)
class Resolution:
    """At how many points, and with how many episodes, the return is evaluated.

    Attributes:
      points: the number of points along a line, including both policies. They are evenly spaced if their number is one
        more than a multiple of 6; otherwise the nearest points are moved onto the policies.
      grid: the number of points along each side of a plane, including the three policies; 0 for no plane. They are
        evenly spaced if their number is one more than a multiple of 4.
      episodes: the number of episodes at each point, for each seed.
      seed: the seed of the starting states, which are the same at every point.
      points_at_once: the number of points in one rollout, limited by memory.
    """

    points: int = 25
    grid: int = 17
    episodes: int = 5
    seed: int = 0
    points_at_once: int = 64

    def __post_init__(self) -> None:
        least = {"points": 2, "grid": 2 if self.grid else 0, "episodes": 1, "points_at_once": 1}
        for name, low in least.items():
            if getattr(self, name) < low:
                what = "0 or at least 2, for the policies" if name == "grid" else f"at least {low}"
                raise ConfigError(f"--{name}={getattr(self, name)}: must be {what}.")


def draw(
    places: Sequence[Path], folder: Path, resolution: Resolution, lines: bool = True, said: str = ""
) -> list[Path]:
    """Evaluates the missing points, then draws a line from the first to each other policy, and a plane through three.

    Args:
      places: the folders of the policies' runs, the pre-trained policy first.
      folder: where figures and numbers are written.
      resolution: the numbers of points and episodes.
      lines: whether to draw the lines in addition to the plane.
      said: the caption of the figures; default: the provenance from the policies' job.

    Raises:
      CheckpointError: a folder holds no policy of a sweep.
      ConfigError: the policies have different architectures.
    """
    import smac_jax
    from smac_jax.runs.checkpoint import load_actor_critic
    from smac_jax.runs.provenance import write_provenance
    from smac_jax.tasks import time_limit
    from smac_jax.train.landscape import spanned

    policies = [
        load_actor_critic(place if place.name == "actor_critic" else place / "actor_critic") for place in places
    ]
    job = described(places[0])
    env = smac_jax.make_env(job["task"], physics=job["physics"], version=job["version"])
    seeds = policies[0].observation_mean.shape[0]
    along = positions(resolution.points, BEYOND)
    across = positions(resolution.grid, 2 * BEYOND) if resolution.grid else np.zeros(0)
    others = range(1, len(places)) if lines else ()
    pieces = {f"line-{i}": (np.array([0, i]), line_weights(along)) for i in others}
    if len(places) == 3 and resolution.grid:
        pieces["plane"] = (np.arange(3), plane_weights(across, across))
    length = time_limit(job["task"], env)
    total = sum(len(weights) for _, weights in pieces.values())
    steps = total * seeds * resolution.episodes * length
    size = f"{count(total, 'point')} x {count(seeds, 'seed')} x {count(resolution.episodes, 'episode')}"
    print(f"{size}: at most {steps:,} steps of physics; in {folder}")
    provenance = write_provenance(
        folder,
        policies=[str(place) for place in places],
        data=job["data"],
        seeds=job["seeds"],
        settings=resolution,
    )
    said = said or caption(provenance, job)
    said += f"; episodes at each point, for each seed: {resolution.episodes}"
    drawn = []
    names = [called(place) for place in places]
    for name, (which, weights) in pieces.items():
        chosen = [policies[i] for i in which]
        setup = [job["task"], job["physics"], job["version"], length]
        values = evaluated(folder, name, chosen, weights, env, setup, resolution)
        write_csv(folder / f"{name}.csv", weights, values)
        if name == "plane":
            path = draw_plane(folder / name, across, values, names, spanned(policies), job["task"], said)
        else:
            fall = largest_fall(values.mean(axis=2)[(along >= 0) & (along <= 1)])
            path = draw_line(folder / name, along, values, [names[i] for i in which], fall, job["task"], said)
        drawn.append(path)
    return drawn


def described(place: Path) -> dict[str, Any]:
    """Returns the content of ``job.json`` of a run's job.

    Raises:
      CheckpointError: the folder is not a run of a sweep.
    """
    for folder in (place.parent, place.parent.parent):
        if (folder / "job.json").exists():
            return json.loads((folder / "job.json").read_text(encoding="utf-8"))
    raise CheckpointError(f"{place} is not a run of a sweep: there is no job.json in the folders above it.")


def evaluated(
    folder: Path,
    name: str,
    policies: Sequence[Any],
    weights: np.ndarray,
    env: Any,
    setup: list[Any],
    resolution: Resolution,
) -> np.ndarray:
    """Returns the returns at all points. Each batch is saved before the next one begins.

    ``setup`` names the environment, its engine and its version, and ends with its time limit.
    """
    from smac_jax.runs.snapshots import checksum
    from smac_jax.train.landscape import landscape
    from smac_jax.train.progress import Progress

    seen = [(p.actor_params, p.observation_mean, p.observation_std) for p in policies]
    identity = list(map(str, [checksum(seen), resolution.episodes, resolution.seed, *setup, len(weights)]))
    store = folder / f"{name}-points.npz"
    known: dict[int, np.ndarray] = {}
    if store.exists():
        with np.load(store) as earlier:
            if earlier["identity"].tolist() == identity and np.allclose(earlier["weights"], weights):
                known = dict(zip(earlier["index"].tolist(), earlier["returns"], strict=True))

    def keep(new: dict[int, np.ndarray]) -> None:
        known.update(new)
        temporary = store.with_name(f".{store.name}")
        with temporary.open("wb") as file:
            index = sorted(known)
            np.savez(file, identity=identity, weights=weights, index=index, returns=np.stack([known[i] for i in index]))
        temporary.replace(store)
        bar.advance(len(new), float(np.mean(list(new.values()))))

    with Progress() as bar:
        bar.phase(name, len(weights), len(known))
        return landscape(
            policies,
            weights,
            env,
            resolution.episodes,
            seed=resolution.seed,
            episode_length=setup[-1],
            points_at_once=resolution.points_at_once,
            known=dict(known),
            on_points=keep,
        )


def caption(provenance: dict[str, Any], job: dict[str, Any]) -> str:
    """Returns the caption of the figures, with what the run's job records."""
    ends = [end for name, end in job.items() if name.startswith("online ")]
    start = job["offline"]
    updates = start["schedule"].get("num_updates")
    scale = origin.scale_of(
        [start["config"]],
        [updates] if updates is not None else job["checkpoints"],
        [end["schedule"]["num_steps"] for end in ends],
    )
    return origin.caption(provenance | {"scale": scale, "trained_by": trained_by_of([job])})


def called(place: Path) -> str:
    """Returns the name of a run's policy in figures."""
    name = place.parent.name if place.name == "actor_critic" else place.name
    run = RunName.parse(name)
    if run is None:
        return name
    what = {"offline": "pre-trained", "control": "after continued offline training"}.get(
        run.kind, f"after {name_of(run.online)}"
    )
    return what if run.checkpoint is None else f"{what} ({run.checkpoint:,} updates)"


def write_csv(path: Path, weights: np.ndarray, values: np.ndarray) -> None:
    """Writes a line for each point: its weights, then the mean return of each seed."""
    header = [f"weight_{i}" for i in range(weights.shape[1])] + [f"return_{i}" for i in range(values.shape[1])]
    rows = np.concatenate([weights, values.mean(axis=2)], axis=1)
    write_text(path, "\n".join([",".join(header), *(",".join(f"{x:.6g}" for x in row) for row in rows)]) + "\n")


def draw_line(
    path: Path, along: np.ndarray, values: np.ndarray, names: Sequence[str], fall: Interval, task: str, said: str
) -> Path:
    """Draws the mean over seeds with its interval, and a thin line for each seed."""
    figure = Figure(figsize=(6.2, 3.6), layout="constrained")
    axis = figure.subplots()
    per_seed = values.mean(axis=2).T
    draw_band(axis, along, intervals_of(per_seed), COLORS[0], seeds=per_seed)
    for x, name in zip((0, 1), names, strict=True):
        axis.axvline(x, color="0.3", lw=0.9, ls=(0, (5, 3)))
        label = textwrap.fill(name, 30)  # the distance between the policies is two thirds of the axis
        axis.annotate(label, (x, 1.0), xycoords=("data", "axes fraction"), ha="center", va="bottom", fontsize=9)
    axis.set_xlabel("position on the line between the policies' parameters")
    axis.set_ylabel(task_info(task).rewards.evaluation)
    axis.spines[["top", "right"]].set_visible(False)
    verdict = "the mean never decreases"
    if fall.estimate > 0:
        estimate, low, high = (f"{x:,.0f}" if fall.estimate >= 10 else f"{x:.2f}" for x in fall)
        verdict = f"largest decrease of the mean: {estimate}" + (f" [{low}, {high}]" if np.isfinite(fall.low) else "")
    figure.suptitle(f"Between the policies: {verdict}", fontsize=10)
    return save(figure, path, said)[0]


def draw_plane(
    path: Path, across: np.ndarray, values: np.ndarray, names: Sequence[str], plane: Spanned, task: str, said: str
) -> Path:
    """Draws contours of the mean return with the three policies. Lengths and the angle are means over seeds."""
    figure = Figure(figsize=(6.2, 4.6), layout="constrained")
    axis = figure.subplots()
    u, v, angle = (float(np.mean(x)) for x in plane)

    # if both policies lie in the same direction, the plane is a line; it is then drawn with a right angle
    flattened = v * np.sin(angle) <= 1e-3 * max(u, v)
    shown = np.pi / 2 if flattened else angle

    def at(x: Any, y: Any) -> tuple[Any, Any]:
        return x * u + y * v * np.cos(shown), y * v * np.sin(shown)

    places = at(*np.meshgrid(across, across, indexing="ij"))
    height, width = np.ptp(places[1]), np.ptp(places[0])
    to_scale = not flattened and NARROW < height / max(width, np.finfo(float).tiny) < 1 / NARROW
    heights = values.mean(axis=(1, 2)).reshape(len(across), len(across))
    flat = np.ptp(heights) <= 1e-6 * max(1.0, np.abs(heights).max())
    # if all returns are equal, contours would show rounding errors only
    levels = heights.mean() + np.array([-0.5, 0.5]) if flat else 20
    drawn = axis.contourf(*places, heights, levels=levels, cmap="viridis")
    if not flat:
        axis.contour(*places, heights, levels=10, colors="white", linewidths=0.4, alpha=0.6)
    figure.colorbar(drawn, ax=axis, label=f"{task_info(task).rewards.evaluation}, mean over seeds")
    for corner, name, marker in zip(((0, 0), (1, 0), (0, 1)), names, "osD", strict=True):
        axis.plot(*at(*corner), marker, color="white", mec="black", ms=8, label=textwrap.fill(name, 30), ls="none")
    # not beside the markers, which overlap if the plane is narrow
    figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=9)
    if to_scale:
        axis.set_aspect("equal")
    axis.set_xlabel(textwrap.fill(f"distance between parameters, toward the policy {names[1]}", 70))
    axis.set_ylabel("perpendicular distance" + ("" if to_scale else ", not to scale"))
    ticks = MaxNLocator(max(1, min(6, int(6 * height / width)))) if to_scale else MaxNLocator(6)
    axis.yaxis.set_major_locator(ticks)
    about = f"distances: {names[1]} {u:.2g}, {names[2]} {v:.2g}; angle {np.degrees(angle):.0f} degrees"
    figure.suptitle(textwrap.fill(about, 80), fontsize=9)
    return save(figure, path, said)[0]
