"""Curves of several sweeps in one table. The published curves give the published numbers."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from programs import run_command

from smac_jax.analysis import tables
from smac_jax.analysis.curves import TransferCurve
from smac_jax.commands.compare import compared, name_and_path
from smac_jax.errors import ConfigError
from smac_jax.tasks import task_info

ROOT = Path(__file__).parents[2]
PUBLISHED = ROOT / "results" / "reference"
TABLES = sorted((PUBLISHED / "handover").glob("*/*/table-*.csv"))


def curve(offline: str = "smac", updates: int = 1000, seeds: tuple[int, ...] = (0, 1), **changes) -> TransferCurve:
    returns = 100.0 + np.arange(len(seeds))[:, None] + np.zeros((1, 3))
    fields = {"task": "hopper", "offline": offline, "online": "sac", "seeds": seeds}
    fields |= {"offline_updates": [0, updates // 2, updates], "offline_returns": returns}
    return TransferCurve(**fields | {"online_steps": [0, 50, 100], "online_returns": returns} | changes)


def test_every_published_curve_is_read():
    found = [path for path in PUBLISHED.rglob("*.json") if path.name != "provenance.json"]
    curves = [path for path in found if "online_returns" in path.read_text()]
    assert len(curves) > 100
    for path in curves:
        checkpoint = TransferCurve.from_json(path).checkpoint
        assert checkpoint is None or f"-at-{checkpoint}_" in path.name


@pytest.mark.parametrize("table", TABLES, ids=lambda path: f"{path.parts[-3]}-{path.parts[-2]}-{path.stem}")
def test_published_tables_follow_from_the_published_curves(table):
    """Every row of a published table has the numbers of one of the curves of that study."""
    with table.open(newline="") as file:
        rows = {(row["offline"], row["online"]): row for row in csv.DictReader(file)}
    checkpoint = table.stem.removeprefix("table-")
    files = table.parents[1].glob(f"curves/*/*-{checkpoint}.json")
    curves = compared([TransferCurve.from_json(path) for path in files])
    found = {}  # the names in published tables differ from those of the curves, so rows are found by their numbers
    for row in tables.rows(curves, task_info(curves[0].task).random_return):
        found[f"{row.at_transfer.mean():.6g}", row.online, f"{row.final.mean():.6g}"] = row
    for (_, online), row in rows.items():
        ours = found[row["handover"], online, row["final"]]
        assert f"{np.nanmean(ours.dip):.6g}" == row["dip"]
        assert f"{np.nanmean(ours.control_dip):.6g}" == row["control_dip"]
        assert ours.smooth == row["smooth"]
        assert len(ours.at_transfer) == int(row["seeds"])


def test_a_published_table_is_made_again_by_one_command(tmp_path):
    study = PUBLISHED / "handover" / "hopper-medium-replay"
    names = {"kappa 0": "smac-kappa-0", "kappa 0.5": "smac-kappa-0.5", "kappa 5": "smac", "kappa 50": "smac-kappa-50"}
    names |= {"residual held at 0.3": "smac-residual-held", "gradient ratio held at 1": "smac-gradient-ratio-held"}
    files = [f"{name}={study / 'curves' / folder / 'sac-12000.json'}" for name, folder in names.items()]
    done = run_command("compare", *files, f"--results={tmp_path / 'again'}")
    assert done.returncode == 0, done.stderr[-2000:]

    def rows(path: Path) -> list[dict[str, str]]:
        with path.open(newline="") as file:
            return list(csv.DictReader(file))

    published, again = rows(study / "kappa" / "table-12000.csv"), rows(tmp_path / "again" / "table.csv")
    # what is now "at_transfer" was called "handover" when the table was published
    today = [{name.replace("handover", "at_transfer"): row[name] for name in row} for row in published]
    assert [{name: row[name] for name in today[0]} for row in again] == today
    assert (tmp_path / "again" / "transfer.png").stat().st_size > 10_000
    text = (tmp_path / "again" / "table.md").read_text()
    assert "- Data: hopper-medium-replay (214,999 transitions" in text
    assert "- Seeds: 4 seeds (numbers 0, 1, 2, 3)" in text
    assert "e28c312bffc1" in text  # the commit that trained kappa 5


def test_curves_of_one_pair_are_joined_unless_their_lengths_differ():
    rows = compared([curve(seeds=(0, 1)), curve(seeds=(2,)), curve("iql")])
    assert [(row.offline, row.seeds) for row in rows] == [("smac", (0, 1, 2)), ("iql", (0, 1))]
    rows = compared([curve(updates=3000), curve(updates=1000), curve("iql", 3000)])
    assert [row.pair for row in rows] == ["smac at 1,000 updates to sac", "smac at 3,000 updates to sac", "iql to sac"]
    assert [row.updates for row in rows] == [1000, 3000, 3000]


@pytest.mark.parametrize("seeds", [(0, 1), (1, 2), ()])
def test_curves_that_cannot_be_distinguished_are_refused(seeds):
    other = curve(seeds=(0, 1), diverged=()) if not seeds else curve(seeds=seeds)
    same = [curve(), other if seeds else TransferCurve(**{**vars(other), "seeds": ()})]
    with pytest.raises(ConfigError, match=r"2 curves are of the pair smac to sac.* NAME=FILE"):
        compared(same)


def test_a_name_before_a_path_is_recognized(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("smac-kappa=5.json").write_text("{}")
    assert name_and_path("smac-kappa=5.json") == ("", Path("smac-kappa=5.json"))
    assert name_and_path("a b=smac-kappa=5.json") == ("a b", Path("smac-kappa=5.json"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "Give curves and an output folder"),
        (["x.json"], "Give curves and an output folder"),
        (["nowhere.json", "--results=out"], "nowhere.json: not a learning curve"),
    ],
)
def test_a_mistake_causes_a_one_line_message(arguments, words, tmp_path):
    done = run_command("compare", *arguments)
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert json.dumps(done.stdout) == '""'
