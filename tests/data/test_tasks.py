"""Names and normalized scores."""

import numpy as np
import pytest

from smac_jax.data.tasks import TASKS, normalized_score, parse_name
from smac_jax.errors import UnknownNameError


@pytest.mark.parametrize(
    ("name", "want"),
    [
        ("hopper", ("hopper", None)),
        ("Hopper-v4", ("hopper", None)),
        ("hopper-medium", ("hopper", "medium")),
        ("hopper-medium-replay", ("hopper", "medium-replay")),
        ("hopper-medium-replay-v2", ("hopper", "medium-replay")),
        ("hopper_medium_replay-v2", ("hopper", "medium-replay")),
        ("walker2d_full_replay-v2", ("walker2d", "full-replay")),
        ("HalfCheetah-v5", ("halfcheetah", None)),
        ("door-human", ("door", "human")),
        ("antmaze-umaze-diverse-v0", ("antmaze", "umaze-diverse")),
        ("ant-expert-v2", ("ant", "expert")),
        ("door-binary-v0", ("door-binary", None)),
        ("pen_binary_human-v0", ("pen-binary", "human")),
        ("kitchen-partial-v0", ("kitchen-partial", None)),
        ("kitchen_mixed-v0", ("kitchen-mixed", None)),
        ("mini_kitchen_microwave_kettle_light_slider-v0", ("kitchen-complete", None)),
        ("door-v0_demos_clipped", ("door", "v0-demos-clipped")),
    ],
)
def test_names_are_taken_apart(name, want):
    assert parse_name(name) == want


@pytest.mark.parametrize("name", ["", "hoper-medium", "hopper2-medium", "my-hopper", "brax:ant", "medium-hopper"])
def test_unknown_names_list_the_known(name):
    with pytest.raises(UnknownNameError, match=r"Unknown task .*antmaze.*hopper"):
        parse_name(name)


def test_score_is_0_at_random_and_100_at_expert():
    for name, info in TASKS.items():
        np.testing.assert_allclose(
            normalized_score(name, [info.random_return, info.expert_return]), [0, 100], atol=1e-12
        )


def test_scores_against_numbers_worked_out_by_hand():
    # half-way between -20.272305 and 3234.3
    assert normalized_score("hopper", 1607.0138475) == pytest.approx(50.0, abs=1e-9)
    assert normalized_score("kitchen", np.array([[0.0, 1.0], [2.0, 4.0]])).tolist() == [[0, 25], [50, 100]]


@pytest.mark.parametrize(
    ("name", "returned", "score"),
    [
        # Fu et al. 2020, behavior cloning: average returns of table 3 and the scores printed for them in table 2
        ("halfcheetah-medium", 4196.4, 36.1),
        ("hopper-medium", 923.5, 29.0),
        ("walker2d-medium", 304.8, 6.6),
        ("pen-human", 1121.9, 34.4),
        ("hammer-human", -82.4, 1.5),
        ("door-human", -41.7, 0.5),
    ],
)
def test_scores_against_published_ones(name, returned, score):
    assert normalized_score(name, returned) == pytest.approx(score, abs=0.05)


def test_an_unknown_task_has_no_score():
    with pytest.raises(UnknownNameError, match="frog"):
        normalized_score("frog", 1.0)
