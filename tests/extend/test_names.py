"""Registered names: clashes, valid forms, and the checks of registered things."""

from __future__ import annotations

import dataclasses
import importlib
import subprocess
import sys
import types

import jax.numpy as jnp
import pytest

import smac_jax
from smac_jax import extend, registry
from smac_jax.algorithms import OFFLINE, ONLINE, bc, make_offline, make_online, td3
from smac_jax.config import number
from smac_jax.envs import make_env
from smac_jax.envs.tasks import hopper
from smac_jax.errors import ConfigError, RegistrationError, UnknownNameError
from smac_jax.presets.base import get_config

RETURNS = {"random_return": 0.0, "expert_return": 1.0}


@dataclasses.dataclass(frozen=True)
class Config(bc.BCConfig):
    extra: float = number(1.0, 0.0)


def build(config: Config) -> extend.OfflineAlgorithm:
    return bc.bc(config)._replace(name="mine")


@dataclasses.dataclass(frozen=True)
class OnlineConfig(td3.TD3Config):
    more: int = number(3, 0)


def build_online(config: OnlineConfig) -> extend.OnlineAlgorithm:
    return td3.td3(config)._replace(name="mine")


def test_all_names_are_known_without_jax():
    code = (
        "import sys\n"
        "from smac_jax import registry as r\n"
        "print(*r.OFFLINE, *r.ONLINE, *r.TASKS, *r.ENVIRONMENTS, *r.READERS, *r.TRACKERS)\n"
        "print('jax' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    names, has_jax = done.stdout.splitlines()
    assert {"smac", "sac", "hopper", "pen-binary", "kitchen-mixed", "brax", "minari", "trackio"} <= set(names.split())
    assert has_jax == "False"


def test_every_built_in_name_can_be_imported():
    for name, (config, build) in OFFLINE.items():
        assert build(config()).name == name
    for name, (config, build) in ONLINE.items():
        assert build(config()).name == name
    for name, entry in registry.TASKS.items():
        task = entry.make("d4rl") if entry.options else entry.make()
        assert all(callable(getattr(task, function)) for function in extend.TASK_FUNCTIONS), name
    assert all(entry.is_family for entry in registry.ENVIRONMENTS.values())
    assert all(callable(read) for read in registry.READERS.values())


def test_a_registered_algorithm_is_made_by_its_name():
    extend.register_offline("mine", Config, build)
    extend.register_online("mine", OnlineConfig, build_online)
    assert OFFLINE["mine"] == (Config, build)
    assert list(OFFLINE)[-1] == "mine"
    assert make_offline("mine", {"extra": 2}).config.extra == 2.0
    assert make_online("mine").config.more == 3
    with pytest.raises(ConfigError, match=r"Config\.extra = -1: must be at least 0|Config\.extra = -1"):
        make_offline("mine", {"extra": -1})
    config = get_config()
    assert (config.mine.extra, config.online_mine.more) == (1.0, 3)


def test_every_register_function_is_also_a_decorator():
    given = [
        extend.register_offline("a", Config)(build),
        extend.register_online("b", OnlineConfig)(build_online),
        extend.register_dataset("c")(lambda name: None),
        extend.register_score("f")(lambda config: None),
        extend.register_tracker("g")(lambda: None),
    ]
    assert given[:2] == [build, build_online]

    @extend.register_task("d", **RETURNS)
    class D:
        model, reset, observation = map(staticmethod, (hopper.model, hopper.reset, hopper.observation))
        reward, termination = map(staticmethod, (hopper.reward, hopper.termination))

    @extend.register_environment("e", **RETURNS)
    class E: ...

    assert isinstance(D, type)
    assert isinstance(E, type)
    assert {"a"} == set(OFFLINE.added())
    assert {"b"} == set(ONLINE.added())
    assert (registry.SCORES.added(), registry.TRACKERS.added()) == (("f",), ("g",))
    assert (registry.READERS.added(), registry.TASKS.added(), registry.ENVIRONMENTS.added()) == (("c",), ("d",), ("e",))


REGISTER = {
    "an offline algorithm": lambda name: extend.register_offline(name, Config, build),
    "an online algorithm": lambda name: extend.register_online(name, OnlineConfig, build_online),
    "a task": lambda name: extend.register_task(name, hopper, **RETURNS),
    "an environment": lambda name: extend.register_environment(name, lambda: None, **RETURNS),
    "a source of data": lambda name: extend.register_dataset(name, lambda name: None),
    "a score": lambda name: extend.register_score(name, lambda config: None),
    "a tracker": lambda name: extend.register_tracker(name, lambda: None),
}


@pytest.mark.parametrize("kind", REGISTER)
def test_a_taken_name_is_refused_with_its_owner(kind):
    REGISTER[kind]("lab")
    with pytest.raises(RegistrationError) as error:
        REGISTER[kind]("lab")
    assert "'lab' cannot be the name of a new" in str(error.value)
    assert f"test_names.py, line {line_of_lambda(kind)}, has registered {kind} with this name" in str(error.value)


def line_of_lambda(kind: str) -> int:
    return REGISTER[kind].__code__.co_firstlineno


@pytest.mark.parametrize(
    ("kind", "name", "words"),
    [
        ("an offline algorithm", "smac", "smac_jax has an offline algorithm with this name"),
        ("an offline algorithm", "sac", "smac_jax has an online algorithm with this name"),
        ("an offline algorithm", "pretrain", "every configuration has a section with this name"),
        ("an offline algorithm", "online_td3_bc", "sections of online algorithms have such names"),
        ("an online algorithm", "online_mine", "sections of online algorithms have such names"),
        ("an online algorithm", "td3", "smac_jax has an online algorithm with this name"),
        ("a task", "hopper", "smac_jax has a task with this name"),
        ("a task", "kitchen", "smac_jax has a task with reference returns with this name"),
        ("a task", "brax", "smac_jax has an environment with this name"),
        ("a task", "hopper-medium", "the name of the data set hopper-medium-replay begins with it"),
        ("a score", "policy", "smac_jax has a score with this name"),
        ("an environment", "pen-binary", "smac_jax has a task with this name"),
        ("a source of data", "minari", "smac_jax has a source of data with this name"),
        ("a source of data", "hopper-medium-replay", "smac_jax has a data set with this name"),
        ("a source of data", "hopper-medium-v2", "D4RL has a data set with this name"),
        ("an offline algorithm", "my-own", "must consist of letters, digits and underscores"),
        ("a task", "my task", "must consist of letters, digits, and any of"),
        ("a source of data", "a:b", "must consist of letters, digits, and any of"),
        ("an environment", "", "must consist of letters, digits, and any of"),
        ("an environment", None, "None cannot be the name"),
    ],
)
def test_names_that_clash_with_this_package_are_refused(kind, name, words):
    before = [registry._all[i].added() for i in range(len(registry._all))]
    with pytest.raises(RegistrationError) as error:
        REGISTER[kind](name)
    assert words in str(error.value)
    assert [registry._all[i].added() for i in range(len(registry._all))] == before


def test_a_task_and_an_environment_do_not_share_a_name():
    REGISTER["a task"]("lab")
    with pytest.raises(RegistrationError, match="has registered a task with this name"):
        REGISTER["an environment"]("lab")


def test_a_module_that_is_imported_again_may_register_its_names_again(write, monkeypatch):
    text = (
        "from smac_jax.extend import register_dataset\nregister_dataset('lab', lambda name: {value})\n{more}\n"
        "register_dataset('other', lambda name: 2)\n"
    )
    monkeypatch.syspath_prepend(str(write(text.format(value=1, more="raise OSError('half')")).parent))
    with pytest.raises(OSError, match="half"):
        importlib.import_module("my_lab")
    write(text.format(value=3, more=""))
    module = importlib.import_module("my_lab")
    assert registry.READERS["lab"]("") == 3
    write(text.format(value=4, more=""))
    importlib.reload(module)
    assert registry.READERS["lab"]("") == 4
    with pytest.raises(RegistrationError, match=r"my_lab\.py, line 2, has registered"):
        extend.register_dataset("lab", lambda name: 5)


@dataclasses.dataclass
class Changeable:
    x: float = 1.0


@dataclasses.dataclass(frozen=True)
class WithoutDefault:
    x: float


@dataclasses.dataclass(frozen=True)
class WithFunction:
    activation: object = jnp.tanh


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (None, "'mine' has no config"),
        (3, "its config is the int 3, but it must be a class with the decorator"),
        (dict, "its config is the type dict, but it must be a class with the decorator"),
        (Changeable, "must be a class with the decorator @dataclasses.dataclass(frozen=True)"),
        (WithoutDefault, "WithoutDefault.x has no default"),
        (WithFunction, "WithFunction.activation holds a function, which cannot be recorded"),
    ],
)
@pytest.mark.parametrize("register", [extend.register_offline, extend.register_online])
def test_a_config_that_cannot_be_recorded_is_refused(register, config, words):
    with pytest.raises(RegistrationError) as error:
        register("mine", config, build)
    assert words in str(error.value)
    assert "mine" not in OFFLINE
    assert "mine" not in ONLINE


def test_registering_something_other_than_a_function_is_refused():
    with pytest.raises(
        RegistrationError, match="'mine' is registered with the int 3, but needs a function that builds"
    ):
        extend.register_offline("mine", Config, 3)
    with pytest.raises(
        RegistrationError, match="'lab' is registered with the str 'x', but needs a function that reads"
    ):
        extend.register_dataset("lab", "x")
    with pytest.raises(RegistrationError, match="'lab' is registered with the str 'x', but needs a function or class"):
        extend.register_environment("lab", "x", **RETURNS)


@pytest.mark.parametrize("missing", extend.TASK_FUNCTIONS)
def test_a_task_without_one_of_its_functions_is_refused(missing):
    functions = {name: getattr(hopper, name) for name in extend.TASK_FUNCTIONS if name != missing}
    with pytest.raises(
        RegistrationError, match=f"which has no function '{missing}'. It needs: model, reset, observation"
    ):
        extend.register_task("lab", types.SimpleNamespace(**functions), **RETURNS)
    assert "lab" not in smac_jax.tasks.TASKS


def test_reference_returns_are_required_and_must_differ():
    with pytest.raises(RegistrationError, match="'lab' needs random_return and expert_return"):
        extend.register_environment("lab", lambda: None, random_return=1.0)
    with pytest.raises(ConfigError, match=r"random_return and expert_return are both 1"):
        extend.register_task("lab", hopper, random_return=1.0, expert_return=1.0)


class NotAnEnvironment:
    def __init__(self, **options):
        self.options = options

    def reset(self, rng): ...

    observation_size = action_size = 2


def test_an_environment_is_made_with_its_options_and_checked():
    extend.register_environment("lab", NotAnEnvironment, **RETURNS)
    with pytest.raises(
        RegistrationError, match=r"'lab' is of the class NotAnEnvironment, which has no 'step'.*it needs reset, step"
    ):
        make_env("lab")

    class Environment(NotAnEnvironment):
        def step(self, state, action): ...

    extend.register_environment("lab2", Environment, **RETURNS)
    env = make_env("lab2", size=3)
    assert env.options == {"size": 3}
    assert env.smac_jax_identity["options"] == {"size": 3}
    extend.register_environment("labs", lambda name, **options: Environment(name=name, **options), family=True)
    assert make_env("labs:x:y", size=3).options == {"name": "x:y", "size": 3}
    for wrong in ("labs", "lab2:x"):
        with pytest.raises(UnknownNameError, match=f"Unknown environment '{wrong}'.*labs:NAME"):
            make_env(wrong)
    with pytest.raises(ConfigError, match="lab2 does not take physics='mjx'"):
        make_env("lab2", physics="mjx")

    @dataclasses.dataclass
    class Unhashable(Environment):
        x: int = 0

    extend.register_environment("lab3", lambda: Unhashable(), **RETURNS)
    with pytest.raises(RegistrationError, match=r"'lab3' is of the class Unhashable, which cannot be hashed.*eq=False"):
        make_env("lab3")


def test_a_reader_is_known_with_and_without_a_colon(data):
    asked = []

    @extend.register_dataset("lab")
    def read(name: str):
        asked.append(name)
        return data if name != "wrong" else {"observations": []}

    assert smac_jax.load_dataset("lab:a/b:c") is data
    assert smac_jax.load_dataset("lab") is data
    assert smac_jax.load_dataset("part:0.5:lab:x").size < data.size
    assert asked == ["a/b:c", "", "x"]
    with pytest.raises(RegistrationError, match=r"'lab' returned a dict for 'lab:wrong', but it must return a smac"):
        smac_jax.load_dataset("lab:wrong")
    with pytest.raises(smac_jax.data.sources.DatasetError, match="Registered: lab:NAME"):
        smac_jax.load_dataset("nowhere")


@pytest.mark.parametrize("missing", ["init", "training", "actions", "evaluate"])
def test_a_score_without_one_of_its_functions_is_refused(missing):
    functions = dict.fromkeys({"init", "training", "actions", "evaluate"} - {missing}, print)
    extend.register_score("lab", lambda config: types.SimpleNamespace(**functions))
    with pytest.raises(
        RegistrationError, match=f"'lab' is of the class SimpleNamespace, which has no '{missing}'. It ne"
    ):
        make_offline("smac", {"score": "lab"})
    with pytest.raises(ConfigError, match=r"SMACConfig\.score = 'lap': must be one of 'dataset', 'policy', 'lab'"):
        make_offline("smac", {"score": "lap"})


class Broken:
    """Makes algorithms with one wrong part."""

    def __init__(self, **changes):
        self.__dict__.update(build(Config())._asdict() | changes)
        for name in [name for name, value in changes.items() if value == "missing"]:
            del self.__dict__[name]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"name": "other"}, "is registered as 'mine' builds one with name = 'other'"),
        ({"phases": "missing"}, "has no field 'phases'. It needs: name, config, phases, init"),
        ({"init": "missing"}, "'mine' has no function 'init'"),
        ({"prepare": 3}, "'mine': prepare must be a function, and is 3"),
        ({"phases": ()}, "'mine' has no phases"),
        ({"phases": (3,)}, "'mine', a phase of it, has no field 'name'"),
        ({"config": None}, "'mine' has no config, so what ran could not be recorded"),
        ({"config": {"x": 1}}, "its config is a dict, which cannot be recorded"),
        ({"config": Changeable()}, "its config Changeable can be changed after it was recorded"),
        ({"config": WithFunction()}, "WithFunction.activation holds a function"),
    ],
)
def test_an_invalid_algorithm_object_is_refused_with_the_reason(changes, words):
    extend.register_offline("mine", Config, lambda config: Broken(**changes))
    with pytest.raises(RegistrationError) as error:
        make_offline("mine")
    assert words in str(error.value)


def test_the_main_phase_is_the_last():
    phase = build(Config()).phases[0]
    for phases in ((phase._replace(num_updates=3),), (phase, phase), (phase, phase._replace(num_updates=3))):
        with pytest.raises(RegistrationError, match="num_updates must be None in the last of its phases"):
            make_offline(build(Config())._replace(phases=phases))
    assert make_offline(build(Config())._replace(phases=(phase._replace(num_updates=3), phase)))
