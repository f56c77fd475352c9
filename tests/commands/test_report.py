"""The page of a sweep: its content, that it needs no network and executes no other code, and that browsers show it."""

from __future__ import annotations

import html.parser
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from smac_jax.analysis.curves import TransferCurve
from smac_jax.analysis.tables import HEADER
from smac_jax.sweep.report import write_report
from smac_jax.sweep.state import NoSweepError

ROOT = Path(__file__).parents[2]
NASTY = "<script>alert(1)</script>\"'$x$--><b>&amp;{{ 7*7 }}"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Reader(html.parser.HTMLParser):
    """Collects the content of a page: text by element, cells of tables, attributes."""

    def __init__(self, page: str):
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.text: dict[str, list[str]] = {}
        self.rows: list[list[str]] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attributes]
        if tag not in ("meta", "link", "path", "use", "rect", "image", "line"):
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_startendtag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attributes]

    def handle_endtag(self, tag):
        if tag in self.open:
            while self.open.pop() != tag:
                pass

    def handle_data(self, data):
        if self.open:
            self.text.setdefault(self.open[-1], []).append(data.strip())
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1][-1] += data.strip()


def curve(offline: str, online: str, seeds: tuple[int, ...], **changes) -> TransferCurve:
    n, rng = len(seeds), np.random.default_rng(seeds[0])
    fields: dict = {
        "task": "hopper",
        "offline": offline,
        "online": online,
        "offline_updates": [0, 1000, 2000],
        "offline_returns": rng.uniform(20, 1000, (n, 3)),
        "online_steps": [0, 500, 1000, 2000],
        "online_returns": rng.uniform(300, 1000, (n, 4)),
        "warm_start": 500,
        "control_steps": [0, 750, 1500],
        "control_returns": rng.uniform(300, 1000, (n, 3)),
        "seeds": seeds,
        "diverged": ("",) * n,
    }
    return TransferCurve(**(fields | changes))


def make_sweep(folder: Path, data: str = "hopper-medium-replay", offline: str = "smac", error: str = "") -> None:
    """Makes a sweep with two finished jobs of one pair, of which one has a diverged seed, and a failed job."""
    jobs = []
    for place, seeds, label in (
        ("seeds-0-1", (0, 1), offline),
        ("seeds-2-3", (2, 3), offline),
        ("seeds-0-3", (), "iql"),
    ):
        job = folder / "runs" / "data" / f"{label == 'iql'}" / place
        job.mkdir(parents=True)
        (job / "job.json").write_text(json.dumps({"data": data}))
        jobs.append(
            {
                "folder": str(job.relative_to(folder)),
                "title": f"{data} {label} {place}",
                "runs": ["offline", "to-sac"],
            }
        )
        for run in ("offline", "to-sac"):
            (job / run).mkdir()
            status = {"time": 1.0, "state": "done", "phase": f"{label}: offline", "done": 2000, "total": 2000}
            if label == "iql":
                status |= {"state": "failed", "error": f"no room {error}"}
            if seeds == (2, 3):
                status["diverged"] = {"3": 1200} if run == "to-sac" else {}
            (job / run / "status.json").write_text(json.dumps(status))
        if seeds:
            notes = {"diverged": ("", "online at step 1,200")} if seeds == (2, 3) else {}
            curve(offline, "sac", seeds, **notes).to_json(job / "curve-sac.json")
    provenance = {
        "command": f"smac-jax sweep --task={data}",
        "date": "2026-11-23T20:00:00+00:00",
        "device": "1 x cpu",
        "platform": "Linux",
        "versions": {"jax": "0.12.0"},
        "commit": "abc123",
        "data": {data: f"{data} (10 transitions)"},
        "references": {data: {"the data's mean": 400.0}},
        "seeds": [0, 1, 2, 3],
        "flags": {"task": [data]},
        "config": {"smac": {"kappa": 5.0, "note": offline}, "alone": 3},
        "jobs": jobs,
    }
    (folder / "provenance.json").write_text(json.dumps(provenance))


def read(folder: Path) -> tuple[Reader, str]:
    text = write_report(folder).read_text()
    return Reader(text), text


def test_the_page_has_table_curves_provenance_configuration_and_errors(tmp_path):
    make_sweep(tmp_path)
    page, text = read(tmp_path)
    head, row = page.rows[:2]
    assert tuple(head) == HEADER
    assert row[:3] == ["SMAC", "SAC", "4 (1 diverged)"]
    at_transfer = np.concatenate([curve("smac", "sac", seeds).online_returns[:, 0] for seeds in ((0, 1), (2, 3))])
    assert re.match(rf"{at_transfer.mean():.0f} \[\d+, \d+\]$", row[3])
    assert page.tags.count("svg") == 2
    said = " ".join(piece for pieces in page.text.values() for piece in pieces)
    for word in (
        "1 x cpu",
        "abc123",
        "2026-11-23T20:00",
        "jax 0.12.0",
        "(10 transitions)",
        "4 seeds (numbers 0, 1, 2, 3)",
    ):
        assert word in said
    assert "hopper-medium-replay iql seeds-0-3 offline: failed: no room" in said
    assert "smac to sac, seed 3: diverged online at step 1,200 and was frozen" in said
    assert '"kappa": 5.0' in said
    assert page.tags.count("details") == 3
    assert "2 of 3 jobs done, 1 failed; 1 diverged seed." in said
    states = [cells[2] for cells in page.rows[3:]]
    assert states == ["done"] * 4 + ["failed"] * 2
    assert "the data's mean" in said.replace("\u2019", "'")
    assert "color-mix(in srgb, var(--ink)" in text


def test_the_numbers_under_the_pointer_are_those_of_the_curves(tmp_path):
    make_sweep(tmp_path)
    page, _ = read(tmp_path)
    figures = [json.loads(value) for _, name, value in page.attributes if name == "data-panels"]
    offline, online = figures[0]
    both = [curve("smac", "sac", seeds) for seeds in ((0, 1), (2, 3))]
    (series,) = offline["series"]
    means = np.concatenate([c.offline_returns for c in both]).mean(axis=0)
    assert series["steps"] == ["0", "1,000", "2,000"]
    assert [value.partition(" [")[0] for value in series["values"]] == [f"{mean:,.1f}" for mean in means]
    # equally spaced steps have equal distances within the panel, and a higher return is higher
    x, y = np.array(series["x"]), np.array(series["y"])
    assert x[1] - x[0] == pytest.approx(x[2] - x[1], abs=0.02)
    assert offline["box"][0] == pytest.approx(x[0], abs=0.02)
    assert offline["box"][2] == pytest.approx(online["box"][0], abs=0.5)
    assert (np.argsort(y) == np.argsort(-means)).all()
    assert [found["label"] for found in online["series"]] == ["SMAC", "SMAC, no transfer"]
    assert online["series"][1]["x"][0] == online["series"][0]["x"][1]  # the control begins at the end of the warm start


def test_names_and_errors_are_escaped(tmp_path):
    make_sweep(tmp_path, data=f"/data/{NASTY}.hdf5", offline=f"smac x={NASTY}", error=NASTY)
    page, text = read(tmp_path)
    assert page.tags.count("script") == 1
    assert "b" not in page.tags
    assert "alert(1)" in " ".join(page.text["td"])
    assert "<script>alert" not in text
    assert "{{ 7*7 }}" in text
    (policy,) = [value for tag, name, value in page.attributes if name == "content" and "default-src" in value]
    assert "default-src 'none'" in policy
    assert "'unsafe-inline'" not in policy.partition("script-src")[2]
    assert not [name for _, name, _ in page.attributes if name.startswith("on")]


def test_the_page_needs_no_other_file_and_no_network(tmp_path):
    make_sweep(tmp_path)
    page, text = read(tmp_path)
    links = [value for _, name, value in page.attributes if name in ("src", "href", "xlink:href", "srcset")]
    assert all(link.startswith(("#", "data:")) for link in links), links
    assert "@import" not in text
    assert not re.search(r"url\((?!#)", text)
    names = [value for _, name, value in page.attributes if name == "id"]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("damage", ["", "{", '{"task": "hopper"}', '{"task": 3}'])
def test_a_damaged_curve_is_omitted_and_named(tmp_path, damage):
    make_sweep(tmp_path)
    path = tmp_path / "runs" / "data" / "False" / "seeds-2-3" / "curve-sac.json"
    path.write_text(damage)
    page, _ = read(tmp_path)
    assert page.rows[1][2] == "2"
    assert f"Left out: {path}" in " ".join(page.text["li"])


def test_a_new_sweep_and_one_without_provenance_have_a_page(tmp_path):
    make_sweep(tmp_path)
    (tmp_path / "provenance.json").write_text("{")
    page, _ = read(tmp_path)
    assert "provenance.json is missing or damaged" in " ".join(page.text["li"])
    assert page.rows[1][0] == "SMAC"
    for path in tmp_path.glob("runs/*/*/*/curve-*.json"):
        path.unlink()
    page, _ = read(tmp_path)
    assert "No transfer has begun yet." in page.text["p"]
    with pytest.raises(NoSweepError):
        write_report(tmp_path / "runs")


def test_the_command_writes_the_page(tmp_path):
    def report(*arguments: str) -> subprocess.CompletedProcess:
        command = [sys.executable, "-m", "smac_jax", "report", *arguments]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)

    make_sweep(tmp_path)
    done = report(str(tmp_path))
    assert (done.returncode, done.stdout.strip()) == (0, str(tmp_path / "report.html")), done.stderr
    wrong = report(str(tmp_path / "nowhere"))
    assert (wrong.returncode, wrong.stderr) == (2, f"error: {tmp_path / 'nowhere'}: there is no such folder.\n")
    assert report().returncode == 2


def browse(page: Path, *arguments: str) -> tuple[str, list[str]]:
    """Returns the document in a browser after its scripts have run, and the output on the console."""
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--dump-dom"]
    folder = f"--user-data-dir={page.parent / 'browser'}"
    done = subprocess.run([*command, folder, *arguments, f"file://{page}"], capture_output=True, text=True, timeout=60)
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")
def test_a_browser_shows_the_table_and_tooltips_without_errors(tmp_path):
    make_sweep(tmp_path, data=f"/data/{NASTY}.hdf5", offline=f"smac x={NASTY}", error=NASTY)
    path = write_report(tmp_path)
    shown, complaints = browse(path)
    page = Reader(shown)
    assert complaints == []
    assert tuple(page.rows[0]) == HEADER
    assert page.rows[1][1] == "SAC"
    assert shown.count('class="tip"') == 2  # this exists only if the script has run

    # the test's own script moves the pointer, which the changed content security policy allows
    probe = tmp_path / "probe.html"
    policy = re.compile(r"<meta http-equiv=\"Content-Security-Policy\"[^>]*>", re.DOTALL)
    move = (
        "const svg = document.querySelector('figure svg'), place = svg.getBoundingClientRect();"
        "const box = JSON.parse(document.querySelector('figure').dataset.panels)[0].box;"
        "const at = {clientX: place.left + (box[0] + 1) * place.width / svg.viewBox.baseVal.width,"
        " clientY: place.top + (box[1] + 9) * place.height / svg.viewBox.baseVal.height, bubbles: true};"
        "svg.dispatchEvent(new PointerEvent('pointermove', at));"
        "const wide = document.documentElement.scrollWidth > document.documentElement.clientWidth;"
        "document.title = document.querySelector('.tip').textContent + (wide ? ' scrolls sideways' : '');"
    )
    probe.write_text(policy.sub("", path.read_text()).replace("</body>", f"<script>{move}</script></body>"))
    shown, complaints = browse(probe, "--window-size=500,800")
    (title,) = Reader(shown).text["title"]
    mean = np.concatenate([curve("smac", "sac", seeds).offline_returns for seeds in ((0, 1), (2, 3))])[:, 0].mean()
    assert title.startswith("0SMAC, x = ")
    assert f": {mean:,.1f} [" in title
    assert not title.endswith("sideways")
    assert complaints == []
