"""Names and numbers as people read them."""

from __future__ import annotations

import pytest

from smac_jax.text import count, mean_over, name_of, seeds_text


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
        ("mine", "mine"),
        ("bcx", "bcx"),
        ("5% of the data", "5% of the data"),
        ("", ""),
    ],
)
def test_names_of_algorithms(label, name):
    assert name_of(label) == name


def test_numbers_of_things():
    assert [count(n, "seed") for n in (0, 1, 2, 1000)] == ["0 seeds", "1 seed", "2 seeds", "1,000 seeds"]
    assert count([3], "run is", "runs are") == "1 run is"
    assert count([], "run is", "runs are") == "0 runs are"


def test_seeds():
    assert seeds_text([0]) == "1 seed (number 0)"
    assert seeds_text((3, 5)) == "2 seeds (numbers 3, 5)"
    assert seeds_text(None) == "None"
    assert (mean_over([7]), mean_over(4)) == ("one seed", "mean and 95 % interval over 4 seeds")
