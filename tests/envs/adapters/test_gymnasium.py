"""Gymnasium's environments as pure functions, against Gymnasium itself and after a restart."""

from __future__ import annotations

import sys
from types import ModuleType

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces

from smac_jax.algorithms.actor_critic import ActorCritic
from smac_jax.envs import AutoReset, make_env
from smac_jax.errors import ConfigError, UnknownNameError


class Point(gymnasium.Env):
    """A point that actions move, with a random start. Episodes end beyond 3. The class counts its calls."""

    observation_space = spaces.Dict({"place": spaces.Box(-np.inf, np.inf, (2,)), "speed": spaces.Box(-9, 9, (1,))})
    action_space = spaces.Box(np.array([0.0, -2.0], np.float32), np.array([1.0, 4.0], np.float32))
    instances = resets = steps = 0

    def __init__(self):
        type(self).instances += 1

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        type(self).resets += 1
        self.place = self.np_random.uniform(-1, 1, 2)
        self.speed = 0.0
        return self.observation(), {}

    def step(self, action):
        assert self.action_space.contains(action)
        type(self).steps += 1
        self.speed = float(np.abs(action).sum())
        self.place = self.place + 0.1 * action + 0.01 * self.np_random.normal(size=2)
        return self.observation(), float(self.place[0] - self.place[1]), bool(np.abs(self.place).max() > 3), False, {}

    def observation(self):
        return {"place": self.place.astype(np.float32), "speed": np.array([self.speed], np.float32)}


@pytest.fixture(autouse=True, scope="module")
def registered():
    """Registers the point with a time limit."""
    gymnasium.register("SmacPoint-v0", Point, max_episode_steps=12)
    yield
    del gymnasium.registry["SmacPoint-v0"]


def rollout(env, length):
    """Compiles a random rollout, which returns the actions and each state before and after."""

    def run(key):
        key_reset, key_actions = jax.random.split(key)
        actions = jax.random.uniform(key_actions, (length, env.action_size), minval=-1.0)
        step = lambda s, a: (lambda after: (after, (s, after)))(env.step(s, a))  # noqa: E731
        return actions, *jax.lax.scan(step, env.reset(key_reset), actions)[1]

    return jax.jit(jax.vmap(run))


def test_whole_episodes_equal_gymnasium(make_gymnasium):
    """Three hoppers that fall several times."""
    env = AutoReset(make_env("gymnasium:Hopper-v4"))
    actions, before, after = rollout(env, 80)(jax.random.split(jax.random.key(0), 3))
    reference = make_gymnasium("hopper", "v4", "sum")
    assert after.done.sum() > 3
    for i in range(3):
        observation, _ = reference.reset(seed=int(before.pipeline_state.seed[i, 0]))
        for t in range(80):
            np.testing.assert_array_equal(before.obs[i, t], observation.astype(np.float32))
            observation, reward, terminated, _, _ = reference.step(np.asarray(actions[i, t]))
            np.testing.assert_array_equal(after.info["next_observation"][i, t], observation.astype(np.float32))
            assert after.reward[i, t] == np.float32(reward)
            assert after.done[i, t] == after.info["terminal"][i, t] == terminated
            if terminated:
                observation, _ = reference.reset(seed=int(after.pipeline_state.seed[i, t]))


def test_spaces_are_flattened_and_scaled():
    env = make_env("gymnasium:SmacPoint-v0")
    assert (env.observation_size, env.action_size, env.episode_length) == (3, 2, 12)
    state = env.reset(jax.random.key(0))
    reference = gymnasium.make("SmacPoint-v0")
    first, _ = reference.reset(seed=int(state.pipeline_state.seed))
    np.testing.assert_array_equal(state.obs, [*first["place"], *first["speed"]])
    state = env.step(state, jnp.array([-1.0, 0.5]))  # the low bound, and three quarters of the range from -2 to 4
    expected, reward, *_ = reference.step(np.array([0.0, 2.5], np.float32))
    np.testing.assert_array_equal(state.obs, [*expected["place"], *expected["speed"]])
    assert state.reward == np.float32(reward)


def test_the_environments_own_time_limit_is_a_truncation():
    env = AutoReset(make_env("gymnasium:SmacPoint-v0"))
    _, _, after = rollout(env, 40)(jax.random.split(jax.random.key(1), 1))
    cut, ended = np.asarray(after.info["truncation"][0]), np.asarray(after.info["terminal"][0])
    assert cut.sum() >= 1
    assert not (cut * ended).any()
    lengths = after.info["last_episode_length"][0][np.flatnonzero(cut)]
    np.testing.assert_array_equal(lengths, 12)


def test_a_state_can_be_stepped_twice_and_by_another_instance():
    """In a resumed run, the instances of the states do not exist any more."""
    env = make_env("gymnasium:SmacPoint-v0")
    actions = jax.random.uniform(jax.random.key(2), (8, 2), minval=-1.0)
    states = [env.reset(jax.random.key(3))]
    for action in actions:
        states.append(env.step(states[-1], action))
    again = env.step(states[3], actions[3])
    elsewhere = make_env("gymnasium:SmacPoint-v0").step(states[3], actions[3])
    for other in (again, elsewhere):
        jax.tree.map(np.testing.assert_array_equal, other, states[4])
    # and the next step
    jax.tree.map(np.testing.assert_array_equal, env.step(again, actions[4]), states[5])


def test_few_instances_give_the_same_numbers():
    keys = jax.random.split(jax.random.key(4), 5)
    seen = []
    for instances in (None, 2):
        env = AutoReset(make_env("gymnasium:SmacPoint-v0", instances=instances))
        Point.instances = 0
        _, _, after = rollout(env, 20)(keys)
        seen.append([after.obs, after.reward, after.info["truncation"], after.pipeline_state.digest])
        assert Point.instances == (4 if instances is None else 1)  # one exists already
    jax.tree.map(np.testing.assert_array_equal, *seen)


def test_environments_are_reset_only_at_the_end_of_an_episode():
    env = AutoReset(make_env("gymnasium:SmacPoint-v0"))
    run, keys = rollout(env, 30), jax.random.split(jax.random.key(5), 4)
    Point.instances = Point.resets = Point.steps = 0
    _, _, after = jax.block_until_ready(run(keys))
    assert Point.resets == 4 + int(after.done.sum())
    assert Point.steps == 4 * 30
    assert Point.instances == 3  # in addition to the one that exists already


def test_steps_after_the_end_of_an_episode_change_nothing():
    env = make_env("gymnasium:SmacPoint-v0")
    state = env.reset(jax.random.key(6))
    for _ in range(12):
        state = env.step(state, jnp.zeros(2))
    assert state.done + state.info["truncated"] == 1
    Point.steps = 0
    after = env.step(state, jnp.ones(2))
    assert Point.steps == 0
    jax.tree.map(np.testing.assert_array_equal, after, state.replace(reward=jnp.zeros(())))


def test_a_policy_is_evaluated_and_fine_tuned():
    """Training works as with this package's tasks, and returns are the sums of Gymnasium's rewards."""
    import smac_jax

    rng = np.random.default_rng(0)
    env = make_env("gymnasium:SmacPoint-v0")
    data = smac_jax.Dataset.from_arrays(
        observations=rng.normal(size=(200, 3)),
        actions=rng.uniform(-1, 1, (200, 2)),
        rewards=rng.normal(size=200),
        terminals=np.arange(200) % 20 == 19,
    )
    off = smac_jax.pretrain("bc", data, seeds=2, num_updates=4, progress=False)
    returns = smac_jax.evaluate(off.actor_critic, env, episodes=3)
    assert returns.shape == (2, 3)
    one = jax.tree.map(lambda x: x[1], off.actor_critic)
    assert isinstance(one, ActorCritic)
    for episode, key in enumerate(jax.random.split(jax.random.key(0), 3)):
        reference = gymnasium.make("SmacPoint-v0")
        seed = int(env.reset(key).pipeline_state.seed)
        observation, _ = reference.reset(seed=seed)
        total, over = 0.0, False
        while not over:
            action = np.asarray(
                one.policy(jnp.concatenate([observation["place"], observation["speed"]])).mode(), np.float64
            )
            observation, reward, terminated, truncated, _ = reference.step(
                (np.array([0.0, -2.0]) + (action + 1) * np.array([0.5, 3.0])).astype(np.float32)
            )
            total, over = total + reward, terminated or truncated
        np.testing.assert_allclose(returns[1, episode], total, rtol=1e-3)
    config = {"batch_size": 8}
    on = smac_jax.finetune(
        "sac", off.actor_critic, env, data, seeds=2, num_steps=20, warm_start=5, config=config, progress=False
    )
    assert np.isfinite(on.returns).all()
    assert (on.buffer.size == 25).all()


def test_unsupported_environments_and_options_are_refused():
    with pytest.raises(UnknownNameError, match="Unknown environment of Gymnasium 'Nothing-v0'"):
        make_env("gymnasium:Nothing-v0")
    with pytest.raises(ConfigError, match=r"gymnasium:CartPole-v1: its actions must be vectors with bounds"):
        make_env("gymnasium:CartPole-v1")
    with pytest.raises(ConfigError, match=r"does not take physics='mjx'"):
        make_env("gymnasium:Hopper-v4", physics="mjx")
    with pytest.raises(ConfigError, match=r"gymnasium:Hopper-v4 cannot be made: .*flying"):
        make_env("gymnasium:Hopper-v4", flying=True)
    with pytest.raises(ConfigError, match="must be at least 1"):
        make_env("gymnasium:Hopper-v4", episode_length=0)


class Odd(gymnasium.Env):
    """An environment whose methods and spaces a test can replace."""

    observation_space: spaces.Space = spaces.Box(-np.inf, np.inf, (3,))
    action_space: spaces.Space = spaces.Box(-1, 1, (2,))

    def __init__(self, **how):
        self.how, self.count = how, 0
        for name in ("observation_space", "action_space"):
            if name in how:
                setattr(self, name, how.pop(name))

    def reset(self, **given):
        if "reset" in self.how:
            return self.how["reset"](**given)
        return np.zeros(3, np.float32), {}

    def step(self, action):
        self.count += 1
        returned = {"observation": np.zeros(3, np.float32), "reward": 1.0, "terminated": False, "truncated": False}
        if self.count > self.how.get("after", 0):
            if "step" in self.how:
                return self.how["step"]()
            returned |= {name: value for name, value in self.how.items() if name in returned}
        return *returned.values(), {}


@pytest.fixture
def odd():
    """Makes such an environment, with or without a time limit."""

    def make(limit=None, **how):
        gymnasium.register("SmacOdd-v0", Odd, max_episode_steps=limit)
        return make_env("gymnasium:SmacOdd-v0", **how)

    yield make
    del gymnasium.registry["SmacOdd-v0"]


def test_arrays_with_one_number_are_numbers(odd):
    env = odd(reward=np.array([0.5]), terminated=np.array([True]), observation=np.ones((3, 1)))
    state = env.step(env.reset(jax.random.key(0)), jnp.zeros(2))
    assert (state.reward, state.done) == (0.5, 1.0)
    np.testing.assert_array_equal(state.obs, np.ones(3))


def raises(error: type[Exception]):
    def act(*_, **__):
        raise error("the cable\nis loose")

    return act


WRONG = [
    (
        {"reward": np.array([1.0, 2.0])},
        r"step returned a reward that is not a finite number, of shape \(2,\): array\(\[1",
    ),
    ({"reward": None}, "step returned a reward that is not a finite number, None"),
    ({"reward": "1"}, "step returned a reward that is not a finite number, '1'"),
    ({"reward": np.nan}, "step returned a reward that is not a finite number, nan"),
    ({"reward": {"a": 1.0}}, "step returned a reward that is not a finite number"),
    ({"terminated": {}}, "step returned a terminated that is not a finite number"),
    ({"truncated": np.array([True, False])}, r"step returned a truncated .* of shape \(2,\)"),
    ({"observation": np.zeros(4)}, r"step returned observation of shape \(4,\), but its space has \(3,\)"),
    ({"observation": np.zeros((2, 3))}, r"step returned observation of shape \(2, 3\)"),
    (
        {"observation": np.array([0.0, np.nan, 0.0])},
        r"step returned an observation that is not finite: array\(\[ 0., nan",
    ),
    ({"observation": [[1.0], [1.0, 2.0], [3.0]]}, "step returned .* as observation, which are not real numbers"),
    ({"observation": np.array(["a", "b", "c"])}, "step returned .* which are not real numbers"),
    ({"observation": None}, "step returned None as observation"),
    ({"step": lambda: (np.zeros(3), 1.0, False, {})}, "step must return .*4.*the interface of Gym before 0.26"),
    ({"step": lambda: None}, "step.* None"),
    ({"step": raises(RuntimeError)}, r"step\(array\(.*\)\) raised RuntimeError: the cable"),
    ({"reset": lambda seed, options=None: np.zeros(3)}, "reset must return .*the interface of Gym before 0.26"),
    ({"reset": lambda seed, options=None: np.zeros(2)}, "reset must return"),
    ({"reset": lambda: (np.zeros(3), {})}, "reset does not take a seed"),
    ({"reset": lambda seed, options=None: (np.zeros(5), {})}, r"reset returned observation of shape \(5,\)"),
    (
        {"reset": lambda seed, options=None: (np.full(3, np.inf), {})},
        "reset returned an observation that is not finite",
    ),
    ({"reset": raises(OSError)}, "reset raised OSError: the cable"),
    ({"observation_space": spaces.Text(4)}, "reset returned .* not in its observation_space Text"),
    ({"observation_space": spaces.Sequence(spaces.Discrete(2))}, "its observations are not vectors.* Sequence"),
    ({"observation_space": spaces.Dict(a=spaces.Box(-1, 1, (3,)))}, r"reset returned .* but its space has \['a'\]"),
    ({"observation_space": spaces.Tuple([spaces.Box(-1, 1, (1,))] * 2)}, "but its space has 2 parts"),
    (
        {"action_space": spaces.Discrete(3)},
        r"its actions must be vectors with bounds; its action_space is Discrete\(3\)",
    ),
    ({"action_space": spaces.Dict(a=spaces.Box(-1, 1))}, r"its actions must .* its action_space is Dict"),
    ({"action_space": spaces.MultiBinary(3)}, r"its actions must .* its action_space is MultiBinary\(3\)"),
    ({"action_space": spaces.Box(-np.inf, np.inf, (2,))}, r"that are all finite; its action_space is Box\(-inf"),
    ({"action_space": spaces.Box(-1, 1, (2,), np.int32)}, "that hold floats, not int32; its action_space is Box"),
    ({"action_space": spaces.Box(1, 1, (2,))}, "each lower bound must be below the upper bound"),
]


@pytest.mark.parametrize(("how", "words"), WRONG)
@pytest.mark.parametrize("limit", [None, 50])
def test_an_invalid_environment_is_refused_before_training_in_one_line(odd, how, words, limit):
    with pytest.raises(ConfigError, match=f"^gymnasium:SmacOdd-v0: .*{words}") as caught:
        odd(limit=limit, **dict(how))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("task", [None, 2])
def test_a_goal_that_is_not_observed_is_refused(task, monkeypatch):
    """OGBench's, which are registered in this form; with a task the goal is fixed."""
    module = ModuleType("ogbench.smac_maze")
    module.make = lambda reward_task_id=None: Point()
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(gymnasium.envs.registration, "registry", gymnasium.registry.copy())
    fixed = {} if task is None else {"reward_task_id": task}
    gymnasium.register("smacmaze-large-v0", "ogbench.smac_maze:make", max_episode_steps=12, kwargs=fixed)
    if task is not None:
        assert make_env("gymnasium:smacmaze-large-v0").observation_size == 3
        return
    with pytest.raises(ConfigError, match=r"goal-conditioned, .* take gymnasium:ogbench:smacmaze-large-singletask-v0"):
        make_env("gymnasium:smacmaze-large-v0")


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"reward": np.array([1.0, 2.0])}, "step returned a reward"),
        ({"observation": np.full(3, np.nan)}, "step returned an observation that is not finite"),
        ({"step": raises(RuntimeError)}, r"step\(.*\) raised RuntimeError: the cable"),
    ],
)
def test_a_later_error_of_the_environment_has_the_same_form(odd, how, words, caplog):
    import smac_jax

    env = odd(limit=50, after=8, **how)
    data = smac_jax.Dataset.from_arrays(
        observations=np.zeros((40, 3)),
        actions=np.zeros((40, 2)),
        rewards=np.ones(40),
        terminals=np.arange(40) % 20 == 19,
    )
    network = {"network": {"actor_hidden": (4,), "critic_hidden": (4,)}}
    off = smac_jax.pretrain("bc", data, seeds=1, num_updates=4, config=network, progress=False)

    def step_by_step():
        state = env.reset(jax.random.key(0))
        for _ in range(30):
            state = env.step(state, jnp.zeros(2))

    for train in (
        step_by_step,
        lambda: smac_jax.evaluate(off.actor_critic, env, episodes=1),
        lambda: smac_jax.finetune(
            "sac", off.actor_critic, env, seeds=1, num_steps=20, config={"batch_size": 4}, progress=False
        ),
        lambda: smac_jax.pretrain("bc", data, seeds=1, num_updates=4, config=network, env=env, progress=False),
    ):
        with pytest.raises(ConfigError, match=f"^gymnasium:SmacOdd-v0: {words}") as caught:
            train()
        assert "\n" not in str(caught.value)
    assert caplog.text == ""
