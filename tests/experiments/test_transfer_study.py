"""The study of the transfer as a configuration.

Its variants are those of the published curves, and its commands work.
"""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from experiments.configs.transfer_study import GROUPS, VARIANTS, get_config
from smac_jax.errors import ConfigError
from smac_jax.sweep.grid import Job, make_jobs, offline_names, parse_checkpoints, path_name

ROOT = Path(__file__).parents[2]
PUBLISHED = ROOT / "results" / "reference" / "handover"
# the variants of these published curves have been renamed
RENAMED = {
    "smac-residual-held": "smac-residual-held-at-0.3",
    "smac-gradient-ratio-held": "smac-gradient-ratio-held-at-1",
    "smac-kappa-halved": "smac-kappa-halved-every-2000",
    "smac-literal-sign": "smac-literal-sign-+-free-alpha",
    "smac-flipped-sign": "smac-literal-sign-+-alpha-0.1",
    "smac-policy-actions": "smac-policy-s-actions",
    "smac-penalty-on-a-quarter": "smac-penalty-on-a-quarter-of-the-rows",
    "smac-free-alpha": "smac-alpha-0-+-tuned-temperature",
    **{f"smac-kappa-{kappa}": f"smac-kappa={kappa}" for kappa in ("0", "0.5", "50")},
}


def jobs_of(group: str, offline: list[str] | None = None, checkpoints=(12_000,), online=("sac", "td3")) -> list[Job]:
    config = get_config(group)
    world = {"physics": "mujoco", "version": "v4", "control": True, "checkpoints": checkpoints}
    data = [("hopper-medium-replay", "hopper")]
    return make_jobs(Path("r"), data, offline_names(config, offline), online, config, {}, range(4), 4, **world)


@pytest.mark.parametrize("group", GROUPS)
def test_the_variants_of_a_group_differ(group):
    jobs = jobs_of(group)
    assert [job.offline.label for job in jobs] == list(GROUPS[group])
    configs = [(job.offline.algorithm, repr(job.offline.config)) for job in jobs]
    assert len(set(configs)) == len(jobs)
    (smac,) = jobs_of("", ["smac"])
    for job in jobs:
        if job.offline.label == "smac":  # several groups share these variants, in the same folder
            assert job == smac


def test_every_variant_is_in_a_group():
    assert set(VARIANTS) <= {name for names in GROUPS.values() for name in names}


def test_an_unknown_group_is_refused():
    with pytest.raises(ConfigError, match=r"no group 'kapa'. It has main, kappa, schedule"):
        get_config("kapa")


def shared(recorded: Any, now: Any, where: str = "") -> list[str]:
    """Returns the fields that two configurations have in common and that differ."""
    if isinstance(recorded, dict) and isinstance(now, dict):
        names = recorded.keys() & now.keys()
        return [found for name in sorted(names) for found in shared(recorded[name], now[name], f"{where}.{name}")]
    return [] if recorded == now else [f"{where}: {recorded} was published, {now} is today's"]


@pytest.fixture(scope="module")
def jobs_by_variant():
    """Returns the jobs of all groups by the names of their folders."""
    return {path_name(job.offline.label): job for group in GROUPS for job in jobs_of(group)}


@pytest.mark.parametrize("record", sorted(PUBLISHED.glob("*/curves/*/provenance.json")), ids=lambda p: p.parent.name)
def test_the_variants_have_the_configurations_of_the_published_curves(record, jobs_by_variant):
    variant = RENAMED.get(record.parent.name, record.parent.name)
    published, job = json.loads(record.read_text()), json.loads(json.dumps(jsonable(jobs_by_variant[variant])))
    assert len(published["offline"].keys() & job["offline"].keys()) > 10
    assert shared(published, job) == []


def jsonable(job: Job) -> dict[str, Any]:
    schedules = {"pretrain": job.offline.schedule, "finetune": job.online[0].schedule}
    return {"offline": job.offline.config, **schedules, **{f"online {end.label}": end.config for end in job.online}}


def test_the_commands_in_the_results_train_the_described_jobs():
    text = (ROOT / "results" / "README.md").read_text().replace("\\\n", " ")
    text = text.replace("$STUDY", "experiments/configs/transfer_study.py")
    commands = re.findall(r"^smac-jax sweep (.*transfer_study\.py.*)$", text, re.MULTILINE)
    assert len(commands) >= 12
    asked = set()
    for command in commands:
        words = shlex.split(command, comments=True)
        given = dict(word.removeprefix("--").split("=", 1) for word in words)
        group = given["config"].partition(":")[2]
        offline = given["offline"].split(",") if "offline" in given else None
        checkpoints = parse_checkpoints(given["checkpoints"].split(","))
        jobs = jobs_of(group, offline, checkpoints, given["online"].split(","))
        assert all(job.updates == checkpoints for job in jobs)
        assert {job.offline.label for job in jobs} <= set(GROUPS[group])
        asked.add(group)
    assert asked == set(GROUPS)
