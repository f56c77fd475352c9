"""The report of a sweep, an HTML page: provenance, tables, learning curves, and the state of every job."""

from __future__ import annotations

import base64
import datetime
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from smac_jax.envs import check_name
from smac_jax.errors import DatasetError, UnknownNameError
from smac_jax.files import write_text
from smac_jax.sweep import soundness
from smac_jax.sweep.run_names import RunName
from smac_jax.sweep.state import SweepState, read_json, read_sweep
from smac_jax.sweep.unfinished import curve_of
from smac_jax.text import count, name_of, seeds_text, start_of

if TYPE_CHECKING:
    from smac_jax.analysis.curves import TransferCurve
    from smac_jax.analysis.diagnosis import Summary

PAGE = Path(__file__).parent / "page"


class Chart(NamedTuple):
    """A figure on the page.

    Attributes:
      title: the caption.
      svg: the figure as inline SVG.
      panels: the data that the page shows under the pointer.
    """

    title: str
    svg: Any
    panels: list[dict[str, Any]]


class Soundness(NamedTuple):
    """Whether the transfers of a data set are sound.

    Attributes:
      table: a row for each pair.
      advice: recommendations, one sentence each.
      seeds: a row for each seed, which begins with the pair's name and the seed's number.
    """

    table: list[list[str]]
    advice: list[str]
    seeds: list[list[str]]


class Section(NamedTuple):
    """The results on one data set.

    Attributes:
      title: the name of the data set.
      about: the description of the data.
      table: a row for each pair.
      intervals: an explanation of the table's intervals.
      unfinished: pairs that are not done, with their number of steps.
      notes: notes below the table.
      chart: the figure of all pairs.
      pairs: a figure for each pair.
      soundness: whether the transfers are sound; None if nothing was measured.
    """

    title: str
    about: str
    table: list[list[str]]
    intervals: str
    unfinished: list[str]
    notes: list[str]
    chart: Chart
    pairs: list[Chart]
    soundness: Soundness | None


def write_report(folder: Path) -> Path:
    """Writes the report of a sweep, which may still be running.

    Args:
      folder: the sweep's folder.

    Returns:
      The path of the page.

    Raises:
      NoSweepError: the folder holds no sweep.
    """
    import jinja2
    import markupsafe

    from smac_jax.analysis import tables

    sweep = read_sweep(folder)
    curves, damaged, unfinished = read_curves(sweep)
    judged = {data: soundness.summaries(found) for data, found in soundness.read_evidence(sweep).items()}
    sections = [
        section(sweep, data, found, judged.get(data, {}), unfinished.get(data, []), f"{i}")
        for i, (data, found) in enumerate(curves.items())
    ]
    script = (PAGE / "report.js").read_text(encoding="utf-8")
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(PAGE), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True
    )
    text = environment.get_template("report.html").render(
        title=f"Sweep {folder.resolve().name}",
        sweep=sweep,
        facts=facts(sweep.provenance),
        problems=[*sweep.notes, *damaged, *(line for job in sweep.jobs for line in job.troubles)],
        header=tables.HEADER,
        soundness_header=soundness.HEADER,
        marks=soundness.MARKS,
        sections=sections,
        config={name: json.dumps(part, indent=2, ensure_ascii=False) for name, part in settings(sweep.provenance)},
        style=markupsafe.Markup((PAGE / "report.css").read_text(encoding="utf-8")),
        script=markupsafe.Markup(script),
        # the page's security policy allows this script only, so that a name or a path cannot add another one
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        made=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    )
    path = folder / "report.html"
    write_text(path, text)
    return path


def read_curves(
    sweep: SweepState,
) -> tuple[dict[str, list[TransferCurve]], list[str], dict[str, list[str]]]:
    """Reads the learning curves of all pairs, of which some may not be done.

    Returns:
      The curves of each data set, with the seeds of a pair joined. A pair of which no seed is done has the curve of the
      job with the most evaluations so far.
      Messages on files that were left out.
      For each data set, the pairs that are not done, with their numbers of steps.
    """
    from smac_jax.analysis.curves import joined

    found: dict[str, dict[soundness.Pair, list[TransferCurve]]] = {}
    begun: dict[str, dict[soundness.Pair, tuple[TransferCurve, str]]] = {}
    damaged = []
    for job in sweep.jobs:
        claimed = read_json(job.folder / "job.json")
        data = soundness.data_of(job.folder, claimed)
        for state in job.runs:
            run = RunName.parse(state.name)
            if run is None or run.kind != "online":
                continue
            path = job.folder / run.curve
            try:
                curve = curve_of(job.folder, claimed, run)
                if curve is None:
                    continue
                check_name(curve.task)
                if path.exists():
                    of_pair = found.setdefault(data, {}).setdefault(curve.key, [])
                    joined([*of_pair, curve])
                    of_pair.append(curve)
                    continue
                known = begun.setdefault(data, {}).get(curve.key)
                if known is None or len(known[0].online_steps) < len(curve.online_steps):
                    begun[data][curve.key] = curve, state.steps_text
            except DatasetError as error:
                damaged.append(f"Left out: {error}")
            except UnknownNameError as error:
                damaged.append(f"Left out: {path}: {error}")
    curves = {data: [joined(some) for some in pairs.values() if some] for data, pairs in found.items()}
    unfinished: dict[str, list[str]] = {}
    for data, pairs in begun.items():
        for key, (curve, steps) in pairs.items():
            if not found.get(data, {}).get(key):
                curves.setdefault(data, []).append(curve)
                names = " to ".join(soundness.names(key))
                unfinished.setdefault(data, []).append(f"{names} ({steps} steps; {count(len(curve.seeds), 'seed')})")
    return curves, damaged, unfinished


def section(
    sweep: SweepState,
    data: str,
    curves: Sequence[TransferCurve],
    judged: Mapping[soundness.Pair, Summary],
    unfinished: Sequence[str],
    number: str,
) -> Section:
    """Returns the tables and figures of a data set."""
    from smac_jax.analysis import tables
    from smac_jax.analysis.plots import colors_of, transfer_figure
    from smac_jax.analysis.svg import inline_svg, panels
    from smac_jax.tasks import task_info

    rows = tables.rows(curves, task_info(curves[0].task).random_return)
    references = {
        label: float(value)
        for label, value in _mapping(_mapping(sweep.provenance.get("references")).get(data)).items()
        if isinstance(value, (int, float))
    }
    colors = colors_of(curves)
    about = str(_mapping(sweep.provenance.get("data")).get(data, data))

    def chart(title: str, shown: Sequence[TransferCurve], name: str, **how: Any) -> Chart:
        import markupsafe

        figure, drawn = transfer_figure(shown, reference=references, colors=colors, **how)
        return Chart(title, markupsafe.Markup(inline_svg(figure, name)), panels(figure, drawn))

    return Section(
        # the sweep's own name for the data set, which is unique
        title=about.partition(" (")[0] if about != data else Path(data).stem,
        about=about,
        table=[tables.cells(row) for row in rows],
        intervals=tables.intervals_note(rows),
        unfinished=list(unfinished),
        notes=[note for row in rows for note in row.diverged],
        chart=chart("Every pair", curves, f"all-{number}"),
        pairs=[
            chart(f"{start_of(c.offline, c.checkpoint)} to {name_of(c.online)}", [c], f"{number}-{i}", compact=True)
            for i, c in enumerate(curves)
        ],
        soundness=of_soundness(judged, {c.key: c.seeds for c in curves}),
    )


def of_soundness(
    judged: Mapping[soundness.Pair, Summary], seeds: Mapping[soundness.Pair, Sequence[int]]
) -> Soundness | None:
    """Returns the page's tables on whether the transfers are sound; None if nothing was measured.

    Args:
      judged: the summary of each pair.
      seeds: the numbers of the seeds of each pair, if they are known.
    """
    from smac_jax.analysis.diagnosis import marked

    if not any(any(summary.cells.values()) for summary in judged.values()):
        return None
    of_seeds = []
    for pair, summary in judged.items():
        numbers = seeds.get(pair) or range(len(summary.seeds))
        for number, found in zip(numbers, summary.seeds, strict=False):
            figures = [marked(finding.figure, [finding]) for finding in found.findings.values()]
            of_seeds.append([" to ".join(soundness.names(pair)), str(number), found.verdict, *figures])
    return Soundness(
        table=[soundness.cells(pair, summary) for pair, summary in judged.items()],
        advice=soundness.advice(judged),
        seeds=of_seeds,
    )


def facts(provenance: Mapping[str, Any]) -> dict[str, str]:
    """Returns the command, date, seeds, device, versions and data of a sweep."""
    versions = ", ".join(f"{name} {version}" for name, version in _mapping(provenance.get("versions")).items())
    seeds = provenance.get("seeds")
    found = {
        "Command": provenance.get("command"),
        "Date": provenance.get("date"),
        "Seeds": seeds_text(seeds) if seeds else None,
        "Device": provenance.get("device"),
        "Platform": provenance.get("platform"),
        "Versions": versions,
        "Commit": provenance.get("commit"),
        "Data": "; ".join(map(str, _mapping(provenance.get("data")).values())),
    }
    return {name: str(value or "unknown") for name, value in found.items()}


def settings(provenance: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Returns the flags, and the sections of the configuration."""
    config = _mapping(provenance.get("config"))
    # fields outside of any section
    alone = {name: part for name, part in config.items() if not isinstance(part, dict)}
    parts = [("flags", provenance.get("flags")), ("general", alone), *config.items()]
    return [(name, part) for name, part in parts if isinstance(part, dict) and part]


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
