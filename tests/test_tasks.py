"""Names of tasks, their facts, and normalized scores."""

import ast
import dataclasses
from pathlib import Path

import numpy as np
import pytest

import smac_jax
from smac_jax import envs
from smac_jax.errors import ConfigError, UnknownNameError
from smac_jax.tasks import (
    BINARY,
    TASKS,
    binary_of,
    binary_tasks,
    dense_of,
    normalized_score,
    parse_name,
    reward_rule,
    task_info,
    tasks_of,
)


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
        ("antmaze-umaze-diverse-v0", ("antmaze-umaze", "diverse")),
        ("Ant_maze_u-maze_noisy_multistart_False_multigoal_False_sparse_fixed", ("antmaze-umaze", None)),
        ("Ant_maze_hardest-maze_noisy_multistart_True_multigoal_True_sparse", ("antmaze-large", "diverse")),
        ("AntMaze_Medium_Diverse_GR-v4", ("antmaze-medium", "diverse-gr")),
        ("D4RL/antmaze/medium-play-v1", ("antmaze-medium", "play")),
        ("D4RL/pointmaze/umaze-dense-v2", ("maze2d-umaze-dense", None)),
        ("PointMaze_Medium_Diverse_GDense-v3", ("maze2d-medium-dense", "diverse-g")),
        ("maze2d-umaze-sparse-v1", ("maze2d-umaze", "sparse")),
        ("mujoco/hopper/expert-v0", ("hopper", "expert")),
        ("ant-expert-v2", ("ant", "expert")),
        ("door-binary-v0", ("door-binary", None)),
        ("pen_binary_human-v0", ("pen-binary", "human")),
        ("kitchen-partial-v0", ("kitchen-partial", None)),
        ("kitchen_mixed-v0", ("kitchen-mixed", None)),
        ("mini_kitchen_microwave_kettle_light_slider-v0", ("kitchen-complete", None)),
        ("door-v0_demos_clipped", ("door", "v0-demos-clipped")),
    ],
)
def test_names_are_parsed(name, want):
    assert parse_name(name) == want


@pytest.mark.parametrize(
    "name",
    [
        "",
        "hoper-medium",
        "hopper2-medium",
        "my-hopper",
        "brax:ant",
        "medium-hopper",
        "antmaze-giant-v0",
        # mirrored mazes of D4RL
        "antmaze-eval-umaze-v0",
        "Ant_maze_umaze_eval_noisy_multistart_True_multigoal_False_sparse",
        "maze2d-eval-large-v1",
    ],
)
def test_unknown_names_list_the_known(name):
    with pytest.raises(UnknownNameError, match=r"Unknown task .*antmaze.*hopper"):
        parse_name(name)


def test_score_is_0_at_random_and_100_at_expert():
    for name, info in TASKS.items():
        np.testing.assert_allclose(
            normalized_score(name, [info.random_return, info.expert_return]), [0, 100], atol=1e-12
        )


def test_normalized_scores_equal_numbers_computed_by_hand():
    # halfway between -20.272305 and 3234.3
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
def test_normalized_scores_equal_published_ones(name, returned, score):
    assert normalized_score(name, returned) == pytest.approx(score, abs=0.05)


def test_an_unknown_task_has_no_score():
    with pytest.raises(UnknownNameError, match="frog"):
        normalized_score("frog", 1.0)


def test_every_environment_has_a_task_info():
    assert tasks_of("locomotion") == envs.LOCOMOTION
    assert set(tasks_of("adroit")) == set(envs.ADROIT)
    assert set(tasks_of("kitchen")) == {"kitchen", *envs.KITCHEN}
    assert set(tasks_of("antmaze")) == set(envs.ANTMAZE)
    assert set(tasks_of("maze2d")) == set(envs.MAZE2D)
    assert set(envs.TASKS) <= set(TASKS)


def test_binary_and_dense_tasks_name_each_other():
    assert set(binary_tasks()) == {f"{hand}-binary" for hand in envs.ADROIT}
    for hand in envs.ADROIT:
        assert (binary_of(hand), dense_of(f"{hand}-binary"), dense_of(hand)) == (f"{hand}-binary", hand, hand)
        assert TASKS[f"{hand}-binary"].episode_length == TASKS[hand].episode_length
    assert binary_of("hopper") is binary_of(None) is dense_of(None) is None
    assert binary_of("pen-binary") is None


def test_the_measure_of_evaluations_follows_from_the_rewards():
    said = {name: task_info(name).rewards.evaluation for name in ("gymnasium:Hopper-v4", "door-binary", "frog")}
    assert said == {"gymnasium:Hopper-v4": "return", "door-binary": "success rate", "frog": "return"}
    assert task_info("kitchen-mixed").rewards.evaluation == "completed subtasks"
    assert task_info("antmaze-large-play-v2").rewards.evaluation == "success rate"
    assert task_info("maze2d-large").rewards.evaluation == "return"
    of_ogbench = task_info("ogbench:antmaze-large-navigate-singletask-v0")  # this is not the task of D4RL
    assert (of_ogbench.rewards.evaluation, of_ogbench.family) == ("success rate", None)
    assert reward_rule(None) == reward_rule("hopper") != BINARY


@pytest.mark.parametrize(
    "changes",
    [{"dense": "hopper"}, {"rewards": BINARY}, {"rewards": BINARY, "dense": "hopper"}, {"expert_return": 0.0}],
)
def test_facts_that_contradict_each_other_are_refused(changes):
    with pytest.raises(ConfigError, match="TaskInfo 'frog'"):
        dataclasses.replace(task_info("frog"), **changes)


def test_no_other_module_tests_a_tasks_name():
    """No comparison (``==``, ``in``, ``startswith`` and so on) in the source has a word of a task's name."""
    words = {*TASKS, "kitchen", "adroit", "binary", "-binary", "-binary-"}
    root = Path(smac_jax.__file__).parents[1]
    # the modules with the facts of tasks, and the one that makes an environment from its name
    exempt = ("smac_jax/tasks.py", "smac_jax/envs/__init__.py", "smac_jax/envs/tasks/")
    found = []
    for path in [*root.glob("smac_jax/**/*.py"), *root.glob("experiments/**/*.py")]:
        where = path.relative_to(root).as_posix()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if not where.startswith(exempt) else ():
            if isinstance(node, ast.Compare):
                sides = [node.left, *node.comparators]
                # a family is a fact, not a name
                tested = [] if any(isinstance(x, ast.Attribute) and x.attr == "family" for x in sides) else sides
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                tests = ("startswith", "endswith", "removesuffix", "removeprefix")
                tested = node.args if node.func.attr in tests else []
            else:
                continue
            literals = [x for side in tested for x in ast.walk(side) if isinstance(x, ast.Constant)]
            found += [f"{where}:{node.lineno}" for literal in literals if literal.value in words]
    assert not found
