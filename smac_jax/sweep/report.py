"""A sweep on one page, for a browser: what was run, tables, curves, and what became of every job."""

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
from smac_jax.sweep.state import SweepState, read_json, read_sweep
from smac_jax.text import name_of, seeds_text, start_of

if TYPE_CHECKING:
    from smac_jax.analysis.curves import TransferCurve
    from smac_jax.analysis.diagnosis import Summary

PAGE = Path(__file__).parent / "page"


class Chart(NamedTuple):
    """A figure on the page.

    Attributes:
      title: below it.
      svg: the figure.
      panels: what a pointer over it finds.
    """

    title: str
    svg: Any
    panels: list[dict[str, Any]]


class Soundness(NamedTuple):
    """Whether the transfers of a data set are sound.

    Attributes:
      table: cells of each pair.
      advice: what to do, a sentence each.
      seeds: cells of each seed, with the pair's name and the seed's number in front.
    """

    table: list[list[str]]
    advice: list[str]
    seeds: list[list[str]]


class Section(NamedTuple):
    """What was found on one data set.

    Attributes:
      title: its name.
      about: the data.
      table: cells of each pair.
      intervals: what those of the table are over.
      notes: below the table.
      chart: all pairs together.
      pairs: each by itself.
      soundness: whether the transfers are sound; None where there is nothing to judge.
    """

    title: str
    about: str
    table: list[list[str]]
    intervals: str
    notes: list[str]
    chart: Chart
    pairs: list[Chart]
    soundness: Soundness | None


def write_report(folder: Path) -> Path:
    """Makes the page of a sweep from what is there.

    Args:
      folder: of the sweep.

    Returns:
      The page's file.

    Raises:
      NoSweepError: there is no sweep.
    """
    import jinja2
    import markupsafe

    from smac_jax.analysis import tables

    sweep = read_sweep(folder)
    curves, damaged = read_curves(sweep)
    judged = {data: soundness.summaries(found) for data, found in soundness.read_evidence(sweep).items()}
    sections = [
        section(sweep, data, found, judged.get(data, {}), f"{i}") for i, (data, found) in enumerate(curves.items())
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
        # nothing else runs on the page, whatever a name or a path holds
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        made=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    )
    path = folder / "report.html"
    write_text(path, text)
    return path


def read_curves(sweep: SweepState) -> tuple[dict[str, list[TransferCurve]], list[str]]:
    """The curves that are there, of each data set, seeds of a pair joined; and what could not be read."""
    from smac_jax.analysis.curves import TransferCurve, joined

    found: dict[str, dict[tuple[str, str, int | None], list[TransferCurve]]] = {}
    damaged = []
    for job in sweep.jobs:
        data = soundness.data_of(job.folder, read_json(job.folder / "job.json"))
        for run in job.runs:
            path = job.folder / f"curve-{run.name.removeprefix('to-')}.json"
            if not run.name.startswith("to-") or not path.exists():
                continue
            try:
                curve = TransferCurve.from_json(path)
                check_name(curve.task)
                of_pair = found.setdefault(data, {}).setdefault(curve.key, [])
                joined([*of_pair, curve])
                of_pair.append(curve)
            except DatasetError as error:
                damaged.append(f"Left out: {error}")
            except UnknownNameError as error:
                damaged.append(f"Left out: {path}: {error}")
    return {data: [joined(some) for some in pairs.values() if some] for data, pairs in found.items()}, damaged


def section(
    sweep: SweepState,
    data: str,
    curves: Sequence[TransferCurve],
    judged: Mapping[soundness.Pair, Summary],
    number: str,
) -> Section:
    """Tables and figures of a data set."""
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
        # as the sweep called it, which tells two files of one name apart
        title=about.partition(" (")[0] if about != data else Path(data).stem,
        about=about,
        table=[tables.cells(row) for row in rows],
        intervals=tables.intervals_note(rows),
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
    """What the page says of whether transfers are sound; None where nothing is known of any.

    Args:
      judged: the summary of each pair.
      seeds: the numbers of its seeds, as far as they are known.
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
    """What was run, where and with what."""
    versions = ", ".join(f"{name} {version}" for name, version in _mapping(provenance.get("versions")).items())
    seeds = provenance.get("seeds")
    said = {
        "Command": provenance.get("command"),
        "Date": provenance.get("date"),
        "Seeds": seeds_text(seeds) if seeds else None,
        "Device": provenance.get("device"),
        "Platform": provenance.get("platform"),
        "Versions": versions,
        "Commit": provenance.get("commit"),
        "Data": "; ".join(map(str, _mapping(provenance.get("data")).values())),
    }
    return {name: str(value or "unknown") for name, value in said.items()}


def settings(provenance: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Flags, and the sections of the configuration."""
    config = _mapping(provenance.get("config"))
    # what stands alone in a configuration file belongs to no section
    alone = {name: part for name, part in config.items() if not isinstance(part, dict)}
    parts = [("flags", provenance.get("flags")), ("general", alone), *config.items()]
    return [(name, part) for name, part in parts if isinstance(part, dict) and part]


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
