"""The recorded configuration is the one that runs, and the algorithm reads each of its fields."""

from __future__ import annotations

import dataclasses
import importlib
import json
from functools import partial
from types import MethodType
from typing import Any

import jax
import jax.numpy as jnp
import pytest
from small_algorithms import smac_case, small

import smac_jax
from smac_jax import registry
from smac_jax.algorithms import OFFLINE, ONLINE, make_offline, make_online, sac, smac
from smac_jax.algorithms.alpha import alpha_of
from smac_jax.config import resolve
from smac_jax.errors import ConfigError
from smac_jax.extend import register_online
from smac_jax.presets import base
from smac_jax.presets.bases import ADDITIONS, DIFFERENCES
from smac_jax.runs.folder import RunFolder
from smac_jax.runs.json_values import to_json
from smac_jax.sweep.grid import variants
from smac_jax.types import Transition

PRESETS = [
    *(
        (name, "")
        for name in (
            "base",
            "quickstart",
            "transfer_study",
            "locomotion",
            "adroit",
            "kitchen",
            "antmaze",
            "rebrac",
            "fql",
            "qc",
            "ours",
            "wsrl_base",
        )
    ),
    *((name, "literal") for name in ("locomotion", "adroit", "kitchen")),
    ("rebrac", "antmaze-large-play-v2"),
    ("fql", "antmaze-giant-navigate"),
    *((name, "paper") for name in ("ours", "wsrl_base")),
    *(("ours", f"+{what}") for what in (*DIFFERENCES, *ADDITIONS)),
    *(("wsrl_base", f"-{what}") for what in DIFFERENCES),
]


def preset(name: str, variant: str):
    package = "experiments.configs" if name == "transfer_study" else "smac_jax.presets"
    get_config = importlib.import_module(f"{package}.{name}").get_config
    return get_config(variant) if variant else get_config()


def running(function: Any, found: list[Any] | None = None) -> list[Any]:
    """Adds the configurations in a function's partial arguments, closures and scores to ``found``."""
    found = [] if found is None else found
    if hasattr(function, "evaluate"):  # a score
        running(function.config, found)
    elif dataclasses.is_dataclass(function) and not isinstance(function, type):
        found.append(function)
    elif isinstance(function, MethodType):
        running(function.__self__, found)
    elif isinstance(function, partial):
        for inner in (function.func, *function.args, *function.keywords.values()):
            running(inner, found)
    else:
        for cell in getattr(function, "__closure__", None) or ():
            running(cell.cell_contents, found)
    return found


def functions(built: Any) -> list[Any]:
    """Returns all functions of an algorithm."""
    updates = [phase.update for phase in getattr(built, "phases", ())]
    return [*updates, *(getattr(built, name, None) for name in ("init", "update", "diagnostics", "training_state"))]


@pytest.mark.parametrize(("name", "variant"), PRESETS, ids="".join)
def test_the_recorded_configuration_is_the_running_one(name, variant):
    config = preset(name, variant)
    recorded = base.as_run(config, list(OFFLINE), list(ONLINE))
    for registered, build, phase in ((OFFLINE, make_offline, "pretrain"), (ONLINE, make_online, "finetune")):
        for algorithm in registered:
            section = base.online_section(algorithm) if phase == "finetune" else algorithm
            built: Any = build(algorithm, config[section])
            runs = [c for f in functions(built) for c in running(f)]
            assert runs
            assert all(c == built.config for c in runs), algorithm
            (block,) = variants(config, {}, algorithm, algorithm, section, phase)
            for written in (recorded[section], block.config, to_json(built.config)):
                assert to_json(written) == to_json(built.config), algorithm
            # building from the record gives the same configuration
            assert build(algorithm, json.loads(json.dumps(to_json(built.config)))).config == built.config


@pytest.mark.parametrize(
    ("given", "runs"),
    [
        ({}, "softplus"),
        ({"score": "policy"}, "temperature"),
        ({"score": "policy", "alpha_parameterization": "auto"}, "temperature"),
        ({"score": "policy", "alpha_parameterization": "fixed"}, "fixed"),
        ({"alpha_parameterization": "temperature"}, "temperature"),
    ],
    ids=str,
)
def test_alpha_is_recorded_as_it_runs(tmp_path, data, given, runs):
    config = {**small("smac"), **given, "initial_temperature": 0.3, "alpha_value": 0.7}
    with RunFolder(tmp_path) as folder:
        result = smac_jax.pretrain("smac", data, 1, 2, config, folder=folder, progress=False)
    recorded = json.loads((tmp_path / "identity.json").read_text())["config"]
    assert recorded == to_json(result.algorithm.config)
    assert recorded["alpha_parameterization"] == result.algorithm.config.alpha_parameterization == runs
    alpha = result.metrics["alpha"][-1]
    if runs != "softplus":
        assert alpha == pytest.approx({"temperature": 0.3, "fixed": 0.7}[runs], rel=1e-3)
    else:
        assert alpha > 0.1


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"score": "policy", "alpha_parameterization": "softplus"}, "alpha_parameterization = 'softplus': with score"),
        ({"score": "policy", "alpha_parameterization": "free"}, "alpha_parameterization = 'free': with score"),
        (
            {"score": "policy", "network": {"distribution": "box_gaussian"}},
            "network.distribution = 'box_gaussian': score = 'pol",
        ),
    ],
    ids=str,
)
def test_options_that_contradict_the_policy_score_are_refused(given, words):
    with pytest.raises(ConfigError) as error:
        make_offline("smac", given)
    assert words in str(error.value)


def test_a_sweep_over_scores_records_the_alpha_of_each():
    made = variants(preset("base", ""), {"smac.score": ["dataset", "policy"]}, "smac", "smac", "smac", "pretrain")
    assert [v.config["alpha_parameterization"] for v in made] == ["softplus", "temperature"]
    runs = [make_offline("smac", v.config).config.alpha_parameterization for v in made]
    assert runs == ["softplus", "temperature"]


def test_the_data_score_works_with_a_policy_without_tanh():
    assert (
        make_offline("smac", {"network": {"distribution": "box_gaussian"}}).config.network.distribution
        == "box_gaussian"
    )


def watched(config: Any, name: str, read: set[str]) -> Any:
    """Returns the same configuration, which records the fields that are read."""
    fields = {f.name for f in dataclasses.fields(config)}

    class Watched(type(config)):  # type: ignore[misc]
        def __getattribute__(self, field):
            value = object.__getattribute__(self, field)
            if field in fields:
                read.add(f"{name}{field}")
                if dataclasses.is_dataclass(value):
                    return watched(value, f"{name}{field}.", read)
            return value

    copy = object.__new__(Watched)
    for field in fields:
        object.__setattr__(copy, field, getattr(config, field))
    return copy


def all_fields(config: Any, name: str = "") -> set[str]:
    found = set()
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        found |= {f"{name}{field.name}"}
        if dataclasses.is_dataclass(value):
            found |= all_fields(value, f"{name}{field.name}.")
    return found


# Settings with which fields are read that are not read by default.
SETTINGS: dict[str, list[dict[str, Any]]] = {
    "smac": [
        {"alpha_parameterization": "fixed"},
        {"score": "policy"},
        {"kappa_adaptation": "residual"},
        {"kappa_adaptation": "decay"},
        {"kappa_adaptation": "gradient_ratio", "return_span": 1.0},
    ],
    "cql": [{"max_target_backup": True, "return_span": 1.0}],
    "cal_ql": [{"max_target_backup": False, "return_span": 1.0}],
    **{name: [{"return_span": 1.0}] for name in ("td3_bc", "rebrac", "fql", "iql", "awac", "bc", "none")},
    "online rlpd": [{"optimizer_start": "carried"}, {"waiting_optimizers": "coast"}],
    "online sac": [{"optimizer_start": "carried"}, {"utd": 2, "waiting_optimizers": "coast"}],
}


def read_by(name: str, online: bool, given: dict[str, Any], data: smac_jax.Dataset) -> set[str]:
    """Returns the fields that building, initializing and one update of each phase read."""
    config_class, build = (ONLINE if online else OFFLINE)[name]
    sizes = {"batch_size": 16} if online else small(name)
    sizes |= {"utd": 2} if name == "rlpd" else {}
    read: set[str] = set()
    built: Any = build(watched(resolve(config_class, {**sizes, **given}), "", read))
    prepared = data if online else built.prepare(data)  # on the host
    key, batch = jax.random.key(0), prepared.sample(jax.random.key(1), 16)

    def everything(key: Any, batch: Transition) -> Any:
        if not online:
            state = built.init(key, prepared)
            for phase in built.phases:
                state, _ = phase.update(state, batch, key)
            acted = None
            if built.continue_online is not None:  # some fields are of the exploration online
                acted = built.continue_online(built).act(state, batch.observation[0], key)
            return acted, built.diagnostics(state, batch, key), built.actor_critic(state), built.training_state(state)
        off = make_offline("smac", small("smac"))
        begun = off.init(key, data)
        state = built.init(key, off.actor_critic(begun), off.training_state(begun))
        return built.update(state, batch, key), built.act(state, batch.observation[0], key)

    jax.eval_shape(everything, key, batch)
    return read


@pytest.mark.parametrize(
    ("name", "online"), [*((name, False) for name in OFFLINE), *((name, True) for name in ONLINE)], ids=str
)
def test_every_field_of_a_configuration_is_read_by_its_algorithm(name, online, data):
    config_class, _ = (ONLINE if online else OFFLINE)[name]
    read = set()
    for given in [{}, *SETTINGS.get(f"online {name}" if online else name, [])]:
        read |= read_by(name, online, given, data)
    assert all_fields(config_class()) - read == set()


def test_the_check_finds_a_field_that_is_not_read(data):
    @dataclasses.dataclass(frozen=True)
    class WithMore(sac.SACConfig):
        unused: float = 1.0

    with registry.temporary():
        register_online("with_more", WithMore, sac.sac)
        assert "unused" in all_fields(WithMore()) - read_by("with_more", True, {}, data)


def test_automatic_alpha_is_resolved_when_a_configuration_is_made():
    assert smac.SMACConfig().alpha_parameterization == "softplus"
    config, _, state = smac_case(score="policy")
    assert config.alpha_parameterization == "temperature"
    assert jnp.allclose(alpha_of(config, state.alpha.params, jnp.zeros((3, 2)), jnp.float32(0.1)), 0.1)
