"""Nothing is trained twice, and nothing that no table or figure shows."""

from __future__ import annotations

import pytest

import smac_jax
from experiments import suite
from experiments.cells import Task, grid_of
from experiments.evidence import FIGURES


@pytest.fixture(scope="module")
def hopper():
    data = smac_jax.load_dataset("hopper-medium-replay")
    return Task("hopper-medium-replay", data, "hopper", suite.SUITE[0])


@pytest.fixture
def grid(hopper, tmp_path):
    return lambda tables, *figures: grid_of(
        hopper, tmp_path, suite.SCALES["tiny"], [0, 1], "mujoco", tables=tables, figures=figures
    )


def ends(block):
    return [end.label for end in block.online]


def test_a_variant_that_changes_nothing_is_the_plain_cell(grid):
    made = grid(False, "kappa", "muon", "condition")
    plain = made.figures["kappa"]["smac kappa=5"]
    assert plain is made.figures["muon"]["smac optimizer=adam"]
    assert plain is made.figures["condition"]["smac score_model.condition_on_return=True"]
    others = {block.folder for block in made.blocks if block is not plain}
    assert len(others) == 3 + 1 + 1
    assert plain.folder not in others
    for figure in made.figures.values():
        for label, block in figure.items():
            field, _, value = label.removeprefix("smac ").partition("=")
            found = block.offline.config
            for part in field.split("."):
                found = found[part]
            assert str(found) == value or float(found) == float(value)


def test_the_plain_cell_has_every_end_that_is_shown_and_no_other(grid):
    assert ends(grid(True, "kappa").figures["kappa"]["smac kappa=5"]) == list(suite.ONLINE)
    assert ends(grid(False, "transfer", "plane").figures["plane"]["smac"]) == ["sac", "td3", "td3_bc"]
    assert ends(grid(False, "residual").figures["residual"]["smac"]) == []
    both = grid(True, "size")
    assert both.table["smac"] is both.figures["size"]["100% of the data"]
    assert list(both.table) == ["iql", "smac", "td3_bc", "cql"]


def test_controls_are_trained_where_they_are_shown(grid):
    assert all(block.control for block in grid(True).blocks)
    assert grid(False, "transfer").figures["transfer"]["smac"].control
    assert not any(block.control for block in grid(False, *(name for name in FIGURES if name != "transfer")).blocks)
    with_table = grid(True, "kappa", "size").figures
    assert [block.control for block in with_table["kappa"].values()] == [False, False, True, False]
    assert [block.control for block in with_table["size"].values()] == [False, False, True]


def test_what_shows_the_data_alone_trains_nothing(grid):
    assert grid(False, "coverage").blocks == []
