"""Reading the status of a run: every field has its type, for any content of the file."""

from __future__ import annotations

import pytest

from smac_jax.runs.pace import TimeLeft
from smac_jax.runs.status import RunStatus, read_status, steps_text


def test_a_written_status_is_read(tmp_path):
    from smac_jax.runs.folder import RunFolder
    from smac_jax.runs.pace import Standing

    standing = Standing(
        "SMAC: offline",
        **{"done": 5, "total": 10, "doing": "evaluation", "rate": 2.5, "run_left": TimeLeft(3.0, True)},
        **{"took": {"offline": 2.0}, "last_return": 7.5, "diverged": {3: 400}},
    )
    with RunFolder(tmp_path / "run", "a run") as folder:
        folder.show(standing)
    status = read_status(tmp_path / "run")
    assert status.time is not None
    assert status == RunStatus(
        **{"found": True, "state": "running", "title": "a run", "phase": "SMAC: offline", "doing": "evaluation"},
        **{"done": 5.0, "total": 10.0, "rate": 2.5, "left": TimeLeft(3.0, True), "took": {"offline": 2.0}},
        **{"last_return": 7.5, "diverged": {3: 400}, "time": status.time},
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", RunStatus(found=True)),
        ('{"state": "run', RunStatus(found=True)),
        ("[1]", RunStatus(found=True)),
        ('{"state": 3, "rate": "fast", "done": true, "took": {"a": null}}', RunStatus(found=True, state="3")),
        ('{"diverged": {"x": 1, "2": null}, "took": 1}', RunStatus(found=True, diverged={2: 0})),
        ('{"total": 1e999, "error": "one\\ntwo"}', RunStatus(found=True, error="one")),
    ],
)
def test_damaged_fields_of_a_status_are_ignored(text, expected, tmp_path):
    (tmp_path / "status.json").write_text(text)
    assert read_status(tmp_path) == expected


def test_a_run_that_has_not_started_has_no_status(tmp_path):
    assert read_status(tmp_path / "nowhere") == RunStatus()


def test_steps_as_text():
    assert steps_text("SMAC: offline", 2000, 5000, "compilation") == "SMAC: offline 2,000/5,000, compiling"
    assert steps_text("SMAC: offline", None, 10, "training") == "SMAC: offline 0/10"
    assert steps_text("SMAC: offline", 3, None, "training") == ""
