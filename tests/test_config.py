"""Configurations refuse unknown fields and invalid values by name."""

from __future__ import annotations

import dataclasses
import json
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

import smac_jax
from smac_jax.algorithms import OFFLINE, ONLINE, make_offline, make_online
from smac_jax.algorithms.actor_critic import NetworkConfig, new_actor_critic
from smac_jax.algorithms.smac import SMACConfig
from smac_jax.analysis.curves import TransferCurve
from smac_jax.config import resolve, whole_number
from smac_jax.data import replay
from smac_jax.data.readers.d4rl import infer_timeouts, write_d4rl
from smac_jax.envs import make_env
from smac_jax.errors import ConfigError, UnknownNameError
from smac_jax.runs.checkpoint import load_actor_critic, save_actor_critic

ONES = jnp.zeros(3), jnp.ones(3)


def test_none_gives_the_defaults_and_an_instance_is_returned():
    assert resolve(SMACConfig) == SMACConfig()
    changed = SMACConfig(kappa=3.0)
    assert resolve(SMACConfig, changed) == changed


def test_a_nested_mapping_keeps_the_defaults_of_its_owner():
    config = resolve(SMACConfig, {"network": {"num_critics": 7}})
    assert config.network.num_critics == 7
    assert config.network.critic_activation == "tanh"  # the default of SMAC, not that of NetworkConfig
    assert resolve(SMACConfig, ConfigDict({"network": {"actor_hidden": [4, 4]}})).network.actor_hidden == (4, 4)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"kapa": 1.0}, "SMACConfig has no field 'kapa'"),
        ({"kappa": -1.0}, "SMACConfig.kappa = -1.0: must be in [0, inf]"),
        ({"kappa": float("nan")}, "SMACConfig.kappa = nan"),
        ({"batch_size": 1.5}, "SMACConfig.batch_size = 1.5: must be a whole number"),
        ({"score": "gaussian"}, "must be one of 'dataset', 'policy'"),
        ({"entropy_backup": 1}, "SMACConfig.entropy_backup = 1: must be True or False"),
        ({"network": {"critic_hidden": ()}}, "NetworkConfig.critic_hidden = (): must be a non-empty sequence"),
        ({"network": {"width": 3}}, "NetworkConfig has no field 'width'"),
        ({"network": 3}, "network: expected a mapping of fields, got int"),
        ("fast", "SMACConfig: expected a mapping of fields, got str"),
        ({"score_level": 40}, "SMACConfig.score_level = 40: must be below score_model.diffusion_steps = 32"),
    ],
)
def test_invalid_fields_are_refused_by_name(given, words):
    with pytest.raises(ConfigError) as error:
        make_offline("smac", given)
    assert words in str(error.value)


def test_unknown_algorithms_and_indivisible_batches_are_refused():
    with pytest.raises(
        UnknownNameError,
        match=r"Unknown offline algorithm 'sac'\. Known: awac, bc, cal_ql, cql, fql, iql, none, rebrac, smac, td3_bc",
    ):
        make_offline("sac")
    with pytest.raises(UnknownNameError, match="Unknown online algorithm 'smac'"):
        make_online("smac")
    with pytest.raises(ConfigError, match="must be a multiple of utd = 3"):
        make_online("sac", {"batch_size": 256, "utd": 3})


def test_every_registered_default_is_valid():
    for config_class, build in [*OFFLINE.values(), *ONLINE.values()]:
        built = build(resolve(config_class, dataclasses.asdict(config_class())))
        assert built.config == config_class()


NUMBERS = [
    (np.float32(5), 5.0),
    (np.float64(5), 5.0),
    (np.float16(5), 5.0),
    (np.int64(5), 5.0),
    (np.array(5.0), 5.0),
    (jnp.float32(5), 5.0),
    (jnp.bfloat16(5), 5.0),
    (Fraction(5), 5.0),
    (5, 5.0),
]


@pytest.mark.parametrize(("given", "want"), NUMBERS, ids=repr)
def test_every_kind_of_number_becomes_one_of_python(given, want):
    config = resolve(SMACConfig, {"kappa": given, "batch_size": given, "network": {"actor_hidden": [given, given]}})
    assert (config.kappa, config.batch_size, config.network.actor_hidden) == (want, 5, (5, 5))
    kinds = {type(config.kappa), type(config.batch_size), *map(type, config.network.actor_hidden)}
    assert kinds == {float, int}
    assert type(config.kappa) is float
    assert resolve(SMACConfig, SMACConfig(kappa=given)) == resolve(SMACConfig, {"kappa": want})


@pytest.mark.parametrize("given", [np.array([8, 4]), (8.0, np.int64(4)), jnp.array([8, 4]), [8, 4], range(8, 3, -4)])
def test_layer_widths_may_be_an_array_and_become_a_tuple(given):
    network = resolve(SMACConfig, {"network": {"critic_hidden": given}}).network
    assert network.critic_hidden == (8, 4)
    assert all(type(width) is int for width in network.critic_hidden)


def test_numpy_bools_and_strings_are_accepted():
    config = resolve(SMACConfig, {"entropy_backup": np.bool_(True), "score": np.str_("policy")})
    assert config.entropy_backup is True
    assert type(config.score) is str
    assert resolve(SMACConfig, {"entropy_backup": jnp.array(False)}).entropy_backup is False


@pytest.mark.parametrize(
    "field",
    [
        (section, f.name)
        for section in (*OFFLINE, *ONLINE)
        for f in dataclasses.fields({**OFFLINE, **ONLINE}[section][0])
    ],
    ids="-".join,
)
def test_every_field_of_every_algorithm_accepts_numpys_type_of_its_default(field):
    section, name = field
    config_class, _ = {**OFFLINE, **ONLINE}[section]
    default = getattr(config_class(), name)
    if isinstance(default, bool):
        given = np.bool_(default)
    elif isinstance(default, int):
        given = np.int32(default)
    elif isinstance(default, float):
        given = np.float64(default)
    elif isinstance(default, tuple):
        given = np.array(default)
    elif isinstance(default, str):
        given = np.str_(default)
    else:
        given = {f.name: getattr(default, f.name) for f in dataclasses.fields(default)}
    got = resolve(config_class, {name: given})
    assert got == config_class()
    assert type(getattr(got, name)) is type(default)
    json.dumps(dataclasses.asdict(got))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"batch_size": float("inf")}, "batch_size = inf: must be a whole number"),
        ({"batch_size": float("nan")}, "batch_size = nan: must be a whole number"),
        ({"batch_size": True}, "batch_size = True: must be a whole number"),
        ({"batch_size": np.bool_(True)}, "must be a whole number"),
        ({"batch_size": np.array([64])}, "batch_size = array([64]): must be a whole number"),
        ({"batch_size": np.float32(1.5)}, "must be a whole number"),
        ({"batch_size": "64"}, "batch_size = '64': must be a whole number"),
        ({"batch_size": None}, "batch_size = None: must be a whole number"),
        ({"batch_size": np.int64(0)}, "must be at least 1"),
        ({"batch_size": 1 + 0j}, "must be a whole number"),
        ({"batch_size": np.timedelta64(5, "s")}, "must be a whole number"),
        ({"kappa": np.datetime64("2020-01-01")}, "must be a number"),
        ({"kappa": 10**400}, "must be a number"),
        ({"kappa": np.float32("nan")}, "must be in [0, inf]"),
        ({"entropy_backup": np.int64(1)}, "must be True or False"),
        ({"entropy_backup": np.array([True])}, "must be True or False"),
        ({"score": np.array(["policy"])}, "must be one of 'dataset', 'policy'"),
        ({"network": {"actor_hidden": 64}}, "must be a non-empty sequence"),
        ({"network": {"actor_hidden": "64"}}, "must be a non-empty sequence"),
        ({"network": {"actor_hidden": np.array(64)}}, "must be a non-empty sequence"),
        ({"network": {"actor_hidden": {64}}}, "must be a non-empty sequence"),
        ({"network": {"actor_hidden": (64.5,)}}, "must be a non-empty sequence"),
        ({"network": {"actor_hidden": np.array([[8, 4]])}}, "must be a non-empty sequence"),
    ],
)
def test_values_that_are_not_numbers_are_refused(given, words):
    with pytest.raises(ConfigError) as error:
        resolve(SMACConfig, given)
    assert words in str(error.value)


def test_a_traced_number_is_refused_by_name():
    with pytest.raises(ConfigError, match=r"count = .*: must be a whole number"):
        jax.jit(lambda n: whole_number("count", n))(3)


ENGINE = {"mujoco": "threads", "mjx": "iterations"}


@pytest.mark.parametrize("physics", ENGINE)
def test_options_of_engines_accept_numpy_numbers(physics):
    make_env("hopper", physics=physics, **{ENGINE[physics]: np.int64(2)})
    for bad in (0, 1.5, True, "2"):
        with pytest.raises(ConfigError, match=ENGINE[physics]):
            make_env("hopper", physics=physics, **{ENGINE[physics]: bad})


def test_options_of_environments_accept_numpy_values():
    assert not make_env("hopper", physics="mujoco", native=np.bool_(False))._engine.native
    with pytest.raises(ConfigError, match="native = 0: must be True or False"):
        make_env("hopper", physics="mujoco", native=0)
    env = make_env("gymnasium:Pendulum-v1", episode_length=np.int64(7), instances=np.float32(2))
    assert (env.episode_length, type(env.episode_length)) == (7, int)
    for name in ("episode_length", "instances"):
        with pytest.raises(ConfigError, match=f"gymnasium:Pendulum-v1: {name} = 1.7: must be a whole number"):
            make_env("gymnasium:Pendulum-v1", **{name: 1.7})


def test_functions_of_data_and_policies_accept_numpy_values(tmp_path, data):
    assert data.part(np.float32(0.5), seed=np.int64(1)).size == data.part(0.5, seed=1).size
    with pytest.raises(ConfigError, match="must be a number"):
        data.part("half")
    write_d4rl(tmp_path / "d.hdf5", data, compression=np.int64(1))
    assert infer_timeouts(np.zeros(4, bool), np.int64(2)).tolist() == [False, True, False, True]
    buffer = replay.init(np.int64(4), np.int32(3), 2.0)
    assert buffer.storage.action.shape == (4, 2)
    ac = jax.vmap(lambda key: new_actor_critic(NetworkConfig(actor_hidden=(np.int64(4),)), key, *ONES, 2))(
        jax.random.split(jax.random.key(0), 2)
    )
    save_actor_critic(tmp_path / "ac", ac, np.array([3, 5]))
    assert load_actor_critic(tmp_path / "ac").actor.hidden == (4,)
    for seed in (np.int64(5), 5.0, np.array(5)):
        assert smac_jax.load(tmp_path / "ac", seed=seed).seeds == 5
    smac_jax.export(ac, tmp_path / "p.stablehlo", seed=np.int64(1), batch=np.int32(2), sample=np.bool_(False))
    with pytest.raises(ConfigError, match=r"batch = 1\.5: must be a whole number"):
        smac_jax.export(ac, tmp_path / "p.stablehlo", batch=1.5)
    curve = TransferCurve("hopper", "a", "b", [], np.zeros((1, 0)), [0, 5], [[1, 2]], np.int64(3), seeds=np.arange(1))
    curve.to_json(tmp_path / "curve.json")
    assert TransferCurve.from_json(tmp_path / "curve.json").warm_start == 3
