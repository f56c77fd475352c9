"""Configurations refuse what they do not know, by name."""

from __future__ import annotations

import dataclasses

import pytest
from ml_collections import ConfigDict

from smac_jax.algorithms import OFFLINE, ONLINE, make_offline, make_online
from smac_jax.algorithms.smac import SMACConfig
from smac_jax.config import resolve
from smac_jax.errors import ConfigError, UnknownNameError


def test_nothing_gives_the_defaults_and_an_instance_itself():
    assert resolve(SMACConfig) == SMACConfig()
    changed = SMACConfig(kappa=3.0)
    assert resolve(SMACConfig, changed) == changed


def test_a_nested_mapping_keeps_what_its_owner_sets_differently():
    config = resolve(SMACConfig, {"network": {"num_critics": 7}})
    assert config.network.num_critics == 7
    assert config.network.critic_activation == "tanh"  # SMAC's own default, not NetworkConfig's
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
def test_what_is_wrong_is_named(given, words):
    with pytest.raises(ConfigError) as error:
        make_offline("smac", given)
    assert words in str(error.value)


def test_unknown_algorithms_and_indivisible_batches_are_refused():
    with pytest.raises(
        UnknownNameError, match=r"Unknown offline algorithm 'sac'\. Known: awac, bc, cal_ql, cql, iql, smac, td3_bc"
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
