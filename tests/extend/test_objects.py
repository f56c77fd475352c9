"""Algorithm objects in place of names: training, records, and errors."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
import json
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

import smac_jax
from smac_jax import extend, plugins
from smac_jax.algorithms import bc, make_offline, make_online, td3
from smac_jax.algorithms.make import code_behind
from smac_jax.errors import CheckpointError, ConfigError, RegistrationError
from smac_jax.runs.folder import RunFolder

SMALL = {"network": {"actor_hidden": (4,), "critic_hidden": (4,)}, "batch_size": 8}
OWN = """
import dataclasses
from smac_jax.algorithms import bc


@dataclasses.dataclass(frozen=True)
class Config(bc.BCConfig):
    strength: float = 1.0


def own(config):
    return bc.bc(config)._replace(name="own", diagnostics=lambda state, batch, key: {"strength": config.strength})
"""


def pretrain(algorithm, data, **more):
    return smac_jax.pretrain(algorithm, data, 1, 4, progress=False, **more)


def same(a, b) -> bool:
    return all(np.array_equal(x, y) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))


@pytest.fixture
def own(write):
    """Imports a user's module with an algorithm that is not registered."""
    plugins.load([str(write(OWN))])
    return sys.modules["my_lab"]


def test_an_algorithm_object_trains_as_its_name_does_and_resumes_its_run(data, tmp_path):
    by_name = pretrain("bc", data, config=SMALL)
    with RunFolder(tmp_path) as folder:
        by_itself = pretrain(make_offline("bc", SMALL), data, folder=folder)
    assert same(by_name.actor_critic, by_itself.actor_critic)
    with RunFolder(tmp_path) as folder:
        assert same(pretrain("bc", data, config=SMALL, folder=folder).actor_critic, by_name.actor_critic)
    assert "code" not in json.loads((tmp_path / "identity.json").read_text())

    env, size = smac_jax.make_env("hopper"), {"eval_episodes": 1, "episode_length": 5, "progress": False}
    given = (by_name.actor_critic, env, data, 1, 3)
    named = smac_jax.finetune("td3", *given, {"batch_size": 8}, warm_start=2, **size)
    itself = smac_jax.finetune(make_online("td3", {"batch_size": 8}), *given, warm_start=2, **size)
    assert same(named.actor_critic, itself.actor_critic)


def test_an_algorithm_object_is_recorded_with_name_config_and_checksum(own, data, tmp_path):
    built = own.own(own.Config(**SMALL_CONFIG, strength=2.0))
    with RunFolder(tmp_path / "run") as folder:
        result = pretrain(built, data, folder=folder)
    assert (result.metrics["strength"] == 2.0).all()
    identity = json.loads((tmp_path / "run" / "identity.json").read_text())
    sha256 = hashlib.sha256(Path(own.__file__).read_bytes()).hexdigest()
    assert (identity["algorithm"], identity["config"]["strength"]) == ("own", 2.0)
    assert identity["code"] == {"my_lab.py": sha256}


SMALL_CONFIG = {"network": extend.NetworkConfig(actor_hidden=(4,), critic_hidden=(4,)), "batch_size": 8}


def test_a_run_is_not_resumed_with_a_changed_file(own, write, data, tmp_path):
    with RunFolder(tmp_path / "run") as folder:
        pretrain(own.own(own.Config(**SMALL_CONFIG)), data, folder=folder)
    write(OWN + "\n# another thought\n")
    changed = importlib.reload(own)
    with (
        RunFolder(tmp_path / "run") as folder,
        pytest.raises(CheckpointError, match=r"holds another run: code\.my_lab\.py = "),
    ):
        pretrain(changed.own(changed.Config(**SMALL_CONFIG)), data, folder=folder)


def test_a_config_without_defaults_can_be_printed_and_recorded(data, tmp_path):
    built = make_offline("bc", SMALL)._replace(config=WithoutDefault(3))
    assert repr(built) == "OfflineAlgorithm('bc', x=3)"
    with RunFolder(tmp_path) as folder:
        pretrain(built, data, folder=folder)
    assert json.loads((tmp_path / "identity.json").read_text())["config"] == {"x": 3}


@dataclasses.dataclass(frozen=True)
class WithoutDefault:
    x: int


def test_a_config_beside_an_algorithm_is_refused(data):
    with pytest.raises(ConfigError, match="config goes with the name of an algorithm"):
        pretrain(make_offline("bc", SMALL), data, config={"batch_size": 16})
    with pytest.raises(ConfigError, match="config goes with the name of an algorithm"):
        make_online(make_online("td3"), {})


@dataclasses.dataclass(frozen=True)
class Holder:
    function: object = print


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (None, "'bc' has no config, so what ran could not be recorded. Give it a frozen dataclass of its hyper-param"),
        ({"a": 1}, "its config is a dict, which cannot be recorded field by field"),
        (bc.BCConfig, "its config is a type, which cannot be recorded"),
        (Holder(), "Holder.function holds a function, which cannot be recorded"),
        (Holder((1, {"a": {2}})), "Holder.function[1]['a'] holds a value of the type set"),
    ],
)
def test_an_algorithm_whose_config_cannot_be_recorded_is_refused(config, words, data):
    with pytest.raises(RegistrationError) as error:
        pretrain(make_offline("bc", SMALL)._replace(config=config), data)
    assert words in str(error.value)
    with pytest.raises(RegistrationError) as error:
        make_online(make_online("td3")._replace(config=config))
    assert words.replace("'bc'", "'td3'") in str(error.value)


@pytest.mark.parametrize(
    ("algorithm", "words"),
    [
        (3, "This offline algorithm (3) has no field 'name'"),
        (lambda: None, "has no field 'name'. It needs: name, config, phases"),
        (td3.td3(td3.TD3Config()), "The offline algorithm 'td3' has no field 'phases'"),
    ],
)
def test_an_object_that_is_not_an_algorithm_is_refused(algorithm, words, data):
    with pytest.raises(RegistrationError) as error:
        pretrain(algorithm, data)
    assert words in str(error.value)


def test_a_state_without_an_actor_critic_is_refused_before_training(data):
    with pytest.raises(RegistrationError, match="'bc': its function actor_critic gives a dict, and must give"):
        pretrain(make_offline("bc", SMALL)._replace(actor_critic=lambda state: {"actor": 1}), data)


def test_algorithms_of_this_package_have_no_users_files(own):
    assert code_behind(make_offline("smac")) == code_behind(make_online("sac")) == {}
    extend.register_offline("own", own.Config, own.own)
    assert list(code_behind(make_offline("own"))) == ["my_lab.py", "test_objects.py"]
