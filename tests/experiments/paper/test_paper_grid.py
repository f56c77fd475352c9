"""The grid of the paper trains nothing twice, and nothing that no table or figure shows."""

from __future__ import annotations

import pytest

import smac_jax
from experiments.paper import tasks
from experiments.paper.figures import FIGURES
from experiments.paper.grid import Pairs, Task, grid_of


@pytest.fixture(scope="module")
def hopper():
    data = smac_jax.load_dataset("hopper-medium-replay")
    return Task("hopper-medium-replay", data, "hopper", tasks.SUITE[0])


@pytest.fixture
def grid(hopper, tmp_path):
    return lambda tables, *figures: grid_of(
        hopper, tmp_path, tasks.SCALES["tiny"], [0, 1], "mujoco", tables=tables, figures=figures
    )


def ends(job):
    return [end.label for end in job.online]


def test_a_variant_that_changes_nothing_is_the_plain_job(grid):
    made = grid(False, "kappa", "muon", "condition")
    plain = made.figures["kappa"]["smac kappa=5"]
    assert plain is made.figures["muon"]["smac optimizer=adam"]
    assert plain is made.figures["condition"]["smac score_model.condition_on_return=True"]
    others = {job.folder for job in made.jobs if job is not plain}
    assert len(others) == 3 + 1 + 1
    assert plain.folder not in others
    for figure in made.figures.values():
        for label, job in figure.items():
            field, _, value = label.removeprefix("smac ").partition("=")
            found = job.offline.config
            for part in field.split("."):
                found = found[part]
            assert str(found) == value or float(found) == float(value)


def test_the_plain_job_has_exactly_the_transfers_that_are_shown(grid):
    assert ends(grid(True, "kappa").figures["kappa"]["smac kappa=5"]) == list(tasks.ONLINE)
    assert ends(grid(False, "transfer", "plane").figures["plane"]["smac"]) == ["sac", "td3", "td3_bc"]
    assert ends(grid(False, "residual").figures["residual"]["smac"]) == []
    both = grid(True, "size")
    assert both.table["smac"] is both.figures["size"]["100% of the data"]
    assert list(both.table) == ["iql", "smac", "td3_bc", "cql"]


def test_controls_are_trained_only_if_they_are_shown(grid):
    assert all(job.control for job in grid(True).jobs)
    assert grid(False, "transfer").figures["transfer"]["smac"].control
    assert not any(job.control for job in grid(False, *(name for name in FIGURES if name != "transfer")).jobs)
    with_table = grid(True, "kappa", "size").figures
    assert [job.control for job in with_table["kappa"].values()] == [False, False, True, False]
    assert [job.control for job in with_table["size"].values()] == [False, False, True]


def test_figures_of_the_data_train_nothing(grid):
    assert grid(False, "coverage").jobs == []


def test_the_leaderboard_shares_jobs_with_the_tables_without_controls(hopper, tmp_path):
    def grid(tables, offline, online):
        pairs = Pairs(offline, online)
        how = {"tables": tables, "figures": (), "leaderboard": pairs}
        return grid_of(hopper, tmp_path, tasks.SCALES["tiny"], [0, 1], "mujoco", **how)

    alone = grid(False, ("awac", "smac", "iql"), ("sac", "td3"))
    assert list(alone.leaderboard) == ["awac", "smac", "iql"]
    assert all(ends(job) == ["sac", "td3"] and not job.control for job in alone.jobs)
    both = grid(True, ("awac", "smac", "iql"), ("sac",))
    assert both.leaderboard["iql"] is both.table["iql"]
    assert both.leaderboard["smac"] is both.table["smac"]
    assert (ends(both.leaderboard["awac"]), both.leaderboard["awac"].control) == (["sac"], False)
    by_folder = {}
    for job in both.jobs:
        assert by_folder.setdefault(job.folder, job) is job


def test_the_leaderboard_leaves_out_what_cannot_follow_an_algorithm(hopper, tmp_path):
    pairs = Pairs(("rebrac", "fql", "bc"), ("sac", "td3", "same"))
    made = grid_of(
        hopper, tmp_path, tasks.SCALES["tiny"], [0], "mujoco", tables=False, figures=(), leaderboard=pairs
    ).leaderboard
    assert ends(made["rebrac"]) == ["sac", "td3", "same"]
    assert ends(made["fql"]) == ["td3", "same"]
    assert ends(made["bc"]) == ["sac", "td3"]
