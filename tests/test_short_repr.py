"""Objects with arrays print on a few lines, without their numbers."""

from __future__ import annotations

import dataclasses

import jax
import numpy as np
import pytest

import smac_jax
from smac_jax.algorithms import OFFLINE, ONLINE, make_offline, make_online
from smac_jax.algorithms.smac import SMACConfig
from smac_jax.analysis.curves import TransferCurve
from smac_jax.data import replay
from smac_jax.runs.checkpoint import save_actor_critic
from smac_jax.runs.history import Evaluations
from smac_jax.short_repr import of_config
from smac_jax.train.online import FinetuneResult

SMALL = {"network": {"actor_hidden": (4,), "critic_hidden": (4,)}, "batch_size": 8}


@pytest.fixture(scope="module")
def off(data):
    return smac_jax.pretrain("td3_bc", data, [0, 3], 2, SMALL, progress=False)


def result(off, **changes) -> FinetuneResult:
    fields = {
        "algorithm": make_online("sac", {"utd": 2}),
        "actor_critic": off.actor_critic,
        "metrics": {"step": np.array([3, 7])},
        "evaluations": Evaluations(
            np.array([0, 7]), (np.array([[1.0], [5.0]]), np.array([[3.0, 4.0], [7.0, 8.0]])), {}, 2
        ),
        "seeds": (0, 3),
        "buffer": replay.init(9, 11, 3),
        "diverged": np.array([-1, 5]),
    }
    return FinetuneResult(**(fields | changes))


def test_results_print_their_last_evaluation(off):
    assert repr(off) == "PretrainResult(td3_bc, seeds [0, 3], 2 updates, 0 evaluations)"
    assert repr(result(off)) == (
        "FinetuneResult(sac, seeds [0, 3], 7 steps, 2 evaluations, last return 5.5, diverged: seeds [3])"
    )
    nothing = result(
        off,
        metrics={"step": np.zeros(0, int)},
        evaluations=Evaluations(np.zeros(0, int), (), {}, 2),
        diverged=np.array([-1, -1]),
    )
    assert repr(nothing) == "FinetuneResult(sac, seeds [0, 3], 0 steps, 0 evaluations)"


def test_a_data_set_prints_on_one_line(data):
    assert repr(data) == "Dataset('unnamed', task='hopper', 500 transitions, observations 11, actions 3)"
    seen = []
    jax.jit(lambda d: seen.append(repr(d)) or d.rewards)(data)
    assert seen == [repr(data)]
    assert "Dataset" in repr(jax.tree.map(np.shape, data))
    assert "Dataset" in repr(jax.tree.map(lambda x: None, data))


@pytest.mark.parametrize("what", ["actor_critic", "training_state", "state", "algorithm", "returns of"])
def test_the_parts_of_a_result_print_shortly(off, data, what, tmp_path):
    save_actor_critic(tmp_path, off.actor_critic, off.seeds)
    held = {
        "returns of": TransferCurve("hopper", "a", "b", [], np.zeros((1, 0)), [0, 5], [[1, 2]]),
        "policy": smac_jax.load(tmp_path),
        "buffer": replay.init(500, 11, 3),
    }
    for thing in [held[what]] if what in held else [getattr(off, what)]:
        text = repr(thing)
        assert len(text) < 600, text
        assert "\n" not in text
        assert "array(" not in text.lower()
    for thing in held.values():
        assert len(repr(thing)) < 120


@pytest.mark.parametrize("name", OFFLINE)
def test_states_print_shapes(name, data):
    built = make_offline(name, SMALL if name != "none" else {"network": SMALL["network"]})
    state = jax.jit(built.init)(jax.random.key(0), built.prepare(data))
    assert "float32[" in repr(state)
    assert len(repr(state)) < 1200
    assert repr(jax.tree.map(lambda x: x.shape, state))


def test_algorithms_print_fields_that_differ_from_their_defaults():
    assert repr(make_offline("smac")) == "OfflineAlgorithm('smac')"
    assert repr(make_online("sac", {"utd": 2})) == "OnlineAlgorithm('sac', utd=2)"
    assert all(repr(make_online(name)) == f"OnlineAlgorithm({name!r})" for name in ONLINE)
    config = dataclasses.replace(SMACConfig(), kappa=2.0)
    assert of_config(config) == "kappa=2.0"
    assert of_config(make_offline("smac", {"network": {"num_critics": 2}}).config) == "network.num_critics=2"
