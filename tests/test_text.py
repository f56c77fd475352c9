"""Text for users: names and numbers."""

from __future__ import annotations

import pytest

from smac_jax.text import count, duration, mean_over, name_of, rate_text, seeds_text, start_of


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("smac", "SMAC"),
        ("awac", "AWAC"),
        ("cal_ql", "Cal-QL"),
        ("td3_bc", "TD3+BC"),
        ("cal_ql/cql", "Cal-QL/CQL"),
        ("smac kappa=5", "SMAC, kappa = 5"),
        ("smac score_model.num_updates=10 kappa=1", "SMAC, num updates = 10, kappa = 1"),
        ("td3_bc, smac's critics", "TD3+BC, smac's critics"),
        ("smac (muon)", "SMAC (muon)"),
        ("smac (alpha > 0) kappa=5 polyak=0.1", "SMAC (alpha > 0), kappa = 5, polyak = 0.1"),
        ("mine", "mine"),
        ("bcx", "bcx"),
        ("5% of the data", "5% of the data"),
        ("", ""),
    ],
)
def test_algorithms_have_display_names(label, name):
    assert name_of(label) == name


def test_counts_have_a_noun():
    assert [count(n, "seed") for n in (0, 1, 2, 1000)] == ["0 seeds", "1 seed", "2 seeds", "1,000 seeds"]
    assert count([3], "run is", "runs are") == "1 run is"
    assert count([], "run is", "runs are") == "0 runs are"


def test_seeds_as_text():
    assert seeds_text([0]) == "1 seed (number 0)"
    assert seeds_text((3, 5)) == "2 seeds (numbers 3, 5)"
    assert seeds_text(None) == "None"
    assert (mean_over([7]), mean_over(4)) == ("one seed", "mean and 95 % interval over 4 seeds")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        *((0, "0 s"), (0.2, "1 s"), (59.4, "59 s"), (59.6, "1 min 00 s"), (125, "2 min 05 s"), (599.4, "9 min 59 s")),
        *((600, "10 min"), (3599, "1 h 00 min"), (3900, "1 h 05 min"), (86_400 - 1, "1 d 0 h"), (97_200, "1 d 3 h")),
    ],
)
def test_durations_as_text(seconds, text):
    assert duration(seconds) == text


def test_a_rate_is_never_0():
    assert [rate_text(rate) for rate in (1234.5, 10, 9.96, 0.004)] == ["1,234", "10", "10", "0.004"]


@pytest.mark.parametrize(
    ("label", "checkpoint", "text"),
    [
        ("smac", None, "SMAC"),
        ("smac", 3000, "SMAC at 3,000 updates"),
        ("smac kappa=5", 10, "SMAC, kappa = 5, at 10 updates"),
        ("smac (muon)", 12_000, "SMAC (muon) at 12,000 updates"),
    ],
)
def test_the_start_of_a_transfer_as_text(label, checkpoint, text):
    assert start_of(label, checkpoint) == text
