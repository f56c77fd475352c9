"""Mazes equal gymnasium-robotics step for step, and D4RL where the two differ."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import sys
import types
import warnings

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from smac_jax.envs import ANTMAZE, MAZE2D, AutoReset, make_env
from smac_jax.envs.tasks.maze import find_cells
from smac_jax.errors import ConfigError, UnknownNameError
from smac_jax.mazes import MAPS

TOLERANCE = 1e-5  # of float32; the physics itself agrees bit for bit

pytest.importorskip("gymnasium_robotics", reason="the ball's model comes with gymnasium-robotics")

PAIRS = [
    ("antmaze-umaze", "robotics-v5", "AntMaze_UMaze-v5", "max"),
    ("antmaze-medium", "robotics-v4", "AntMaze_Medium-v4", "sum"),
    ("maze2d-large", "robotics-v3", "PointMaze_Large-v3", "max"),
    ("maze2d-umaze-dense", "robotics-v3", "PointMaze_UMazeDense-v3", "sum"),
]


@pytest.fixture(scope="module")
def make_robotics():
    """Makes gymnasium-robotics's own environment, with its time limit."""
    if importlib.util.find_spec("imageio") is None:
        sys.modules["imageio"] = types.ModuleType("imageio")  # Gymnasium imports it to render, which no test does
    import gymnasium

    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        import gymnasium_robotics
    gymnasium.register_envs(gymnasium_robotics)

    def make(name, margins="max", **options):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            env = gymnasium.make(name, disable_env_checker=True, **options)
        if margins == "max":
            env.unwrapped.model.geom_margin[:] *= 0.5  # all geoms have the same margin
        return env

    return make


@pytest.fixture(scope="module", params=PAIRS, ids=lambda pair: "-".join(pair[:2]))
def pair(request, make_robotics):
    """Returns gymnasium-robotics's environment, this package's environment, and its compiled step."""
    name, version, theirs, margins = request.param
    env = make_env(name, "mujoco", version, margins=margins)
    return make_robotics(theirs, margins), env, jax.jit(env.step)


def flat(observation):
    return np.concatenate([observation[key] for key in ("achieved_goal", "desired_goal", "observation")])


def starts(env, number):
    """Returns a number of random starts of the task, without computing physics."""
    rest = jnp.asarray(env._engine.init_qpos), jnp.asarray(env._engine.init_qvel)
    draw = jax.jit(jax.vmap(lambda key: env.task.reset(key, *rest)))
    return draw(jax.random.split(jax.random.key(0), number))


def start_both(theirs, env, seed):
    """Starts an episode of gymnasium-robotics, and one of this package in the same state."""
    observation, _ = theirs.reset(seed=seed)
    data = theirs.unwrapped.data
    state = env.reset_to(data.qpos.copy(), data.qvel.copy(), memory={"goal": theirs.unwrapped.goal})
    np.testing.assert_allclose(state.obs, flat(observation), rtol=TOLERANCE, atol=TOLERANCE)
    return state


def both_step(theirs, step, state, action, t):
    """Steps both environments, and asserts that the results are equal."""
    observation, reward, terminated, truncated, info = theirs.step(action)
    state = step(state, action)
    np.testing.assert_allclose(state.obs, flat(observation), rtol=TOLERANCE, atol=TOLERANCE, err_msg=f"step {t}")
    np.testing.assert_allclose(state.reward, reward, rtol=TOLERANCE, atol=TOLERANCE, err_msg=f"step {t}")
    assert bool(state.done) == terminated
    assert bool(state.metrics["success"]) == info["success"]
    return state, truncated


def assert_same_physics(theirs, state):
    data = theirs.unwrapped.data
    carried = np.asarray(state.pipeline_state.raw).view(np.float64)
    nq, nv = len(data.qpos), len(data.qvel)
    np.testing.assert_array_equal(carried[:nq], data.qpos)
    np.testing.assert_array_equal(carried[nq : nq + nv], data.qvel)


def test_the_compiled_models_are_equal(pair):
    """All numbers of the compiled models are equal, except colors, the goal's marker and `body_margin`.

    `body_margin` only makes the search for contacts faster.
    """
    theirs, env, _ = pair
    ours, model = env._engine._mj, theirs.unwrapped.model
    checked = 0
    for field in dir(model):
        value = getattr(model, field) if not field.startswith("_") else None
        if (
            isinstance(value, np.ndarray)
            and not field.startswith(("site", "name", "tex", "mat", "body_margin"))
            and "rgba" not in field
        ):
            np.testing.assert_array_equal(getattr(ours, field), value, err_msg=field)
            checked += 1
    assert checked > 100
    assert ours.opt.timestep == model.opt.timestep


def test_whole_episodes_agree_until_their_time_limit(pair):
    theirs, env, step = pair
    moved = 0.0
    for seed in range(2):
        state, rng = start_both(theirs, env, seed), np.random.default_rng(seed)
        for t in range(env.episode_length):
            # An action is repeated for 15 steps, and may be outside [-1, 1], so that the robot reaches walls.
            if t % 15 == 0:
                action = rng.uniform(-1.3, 1.3, env.action_size).astype(np.float32)
            state, truncated = both_step(theirs, step, state, action, t)
            assert truncated == (t == env.episode_length - 1)
            if t in (1, 100):
                assert_same_physics(theirs, state)
        assert_same_physics(theirs, state)
        moved = max(moved, float(np.abs(state.pipeline_state.qvel).max()))
    assert moved > 0.1


def test_auto_reset_truncates_mazes_at_the_time_limit(pair):
    _, env, _ = pair
    wrapped = AutoReset(env, 3)
    step = jax.jit(wrapped.step)
    state, flags = wrapped.reset(jax.random.key(0)), []
    for _ in range(4):
        state = step(state, jnp.zeros(env.action_size))
        flags.append((int(state.info["truncation"]), int(state.info["terminal"])))
    assert flags == [(0, 0), (0, 0), (1, 0), (0, 0)]


@pytest.mark.parametrize(("name", "version", "theirs"), [pair[:3] for pair in PAIRS[1:3]])
def test_an_episodic_task_ends_at_its_goal(name, version, theirs, make_robotics):
    """The robot starts just outside the goal with a velocity towards it, and its motors are off."""
    theirs = make_robotics(theirs, continuing_task=False)
    env = make_env(name, "mujoco", version, continuing_task=False)
    step, ended = jax.jit(env.step), 0
    for seed in range(3):
        theirs.reset(seed=seed)
        data, goal = theirs.unwrapped.data, theirs.unwrapped.goal
        robot = theirs.unwrapped.ant_env if "ant" in name else theirs.unwrapped.point_env
        qpos, qvel = data.qpos.copy(), data.qvel.copy()
        qpos[:2], qvel[:2] = np.add(goal, [0.6, 0.0]), [-2.0, 0.0]
        robot.set_state(qpos, qvel)
        state = env.reset_to(qpos, qvel, memory={"goal": goal})
        for t in range(40):
            state, _ = both_step(theirs, step, state, np.zeros(env.action_size, np.float32), t)
            if state.done:
                break
        ended += bool(state.done) and 0 < t < 39
    assert ended == 3


def test_a_goal_that_moves_is_shown_one_step_later_and_out_of_reach(make_robotics):
    theirs = make_robotics("PointMaze_UMaze-v3", reset_target=True)
    env = make_env("maze2d-umaze", "mujoco", "robotics-v3", reset_target=True)
    step = jax.jit(env.step)
    theirs.reset(seed=0)
    goal = theirs.unwrapped.goal.copy()
    theirs.unwrapped.point_env.set_state(goal, np.zeros(2))
    state = env.reset_to(goal, np.zeros(2), memory={"goal": goal, "next_goal": goal})
    rest = np.zeros(2, np.float32)
    state, _ = both_step(theirs, step, state, rest, 0)  # reward and observation still use the old goal
    assert state.reward == 1
    observation, reward, *_ = theirs.step(rest)
    state = step(state, rest)
    assert (reward, float(state.reward)) == (0, 0)
    cells = env.task.centers(env.task.cells.goals)
    for shown in (observation["desired_goal"], np.asarray(state.obs[2:4])):
        assert np.linalg.norm(shown - goal) > 0.45
        assert np.abs(cells - shown).max(1).min() <= 0.25
    again = step(state, rest)
    np.testing.assert_array_equal(again.obs[2:4], state.obs[2:4])  # the goal is not reached, so it stays


def test_starts_and_goals_have_the_distribution_of_gymnasium_robotics(make_robotics):
    """Compares the frequency of each cell, and the noise around its center.

    The map has starts, goals, and cells for both.
    """
    maze_map = [[1, 1, 1, 1, 1, 1], [1, "r", 0, "g", "c", 1], [1, 1, "c", 1, "g", 1], [1, 1, 1, 1, 1, 1]]
    theirs = make_robotics("PointMaze_UMaze-v3", maze_map=maze_map).unwrapped
    env = make_env("maze2d-umaze", version="robotics-v3", maze_map=maze_map)
    number = 3000
    start = starts(env, number)
    ours = {"start": np.asarray(start.qpos), "goal": np.asarray(start.memory["goal"])}
    drawn = {"start": [], "goal": []}
    theirs.reset(seed=0)
    for _ in range(number):
        goal = theirs.add_xy_position_noise(theirs.generate_target_goal())
        theirs.goal = goal
        drawn["goal"].append(goal)
        drawn["start"].append(theirs.add_xy_position_noise(theirs.generate_reset_pos()))
    cells = env.task.centers(np.argwhere(np.array(maze_map, dtype=object) != 1))
    counts = {}
    for who, draws in (("ours", ours), ("theirs", {key: np.array(value) for key, value in drawn.items()})):
        nearest = {key: np.argmin(np.linalg.norm(x[:, None] - cells, axis=2), 1) for key, x in draws.items()}
        for key, x in draws.items():
            noise = x - cells[nearest[key]]
            assert np.abs(noise).max() <= 0.25 + 1e-6
            assert np.abs(noise).max() > 0.245
            np.testing.assert_allclose(noise.std(0), 0.5 / np.sqrt(12), rtol=0.05)
        counts[who] = np.bincount(nearest["start"] * len(cells) + nearest["goal"], minlength=len(cells) ** 2) / number
    assert np.array_equal(counts["ours"] > 0, counts["theirs"] > 0)
    np.testing.assert_allclose(counts["ours"], counts["theirs"], atol=5 * np.sqrt(0.1 / number))


def test_velocities_are_clipped_bit_for_bit_as_by_numpy(make_robotics):
    """Steps in C++ and from Python give the same result."""
    rng = np.random.default_rng(0)
    speeds = np.concatenate([rng.normal(size=60) * 6, np.nextafter(5.0, [4, 6]), [5.0, -5.0, 0.0, -0.0]]).reshape(-1, 2)
    places = np.tile(np.array([1.0, -1.0]), (len(speeds), 1))
    envs = [make_env("maze2d-umaze", "mujoco", "robotics-v3", native=native) for native in (None, False)]
    engine = envs[0]._engine
    raw = jax.jit(jax.vmap(engine._limit_speed))(envs[0].reset_to(places, speeds).pipeline_state.raw)
    carried = np.asarray(raw).view(np.float64)
    np.testing.assert_array_equal(carried[:, 2:4].view(np.int64), np.clip(speeds, -5, 5).view(np.int64))
    np.testing.assert_array_equal(carried[:, :2], places)
    after = [
        jax.jit(jax.vmap(env.step))(env.reset_to(places, speeds), jnp.ones((len(speeds), 2))).pipeline_state.raw
        for env in envs
    ]
    np.testing.assert_array_equal(*after)


def d4rls_ball(cells) -> mujoco.MjModel:
    """Returns D4RL's model, with the numbers in its ``maze_model.py`` and the contact margins of MuJoCo 2."""
    walls = "".join(
        f'<geom type="box" conaffinity="1" pos="{i + 1.0} {j + 1.0} 0" size=".5 .5 .2"/>'
        for i, row in enumerate(cells)
        for j, cell in enumerate(row)
        if cell
    )
    return mujoco.MjModel.from_xml_string(f"""
        <mujoco><compiler inertiafromgeom="true" angle="radian"/>
        <option timestep="0.01" gravity="0 0 0" iterations="20" integrator="Euler"/>
        <default><joint damping="1" limited="false"/>
        <geom friction=".5 .1 .1" density="1000" margin="0.001" condim="1" contype="2" conaffinity="1"/></default>
        <worldbody>
        <geom size="40 40 .25" pos="0 0 -.1" type="plane" contype="1" conaffinity="0"/>
        <body pos="1.2 1.2 0"><geom type="sphere" size=".1" contype="1"/>
        <joint name="x" type="slide" axis="1 0 0"/><joint name="y" type="slide" axis="0 1 0"/></body>{walls}</worldbody>
        <actuator><motor joint="x" ctrlrange="-1 1" ctrllimited="true" gear="100"/>
        <motor joint="y" ctrlrange="-1 1" ctrllimited="true" gear="100"/></actuator></mujoco>""")


@pytest.mark.parametrize("name", ["maze2d-umaze", "maze2d-large-dense"])
def test_maze2d_equals_d4rl(name):
    """Compares physics, goal, rewards and start with a model that was written from D4RL's code."""
    env, kind = make_env(name), name.split("-")[1]
    model = d4rls_ball(MAPS[kind])
    data, step, rng = mujoco.MjData(model), jax.jit(env.step), np.random.default_rng(0)
    goal = {"umaze": (1, 1), "large": (7, 9)}[kind]
    start = env.reset(jax.random.key(3))
    data.qpos[:], data.qvel[:] = np.asarray(start.obs[:2], np.float64), np.asarray(start.obs[2:], np.float64)
    state, touched = env.reset_to(data.qpos.copy(), data.qvel.copy()), 0
    for t in range(400):
        if t % 20 == 0:
            action = rng.uniform(-1, 1, 2).astype(np.float32)
        data.qvel[:], data.ctrl[:] = np.clip(data.qvel, -5, 5), action
        mujoco.mj_step(model, data)
        state = step(state, action)
        np.testing.assert_allclose(state.obs, np.concatenate([data.qpos, data.qvel]), rtol=1e-5, atol=1e-5)
        distance = np.linalg.norm(data.qpos - goal)
        np.testing.assert_allclose(state.reward, np.exp(-distance) if "dense" in name else distance <= 0.5, rtol=1e-4)
        assert state.done == 0
        touched += data.ncon > 1
    assert touched > 20
    assert "score" not in state.metrics  # D4RL's score is the return
    assert env.episode_length == {"umaze": 300, "large": 800}[kind]


def test_d4rls_ball_starts_in_any_free_cell():
    env = make_env("maze2d-medium")
    qpos, qvel = map(np.asarray, starts(env, 2000)[:2])
    cells, counts = np.unique(np.round(qpos), axis=0, return_counts=True)
    np.testing.assert_array_equal(cells, np.argwhere(np.array(MAPS["medium"]) == 0))
    np.testing.assert_allclose(counts / 2000, 1 / len(cells), atol=0.02)
    assert np.abs(qpos - np.round(qpos)).max() <= 0.1 + 1e-6
    np.testing.assert_allclose(qvel.std(), 0.1, rtol=0.05)


@pytest.mark.parametrize(
    ("kind", "length", "goal"), [("umaze", 700, (0, 8)), ("medium", 1000, (20, 20)), ("large", 1000, (32, 24))]
)
def test_antmaze_equals_d4rl(kind, length, goal):
    """Start, goals, observation, motors, time limit and walls are those of D4RL's code."""
    env = make_env(f"antmaze-{kind}")
    assert (env.episode_length, env.observation_size, env.action_size) == (length, 29, 8)
    assert env.dt == pytest.approx(0.1)
    model = env._engine._mj
    np.testing.assert_array_equal(model.actuator_gear[:, 0] * model.actuator_ctrlrange[:, 1], 30)
    walls = {tuple(place) for place in model.geom_pos[(model.geom_bodyid == 0) & (model.geom_type == 6)]}
    assert walls == {(4.0 * j - 4, 4.0 * i - 4, 1.0) for i, j in np.argwhere(np.array(MAPS[kind]) == 1)}
    start = starts(env, 1000)
    assert np.abs(start.qpos[:, :2]).max() <= 0.1
    goals = np.asarray(start.memory["goal"])
    assert (goals >= goal).all()
    assert (goals <= np.add(goal, 1.5)).all()
    np.testing.assert_allclose(goals.mean(0), np.add(goal, 0.75), atol=0.05)


def test_antmaze_rewards_the_goal_and_ends_there():
    env = make_env("antmaze-umaze")
    qpos, goal = env._engine.init_qpos.astype(float), np.array([0.5, 9.0])
    step = jax.jit(env.step)
    for away, reached in ((0.4, 1), (0.7, 0)):
        qpos[:2] = np.add(goal, [away, 0])
        state = step(env.reset_to(qpos, np.zeros(14), memory={"goal": goal}), jnp.zeros(8))
        found = (state.reward, state.done, state.metrics["success"], state.metrics["score"])
        assert tuple(map(int, found)) == (reached,) * 4
    assert state.obs.shape == (29,)


def test_the_score_counts_a_success_once_if_the_episode_continues(make_robotics):
    env = make_env("antmaze-umaze", version="robotics-v4")
    qpos = env._engine.init_qpos.astype(float)
    qpos[:2] = [4.0, 4.0]
    state, step = env.reset_to(qpos, np.zeros(14), memory={"goal": np.array([4.1, 4.0])}), jax.jit(env.step)
    seen = []
    for _ in range(3):
        state = step(state, jnp.zeros(8))
        seen.append((int(state.reward), int(state.metrics["score"]), int(state.done)))
    assert seen == [(1, 1, 0), (1, 0, 0), (1, 0, 0)]


def test_the_physics_state_is_found_in_an_observation():
    """`smac-jax check-dataset` needs this to compare logged rows with the simulator."""
    for name, version in (("antmaze-umaze", "d4rl"), ("antmaze-umaze", "robotics-v5"), ("maze2d-umaze", "robotics-v3")):
        env = make_env(name, version=version)
        state = env.reset(jax.random.key(1))
        qpos, qvel, whole = env.task.state(np.asarray(state.obs)[None])
        np.testing.assert_array_equal(qpos[0], state.pipeline_state.qpos)
        np.testing.assert_array_equal(qvel[0], state.pipeline_state.qvel)
        assert whole.all()


@pytest.mark.parametrize("name", [*ANTMAZE, *MAZE2D])
def test_make_env_makes_every_maze(name):
    assert make_env(name).observation_size == (29 if name in ANTMAZE else 4)


@pytest.mark.parametrize(
    ("name", "options", "match"),
    [
        ("antmaze-giant", {}, "Unknown environment 'antmaze-giant'.*antmaze-large"),
        ("antmaze-umaze", {"version": "v5"}, "Unknown version of antmaze-umaze 'v5'.*robotics-v5"),
        ("antmaze-umaze", {"continuing_task": True}, "D4RL's version has no options.*continuing_task"),
        ("maze2d-umaze", {"version": "robotics-v3", "reward_type": "cost"}, "reward_type of maze2d-umaze"),
        ("maze2d-umaze", {"version": "robotics-v3", "reset_target": 1}, "reset_target = 1: must be True or False"),
        ("maze2d-umaze", {"version": "robotics-v3", "maze_map": [[1, 1], [1]]}, "maze_map must have rows of equal"),
        ("maze2d-umaze", {"version": "robotics-v3", "maze_map": [[1, "x"]]}, "maze_map must have rows .*'x'"),
        ("maze2d-umaze", {"version": "robotics-v3", "maze_map": [[1, "c", 1]]}, "no start cell for a goal in"),
        ("maze2d-umaze", {"version": "robotics-v3", "goal_cell": 3}, "has no option 'goal_cell'"),
    ],
)
def test_an_invalid_maze_is_refused_with_a_one_line_message(name, options, match):
    with pytest.raises((ConfigError, UnknownNameError), match=match) as error:
        make_env(name, **options)
    assert "\n" not in str(error.value)


def test_a_goal_for_another_task_is_refused():
    with pytest.raises(ConfigError, match=r"memory\['goal'\] has shape \(3,\); the memory of the task has goal \(2,\)"):
        make_env("maze2d-umaze").reset_to(np.ones(2), np.zeros(2), memory={"goal": np.zeros(3)})
    env = make_env("hopper")
    with pytest.raises(ConfigError, match="the memory of the task has no entries"):
        env.reset_to(env._engine.init_qpos, np.zeros(6), memory={"goal": np.zeros(2)})


def test_a_map_without_starts_or_goals_allows_every_free_cell_for_them():
    for row, starts, goals in (("r0g", 1, 1), ("00g", 2, 1), ("r00", 1, 2), ("000", 3, 3), ("rcc", 3, 2)):
        cells = find_cells([[int(c) if c == "0" else c for c in row]], "here")
        assert (len(cells.starts), len(cells.goals)) == (starts, goals)
