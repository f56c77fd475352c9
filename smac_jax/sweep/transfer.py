"""What every experiment does with a hand-over: its curve, its metrics, its table and figure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.text import Text

import smac_jax
from smac_jax.analysis import tables
from smac_jax.analysis.curves import TransferCurve
from smac_jax.analysis.fitting import console_for_tables
from smac_jax.analysis.plots import plot_transfer
from smac_jax.envs import check_name
from smac_jax.errors import ConfigError
from smac_jax.files import write_text
from smac_jax.runs.logger import MetricLogger
from smac_jax.tasks import task_info
from smac_jax.text import count, mean_over
from smac_jax.train.divergence import NOT_DIVERGED
from smac_jax.train.offline import PretrainResult
from smac_jax.train.online import FinetuneResult


def environment_of(data: smac_jax.Dataset, given: str | None) -> str:
    """The environment that a data set belongs to (``env`` in its metadata, or else its task), or the one given.

    Raises:
      ConfigError: nobody says which; or its rewards are not those of the binary task.
      UnknownNameError: there is no such environment.
    """
    task = given or dict(data.metadata).get("env") or data.task
    if task is None:
        raise ConfigError(f"{data.name} does not say which environment it belongs to; say it with --env.")
    check_name(task)
    if task_info(task).rewards.only_success and data.task != task:
        raise ConfigError(
            f"{data.name} has the rewards of {data.task or 'another task'}, not of {task}: give its file a name that "
            f"begins with {task}, and they are made binary on reading."
        )
    return task


def check_fits(data: smac_jax.Dataset, task: str, env: Any) -> None:
    """Raises ConfigError where a data set's observations or actions are not the environment's."""
    ours = data.observations.shape[-1], data.actions.shape[-1]
    theirs = env.observation_size, env.action_size
    if ours != theirs:
        raise ConfigError(
            f"{data.name} has {ours[0]} observations and {ours[1]} actions, the environment {task} {theirs[0]} and "
            f"{theirs[1]}: these data are not of it. Another environment is named with --env."
        )


def describe(data: smac_jax.Dataset) -> str:
    """The data set, and how it came about or where it is from, where it says so."""
    notes = dict(data.metadata)
    said = [notes[key] for key in ("recipe", "source", "alone", "without_success") if key in notes]
    return f"{data.name} ({'; '.join([f'{data.size:,} transitions', *said])})"


def scale_of(configs: Iterable[Mapping[str, Any]], updates: Iterable[int], steps: Iterable[int]) -> str:
    """How large everything is, in a line for tables and figures.

    Args:
      configs: of the offline algorithms.
      updates: their numbers of gradient updates.
      steps: numbers of environment steps after them, with an update each.
    """

    def either(values: Iterable[str]) -> str:
        return " or ".join(dict.fromkeys(values))

    # an algorithm of somebody's own may have another way to say it
    said = [config.get("network", {}).get("critic_hidden") for config in configs]
    networks = either(_sizes(hidden) for hidden in said if hidden)
    offline, online = either(f"{x:,}" for x in updates), either(f"{x:,}" for x in steps)
    parts = [f"networks of {networks}"] if networks else []
    return ", ".join([*parts, f"{offline} updates offline", *([f"{online} online"] if online else [])])


def _sizes(hidden: Sequence[int]) -> str:
    return f"{len(hidden)} x {hidden[0]}" if len(set(hidden)) == 1 else "-".join(map(str, hidden))


def made_by(record: Mapping[str, Any]) -> str:
    """Commit, device and day, of a record that has them."""
    return f"{record['commit'] or 'no commit'}, {record['device']}, {record['date'][:10]}"


def caption(provenance: Mapping[str, Any]) -> str:
    """What a figure must name, a line each: data; scale; seeds, with commit, device and day of drawing and training."""
    provenance = {"trained_by": [], **provenance}
    here, seeds = made_by(provenance), len(provenance["seeds"])
    trained = provenance["trained_by"] if provenance["trained_by"] != [here] else []
    return "\n".join(
        [
            str(provenance["data"]),
            *([f"scale: {provenance['scale']}"] if provenance.get("scale") else []),
            f"{count(seeds, 'seed')}; commit {here}" + "".join(f"; trained by {by}" for by in trained),
        ]
    )


def references(data: smac_jax.Dataset) -> dict[str, float]:
    """What to compare evaluations with, by label, in their units (``RewardRule.evaluation``)."""
    scores = data.episode_scores()
    if data.reward_rule.only_success:
        return {"the data's success rate": float(scores.mean())}
    return {"the data's mean": float(scores.mean()), "the data's best": float(scores.max())}


def log(logger: MetricLogger, name: str, result: PretrainResult | FinetuneResult) -> None:
    """Writes a result's metrics and evaluations."""
    columns = {key: value for key, value in result.metrics.items() if key not in ("phase", "step")}
    for i, (phase, step) in enumerate(zip(result.metrics["phase"], result.metrics["step"], strict=True)):
        logger.log(name, str(phase), step, {key: value[i] for key, value in columns.items()})
    measured = {"return": result.mean_returns, **result.evaluations.metrics}
    for i, step in enumerate(result.evaluation_steps):
        logger.log(name, "evaluation", step, {key: value[:, i] for key, value in measured.items()})


def transfer_curve(
    task: str,
    offline: str,
    off: PretrainResult,
    online: str,
    on: FinetuneResult,
    warm_start: int,
    control: PretrainResult | None,
) -> TransferCurve:
    """Returns of one pair: means, and every episode."""
    extra: dict[str, Any] = {}
    if control is not None:
        extra = {
            "control_steps": control.evaluation_steps - off.updates,
            "control_returns": control.mean_returns,
            "control_episodes": control.evaluations.episodes,
        }
    return TransferCurve(
        task=task,
        offline=offline,
        online=online,
        offline_updates=off.evaluation_steps,
        offline_returns=off.mean_returns,
        online_steps=on.evaluation_steps,
        online_returns=on.mean_returns,
        warm_start=warm_start,
        seeds=tuple(off.seeds),
        diverged=tuple(_divergence(before, after) for before, after in zip(off.diverged, on.diverged, strict=True)),
        offline_episodes=off.evaluations.episodes,
        online_episodes=on.evaluations.episodes,
        **extra,
    )


def _divergence(offline: int, online: int) -> str:
    if offline != NOT_DIVERGED:
        return f"offline at step {offline:,}"
    return f"online at step {online:,}" if online != NOT_DIVERGED else ""


def report(
    folder: Path,
    curves: Sequence[TransferCurve],
    data: smac_jax.Dataset,
    provenance: dict[str, Any],
    suffix: str = "",
    title: str = "",
) -> None:
    """Writes ``table.md``, ``table.csv`` and ``transfer.png/.pdf`` (``suffix`` before the ending), prints the table.

    Args:
      folder: for them.
      curves: of one task.
      data: trained on.
      provenance: as :func:`smac_jax.analysis.tables.provenance_text` wants it.
      suffix: of the files' names.
      title: of table and figure; default: the data's name.
    """
    made = tables.rows(curves, task_info(curves[0].task).random_return)
    write_text(folder / f"table{suffix}.md", tables.markdown(made, provenance))
    write_text(folder / f"table{suffix}.csv", tables.comma_separated(made))
    title, seeds = title or data.name, count(made[0].handover, "seed")
    plot_transfer(
        curves,
        folder / f"transfer{suffix}",
        title=f"{title}: {mean_over(made[0].handover)}",
        reference=references(data),
        caption=caption(provenance),
    )
    console = console_for_tables()
    console.print(tables.terminal(made, f"{title}, {seeds}", elsewhere=str(folder / f"table{suffix}.md")))
    for note in (note for row in made for note in row.diverged):
        console.print(Text(note))
