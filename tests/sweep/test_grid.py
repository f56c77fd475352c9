"""The grid has each requested job once, and refuses invalid requests."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smac_jax.analysis.curves import TransferCurve
from smac_jax.errors import CheckpointError, ConfigError, UnknownNameError
from smac_jax.files import write_json
from smac_jax.presets.base import get_config
from smac_jax.sweep import job as job_module
from smac_jax.sweep.grid import _once, batches, distinct_names, make_jobs, offline_names, parse_vary, path_name
from smac_jax.sweep.job import already_done, description, run_states
from smac_jax.text import name_of

HOPPER = [("hopper-medium-replay", "hopper")]


def jobs(folder=Path("results"), data=HOPPER, offline=("smac", "td3_bc"), online=("sac", "td3"), vary=(), **changes):
    settings = {"physics": "mujoco", "version": "v4", "control": True} | changes
    seeds, size = settings.pop("seeds", range(4)), settings.pop("size", 4)
    return make_jobs(folder, data, offline, online, get_config(), parse_vary(vary), seeds, size, **settings)


def test_all_online_runs_share_one_offline_run():
    made = jobs()
    assert [b.title for b in made] == ["hopper-medium-replay SMAC seeds 0-3", "hopper-medium-replay TD3+BC seeds 0-3"]
    assert made[0].runs == ("offline", "control", "to-sac", "to-td3")
    assert jobs(control=False)[0].runs == ("offline", "to-sac", "to-td3")


def test_varied_fields_multiply_only_their_own_algorithm():
    made = jobs(vary=["smac.kappa=1,5", "sac.actor_learning_rate=1e-4,3e-4,1e-3"], online=("sac",))
    # two jobs of SMAC and one of TD3+BC, each with three variants of SAC
    assert [b.offline.label for b in made] == ["smac kappa=1", "smac kappa=5", "td3_bc"]
    assert [v.label for v in made[2].online] == [f"sac actor_learning_rate={rate}" for rate in (0.0001, 0.0003, 0.001)]
    assert [b.offline.config["kappa"] for b in made[:2]] == [1, 5]
    assert [v.config["actor_learning_rate"] for v in made[0].online] == [1e-4, 3e-4, 1e-3]
    assert len({b.folder for b in made}) == 3


def test_every_job_of_a_large_grid_has_its_own_folder():
    data = [("hopper-medium-replay", "hopper"), ("data/walker2d-x.hdf5", "walker2d")]
    made = jobs(data=data, vary=["smac.kappa=1,5", "pretrain.num_updates=10,20"], seeds=range(5), size=2)
    assert len(made) == 2 * (2 * 2 + 2) * 3
    assert len({b.folder for b in made}) == len(made)


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=50, unique=True), st.integers(1, 60))
def test_batches_of_seeds_are_even_and_complete(seeds, size):
    made = list(batches(seeds, size))
    assert [seed for batch in made for seed in batch] == seeds
    assert max(map(len, made)) <= size
    assert max(map(len, made)) - min(map(len, made)) <= 1
    assert len(made) == -(-len(seeds) // size)


@given(st.text(max_size=30))
def test_a_label_cannot_leave_its_folder(label):
    name = path_name(label)
    assert "/" not in name
    assert Path("runs", name, "x").parts[-1] == "x"


@pytest.mark.parametrize(
    ("vary", "error", "words"),
    [
        (["smac.kappa"], ConfigError, "must be SECTION.FIELD=VALUE,VALUE"),
        (["kappa=1,2"], ConfigError, "must be SECTION.FIELD=VALUE,VALUE"),
        (["smac.kappa=1", "smac.kappa=2"], ConfigError, "Give each field once"),
        (["smac.kapa=1,2"], ConfigError, "no such field"),
        (["smac.kappa=1,-2"], ConfigError, "kappa = -2"),
        (["smac.kappa=one,two"], ConfigError, "does not have the type"),
        (["iql.tau=0.7,0.9"], ConfigError, "must be a field of one of the sections"),
    ],
)
def test_fields_that_cannot_be_varied_are_refused_by_name(vary, error, words):
    with pytest.raises(error, match=words):
        jobs(vary=vary)


def test_unknown_algorithms_of_a_sweep_are_refused_by_name():
    with pytest.raises(UnknownNameError, match="online algorithm 'sacc'"):
        jobs(online=("sacc",))


def test_a_job_with_another_configuration_is_refused_but_more_online_runs_are_added(tmp_path):
    (job,) = jobs(tmp_path, offline=("smac",), online=("sac",))
    write_json(job.folder / "job.json", description(job))
    assert not already_done(job)
    (more,) = jobs(tmp_path, offline=("smac",), online=("sac", "td3"))
    assert not already_done(more)
    (other,) = jobs(tmp_path, offline=("smac",), online=("sac",), version="v5")
    with pytest.raises(CheckpointError, match=r"another configuration \(version\)"):
        already_done(other)
    (job.folder / "job.json").write_text('{"data": "hop')
    with pytest.raises(CheckpointError, match=r"job\.json cannot be read"):
        already_done(job)


def test_a_job_with_other_data_is_refused(tmp_path):
    """The fingerprint of the data identifies a job, and the name of the file does not."""
    make = lambda print_, **how: jobs(  # noqa: E731
        tmp_path, offline=("td3_bc",), online=("sac",), fingerprints={HOPPER[0][0]: print_}, control=False, **how
    )[0]
    job = make("first")
    write_json(job.folder / "job.json", description(job))
    assert not already_done(job)
    assert not already_done(make(None))  # these data have not been read yet
    with pytest.raises(CheckpointError, match=r"hopper-medium-replay has changed since .*first then, second now"):
        already_done(make("second"))
    curve = TransferCurve(
        **{"task": "hopper", "offline": "td3_bc", "online": "sac", "warm_start": 0},
        **{"offline_updates": np.array([0.0]), "offline_returns": np.ones((2, 1))},
        **{"online_steps": np.array([0.0]), "online_returns": np.ones((2, 1))},
    )
    curve.to_json(job.curve(job.online[0]))
    assert already_done(job)
    with pytest.raises(CheckpointError, match="results of other data"):
        already_done(make("second"))
    # jobs of earlier versions have the fingerprint in the identities of their runs
    write_json(job.folder / "job.json", {k: v for k, v in description(job).items() if k != "fingerprint"})
    assert already_done(make("second"))
    write_json(job.folder / "to-sac" / "identity.json", {"data": "first"})
    assert already_done(job)
    with pytest.raises(CheckpointError, match="results of other data"):
        already_done(make("second"))


def test_data_that_change_during_a_sweep_are_refused(tmp_path):
    (job,) = jobs(
        tmp_path, offline=("td3_bc",), online=("sac",), fingerprints={HOPPER[0][0]: "as it was"}, control=False
    )
    with pytest.raises(CheckpointError, match=r"has changed since this sweep began \(fingerprint as it was then"):
        job_module.run_job(job, job_module.CheckpointOptions(), False)
    assert not (job.folder / "offline").exists()


@pytest.mark.parametrize(
    ("sources", "names"),
    [
        (["a/x.hdf5"], ["x"]),
        (["/d/a/x.hdf5", "/d/b/x.hdf5", "/d/b/y.hdf5"], ["a/x", "b/x", "y"]),
        (["/d/a/c/x.hdf5", "/d/b/c/x.hdf5"], ["a/c/x", "b/c/x"]),
        (["/d/x.hdf5", "/d/x.npy"], ["d/x.hdf5", "d/x.npy"]),
        (["/d/x y.hdf5", "/e/X-Y.hdf5"], ["d/x y", "e/X-Y"]),
        (["/a/b-x.hdf5", "/e/b/x.hdf5", "/c/x.hdf5"], ["a/b-x", "e/b/x", "c/x"]),
        (["hopper-medium-replay", "/d/hopper-medium-replay.hdf5"], ["hopper-medium-replay", "d/hopper-medium-replay"]),
        (["part:0.1:/d/a/x.hdf5", "part:0.1:/d/b/x.hdf5"], ["a/x-part-0.1", "b/x-part-0.1"]),
        (["minari:a/b", "/d/minari-a-b.hdf5"], ["minari:a/b", "d/minari-a-b"]),
        (["/d/...hdf5", "/e/$.hdf5", "/d/a/x.hdf5"], ["d/..", "e/$", "x"]),
    ],
)
def test_data_sets_with_equal_names_have_separate_folders(sources, names):
    found = distinct_names(sources)
    assert list(found.values()) == names
    places = {path_name(name).casefold() for name in found.values()}
    assert len(places) == len(sources)
    assert not places & {"", ".", ".."}


def test_one_file_under_two_names_is_refused(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"a/x\.hdf5 and \./a/x\.hdf5 are the same file"):
        distinct_names(["a/x.hdf5", "./a/x.hdf5"])
    with pytest.raises(ConfigError, match=r"x y\.hdf5 and x-y\.hdf5 .* names that cannot be told apart"):
        distinct_names(["x y.hdf5", "x-y.hdf5"])
    assert distinct_names(["a/x.hdf5", "a/x.hdf5"]) == {"a/x.hdf5": "x"}


def test_two_files_with_one_name_make_two_jobs(tmp_path):
    made = jobs(tmp_path, data=[("a/x.hdf5", "hopper"), ("b/x.hdf5", "hopper")], offline=("td3_bc",))
    assert [b.folder.relative_to(tmp_path / "runs").parts[0] for b in made] == ["a-x", "b-x"]
    assert [b.title for b in made] == ["a/x TD3+BC seeds 0-3", "b/x TD3+BC seeds 0-3"]


def test_variants_that_would_share_a_folder_are_refused():
    plain = jobs(offline=("smac",))[0].offline
    labels = [f"smac x={value}" for value in [(1, 2), (1, -2)]]
    with pytest.raises(ConfigError, match=r"'smac x=\(1, 2\)' and 'smac x=\(1, -2\)' would share"):
        _once([dataclasses.replace(plain, label=label) for label in labels])
    assert len(jobs(vary=["smac.kappa=1,1"], offline=("smac", "smac"), online=("sac", "sac"))) == 1
    assert jobs(offline=("smac",), online=("sac", "sac"))[0].runs == ("offline", "control", "to-sac")


def test_a_control_can_be_added_later(tmp_path):
    """A curve without a control is made again from the runs, and a curve with a control is valid without one."""
    (plain,) = jobs(tmp_path, offline=("smac",), online=("sac",), control=False)
    write_json(plain.folder / "job.json", description(plain))
    curve = TransferCurve(
        **{"task": "hopper", "offline": "smac", "online": "sac", "warm_start": 0},
        **{"offline_updates": np.array([0.0]), "offline_returns": np.ones((2, 1))},
        **{"online_steps": np.array([0.0]), "online_returns": np.ones((2, 1))},
    )
    curve.to_json(plain.curve(plain.online[0]))
    assert already_done(plain)
    (with_control,) = jobs(tmp_path, offline=("smac",), online=("sac",), control=True)
    assert not already_done(with_control)
    assert plain.curve(plain.online[0]).exists()
    dataclasses.replace(curve, control_steps=np.array([0.0]), control_returns=np.ones((2, 1))).to_json(
        plain.curve(plain.online[0])
    )
    assert already_done(with_control)
    assert already_done(plain)


def test_the_commit_that_trained_a_job_stays_recorded(tmp_path, monkeypatch):
    """Tables that another commit makes later name the commits that trained."""
    made = jobs(tmp_path)
    for commit in ("first", "second", "second"):
        monkeypatch.setattr(job_module, "git_commit", lambda commit=commit: commit)
        for job in made:
            job_module._claim(job)
    commits = [text.split(",")[0] for text in job_module.trained_by(made)]
    assert commits == ["first", "second"]
    claimed = json.loads((made[0].folder / "job.json").read_text())
    del claimed["trained_by"]
    (made[0].folder / "job.json").write_text(json.dumps(claimed))  # jobs of earlier versions do not have the commit
    assert job_module.trained_by([*made, *made])[-1] == "not recorded for 1 job"
    assert not already_done(made[0])  # the commit does not identify the job


def test_a_damaged_curve_is_made_again(tmp_path, capsys):
    (job,) = jobs(tmp_path, offline=("smac",), online=("sac",))
    curve = job.curve(job.online[0])
    curve.parent.mkdir(parents=True)
    curve.write_text('{"task": "hopper", "online_')
    assert not already_done(job)
    assert not curve.exists()
    assert "computed again from the run's snapshots" in capsys.readouterr().err


def test_runs_with_a_missing_or_truncated_status_have_a_state(tmp_path):
    (job,) = jobs(tmp_path, offline=("smac",), online=("sac",))
    for run, text in {"offline": json.dumps({"state": "done"}), "control": '{"sta'}.items():
        (job.folder / run).mkdir(parents=True)
        (job.folder / run / "status.json").write_text(text)
    assert run_states(job) == {"offline": "done", "control": "left", "to-sac": "left"}


def configured(*named: dict):
    config = get_config()
    config.variants = named
    return config


MUON = {"name": "smac (muon)", "algorithm": "smac", "smac": {"optimizer": "muon", "network": {"num_critics": 3}}}
GENTLE = {"name": "gentle", "algorithm": "iql", "sac": {"actor_learning_rate": 1e-5}, "finetune": {"warm_start": 7}}


def named_jobs(config, offline, vary=()):
    world = {"physics": "mujoco", "version": "v4", "control": True}
    return make_jobs(Path("r"), HOPPER, offline, ("sac",), config, parse_vary(vary), range(4), 4, **world)


def test_the_variants_of_a_configuration_are_trained_in_its_order():
    config = configured(MUON, GENTLE)
    assert offline_names(config, None) == ["smac (muon)", "gentle"]
    assert offline_names(config, ["td3_bc"]) == ["td3_bc"]
    assert offline_names(get_config(), None) == ["smac", "td3_bc"]
    muon, gentle, plain = named_jobs(config, ["smac (muon)", "gentle", "smac"])
    assert (muon.offline.label, muon.offline.algorithm) == ("smac (muon)", "smac")
    assert muon.title == "hopper-medium-replay SMAC (muon) seeds 0-3"
    # only the named fields differ
    assert (muon.offline.config["optimizer"], muon.offline.config["network"]["num_critics"]) == ("muon", 3)
    same = {**muon.offline.config, "optimizer": "adam", "network": {**muon.offline.config["network"]}}
    same["network"]["num_critics"] = plain.offline.config["network"]["num_critics"]
    assert same == plain.offline.config
    # a variant may change its online algorithm, without effect on other variants
    assert gentle.offline.algorithm == "iql"
    assert gentle.online[0].config["actor_learning_rate"] == 1e-5
    assert gentle.online[0].schedule["warm_start"] == 7
    assert muon.online == plain.online
    assert plain.online[0].config["actor_learning_rate"] != 1e-5


def test_a_variant_with_varied_fields_has_its_own_folders():
    made = named_jobs(configured(MUON), ["smac (muon)", "smac"], ["smac.kappa=1,2"])
    assert [name_of(job.offline.label) for job in made] == [
        *("SMAC (muon), kappa = 1", "SMAC (muon), kappa = 2", "SMAC, kappa = 1", "SMAC, kappa = 2")
    ]
    assert len({job.folder for job in made}) == 4


@pytest.mark.parametrize(
    ("variant", "error", "words"),
    [
        ({"name": "x", "algorithm": "smac", "smac": {"kapa": 1.0}}, ConfigError, r"variant 'x', smac.kapa: .*no such"),
        ({"name": "x", "algorithm": "smac", "sma": {"kappa": 1.0}}, ConfigError, r"variant 'x', sma.kappa: .*no such"),
        (
            {"name": "x", "algorithm": "smac", "smac": {"kappa": "one"}},
            ConfigError,
            "'x', smac.kappa: .*does not have the type",
        ),
        ({"name": "x", "algorithm": "smac", "smac": {"kappa": -1.0}}, ConfigError, "kappa = -1"),
        ({"name": "x", "algorithm": "smak"}, UnknownNameError, "Unknown offline algorithm 'smak'.*smac"),
        ({"name": "x", "smac": {"kappa": 1.0}}, ConfigError, "must have an algorithm and a unique name"),
        ({"algorithm": "smac"}, ConfigError, "must have an algorithm and a unique name"),
    ],
)
def test_invalid_variants_are_refused(variant, error, words):
    with pytest.raises(error, match=words):
        named_jobs(configured(variant), ["x"])


def test_repeated_and_unknown_names_of_variants_are_refused():
    with pytest.raises(ConfigError, match="must have an algorithm and a unique name"):
        named_jobs(configured(MUON, MUON), ["smac (muon)"])
    with pytest.raises(UnknownNameError, match=r"Unknown offline algorithm 'muon'.*smac \(muon\)"):
        named_jobs(configured(MUON), ["muon"])


def test_a_policy_that_an_online_algorithm_cannot_take_is_said_before_anything_is_trained(tmp_path):
    with pytest.raises(ConfigError, match=r"SAC needs the density .* a one-step flow \(FQL\)"):
        jobs(tmp_path, offline=("smac", "fql"), online=("td3", "sac"))
    assert [job.offline.label for job in jobs(tmp_path, offline=("smac", "fql"), online=("td3",))] == ["smac", "fql"]


@pytest.mark.parametrize("online", ["same", "sac"])
def test_another_way_to_carry_a_state_is_refused_whoever_reads_it(tmp_path, online):
    with pytest.raises(ConfigError, match="carry = 'everything': must be one of 'all', 'optimizers', 'networks'"):
        jobs(tmp_path, online=(online,), vary=("finetune.carry=everything",))
