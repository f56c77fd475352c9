"""Every preset builds every algorithm, and those of the paper have the numbers in its tables."""

import importlib

import pytest

from smac_jax.algorithms import OFFLINE, ONLINE, make_offline, make_online
from smac_jax.errors import ConfigError
from smac_jax.presets import base

FAMILIES = ("locomotion", "adroit", "kitchen")
NAMES = (
    "base",
    "quickstart",
    "transfer_study",
    "ours",
    "wsrl_base",
    "antmaze",
    "rebrac",
    "fql",
    "qc",
    "rlpd",
    "wsrl",
    *FAMILIES,
)

# SMAC, tables 6-8, written a second time from method.md, section 4
PAPER = {
    "locomotion": {"critic": (512,) * 3, "actor": (512,) * 3, "kappa": 40, "updates": 250_000, "td3_bc": 5, "awr": 0.4},
    "adroit": {"critic": (512,) * 4, "actor": (256,) * 3, "kappa": 40, "updates": 200_000, "td3_bc": 0.2, "awr": 20},
    "kitchen": {"critic": (512,) * 4, "actor": (512,) * 3, "kappa": 50, "updates": 400_000, "td3_bc": 2, "awr": 5},
}
IQL = {
    "locomotion": ((256,) * 2, (256,) * 2, 0.9, 1.0),
    "adroit": ((256,) * 3, (512,) * 3, 0.7, 0.5),
    "kitchen": ((512,) * 3, (512,) * 3, 0.7, 0.5),
}


def get_config(name: str, *variant: str):
    package = "experiments.configs" if name == "transfer_study" else "smac_jax.presets"
    return importlib.import_module(f"{package}.{name}").get_config(*variant)


@pytest.mark.parametrize("name", NAMES)
def test_every_algorithm_is_built_from_its_section(name):
    config = get_config(name)
    for algorithm in OFFLINE:
        make_offline(algorithm, config[algorithm])
    for algorithm in ONLINE:
        make_online(algorithm, config[base.online_section(algorithm)])
    assert config.pretrain.num_updates > 0
    assert config.finetune.num_steps > 0


@pytest.mark.parametrize("name", FAMILIES)
def test_the_presets_have_the_numbers_of_the_paper(name):
    config, paper = get_config(name), PAPER[name]
    smac = make_offline("smac", config.smac).config
    assert (smac.network.critic_hidden, smac.network.actor_hidden) == (paper["critic"], paper["actor"])
    assert (smac.network.num_critics, smac.network.critic_activation) == (10, "tanh")
    assert (smac.kappa, smac.batch_size, smac.optimizer) == (paper["kappa"], 64, "muon")
    assert (smac.critic_learning_rate, smac.actor_learning_rate, smac.alpha_learning_rate) == (3e-4, 1e-4, 1e-4)
    assert (smac.alpha_hidden, smac.polyak, smac.discount) == ((256, 256), 0.005, 0.99)
    assert config.pretrain.num_updates == paper["updates"]
    assert config.finetune.to_dict() == {
        "num_steps": 200_000,
        "warm_start": 5_000,
        "data_fraction": 0.5,
        "final_data_fraction": None,
        "data_fraction_steps": None,
        "environments": 1,
        "carry": "all",
        "eval_every": 5_000,
        "eval_episodes": 20,
        "final_episodes": 20,
    }
    assert all(config[section].batch_size == 1024 for section in ("sac", "td3", "online_td3_bc", "awr"))
    assert config.sac.target_entropy_scale == -10
    assert (config.online_td3_bc.alpha, config.awr.temperature) == (paper["td3_bc"], paper["awr"])
    iql = make_offline("iql", config.iql).config
    assert (iql.network.critic_hidden, iql.network.actor_hidden, iql.expectile, iql.beta) == IQL[name]
    assert iql.value_hidden == iql.network.critic_hidden


@pytest.mark.parametrize("name", FAMILIES)
def test_the_literal_variant_follows_the_text_of_the_paper(name):
    config = get_config(name, "literal").smac
    assert (config.score_sign, config.alpha_parameterization) == ("literal", "free")
    assert config.temperature_learning_rate > 0 == get_config(name).smac.temperature_learning_rate
    with pytest.raises(ConfigError, match="litteral"):
        get_config(name, "litteral")


@pytest.mark.parametrize(("name", "scale", "bias"), [("locomotion", 1, 0), ("adroit", 10, 5), ("kitchen", 1, -4)])
def test_all_algorithms_learn_from_the_same_reward(name, scale, bias):
    config = get_config(name)
    assert {(config[a].reward_scale, config[a].reward_bias) for a in OFFLINE} == {(scale, bias)}


def test_antmaze_has_the_published_settings():
    config = get_config("antmaze")
    assert (config.iql.expectile, config.iql.beta, config.iql.reward_scale, config.iql.reward_bias) == (0.9, 10, 1, -1)
    found = config.cal_ql
    assert (found.reward_scale, found.reward_bias, found.min_q_weight) == (10, -5, 5)
    assert found.network.critic_hidden == (256, 256, 256, 256)
    assert (config.smac.reward_scale, config.smac.reward_bias) == (1, -1)
    assert (config.rebrac.reward_scale, config.rebrac.reward_bias, config.rebrac.discount) == (100, 0, 0.999)
    assert (config.fql.reward_scale, config.fql.reward_bias, config.fql.alpha) == (1, -1, 10)


def test_rebracs_published_settings():
    found = get_config("rebrac", "walker2d-random-v2").rebrac
    assert (found.actor_bc_coef, found.critic_bc_coef) == (0.01, 0.0)
    assert (found.batch_size, found.actor_learning_rate, found.critic_learning_rate) == (1024, 1e-3, 1e-3)
    found = get_config("rebrac", "antmaze-large-play-v2").rebrac
    assert (found.actor_bc_coef, found.critic_bc_coef, found.discount) == (0.002, 0.001, 0.999)
    assert (found.batch_size, found.actor_learning_rate, found.critic_learning_rate) == (256, 3e-4, 5e-5)
    assert (found.reward_scale, found.network.critic_layer_norm, found.network.actor_layer_norm) == (100, True, False)
    with pytest.raises(ConfigError, match=r"no settings for 'hopper'\. It has: antmaze-large-diverse-v2"):
        get_config("rebrac", "hopper")


def test_fqls_published_settings():
    found = get_config("fql", "antmaze-giant-navigate")
    assert (found.fql.alpha, found.fql.discount, found.fql.backup_aggregation) == (10, 0.995, "min")
    assert found.pretrain.num_updates == 1_000_000
    found = get_config("fql", "door-cloned-v1")
    assert (found.fql.alpha, found.fql.discount, found.fql.backup_aggregation) == (30_000, 0.99, "min")
    assert found.pretrain.num_updates == 500_000
    assert (found.fql.flow_steps, found.fql.network.actor_hidden) == (10, (512,) * 4)
    with pytest.raises(ConfigError, match=r"no settings for 'hopper'\. It has: antmaze-large-navigate"):
        get_config("fql", "hopper")


def test_the_discount_of_q_chunking_is_that_of_a_chunk():
    config = get_config("qc")
    assert (config.fql.alpha, config.fql.backup_aggregation, config.offline, config.online) == (
        100,
        "mean",
        ("fql",),
        ("same",),
    )
    assert config.fql.discount == config.bc.discount == config.td3.discount == pytest.approx(0.951, abs=1e-5)
    assert (config.finetune.num_steps, config.finetune.warm_start) == (200_000, 1_000)
    assert get_config("qc", "10").fql.discount == pytest.approx(0.90438, abs=1e-5)
    with pytest.raises(ConfigError, match="The preset qc has no variant 'ten': it takes the length"):
        get_config("qc", "ten")


def test_rlpd_has_the_published_numbers():
    """The numbers are those of ``configs/rlpd_config.py`` and the README of RLPD's code, for locomotion and Adroit."""
    for variant, hidden, entropy in (("", (256, 256), True), ("adroit", (256, 256, 256), False)):
        config = get_config("rlpd", variant)
        network = make_offline("none", config.none).config.network
        assert (network.actor_hidden, network.critic_hidden) == (hidden, hidden)
        assert (network.num_critics, network.critic_layer_norm, network.actor_layer_norm) == (10, True, False)
        rlpd = make_online("rlpd", config.rlpd).config
        assert (rlpd.batch_size, rlpd.utd, rlpd.discount, rlpd.polyak) == (5120, 20, 0.99, 0.005)
        assert {rlpd.critic_learning_rate, rlpd.actor_learning_rate, rlpd.temperature_learning_rate} == {3e-4}
        assert (rlpd.initial_temperature, rlpd.target_entropy_scale, rlpd.entropy_backup) == (1.0, -0.5, entropy)
        assert (config.finetune.data_fraction, config.finetune.warm_start) == (0.5, 5_000)
        assert (config.offline, config.online) == (("none",), ("rlpd",))
    with pytest.raises(ConfigError, match="no variant 'antmaze'"):
        get_config("rlpd", "antmaze")


def test_wsrl_has_the_published_numbers():
    """The numbers are those of the scripts and configurations of WSRL's code for locomotion."""
    config = get_config("wsrl")
    sac = make_online("sac", config.sac).config
    assert (sac.batch_size, sac.utd, sac.target_entropy_scale) == (1024, 4, -1.0)
    assert (config.finetune.data_fraction, config.finetune.warm_start, config.finetune.num_steps) == (
        0.0,
        5_000,
        500_000,
    )
    for name in ("cal_ql", "cql"):
        offline = make_offline(name, config[name]).config
        assert (offline.batch_size, offline.min_q_weight, offline.max_target_backup) == (256, 5.0, True)
        # a transferred state must have the same form in both algorithms
        for field in ("temperature_parameterization", "temperature_learning_rate", "optimizer", "discount"):
            assert getattr(offline, field) == getattr(sac, field)
    scratch = get_config("wsrl", "scratch")
    assert (scratch.offline, scratch.none.network.to_dict()) == (("none",), config.cal_ql.network.to_dict())
    assert (scratch.sac.temperature_start, scratch.sac.optimizer_start) == ("config", "fresh")
    with pytest.raises(ConfigError, match="no variant 'sratch'"):
        get_config("wsrl", "sratch")
