"""Flax modules of users as actor and critic train, are saved, loaded and exported, or are refused with a reason."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

import smac_jax
from smac_jax.algorithms import awac, make_offline
from smac_jax.algorithms.actor_critic import NetworkConfig
from smac_jax.algorithms.own_networks import action_size
from smac_jax.algorithms.pretraining import actor_critic_for
from smac_jax.config import resolve
from smac_jax.deploy.policy import NumpyPolicy
from smac_jax.errors import CheckpointError, ConfigError, RegistrationError
from smac_jax.extend import new_learner, with_networks
from smac_jax.networks import BoxGaussian, TanhGaussian
from smac_jax.runs.checkpoint import load_actor_critic, save_actor_critic
from smac_jax.runs.folder import RunFolder
from smac_jax.runs.modules import describe, rebuild

ROOT = Path(__file__).parents[2]


class Residual(nn.Module):
    width: int
    activation: Callable = nn.tanh

    @nn.compact
    def __call__(self, x):
        return x + nn.Dense(self.width)(self.activation(x))


class OwnActor(nn.Module):
    """An actor without any of the fields of :class:`smac_jax.networks.Actor`."""

    actions: int
    block: Residual = Residual(8)
    dtype: Any = jnp.float32
    more: Any = dataclasses.field(default_factory=lambda: {"gain": 2.0, "layers": (1, 2)})
    clip: Callable = lambda x: jnp.clip(x, -5.0, 2.0)

    @nn.compact
    def __call__(self, observation):
        x = self.block(nn.Dense(8, dtype=self.dtype)(observation))
        log_std = self.param("log_std", nn.initializers.zeros, (self.actions,))
        mean = self.more["gain"] * nn.Dense(self.actions)(x)
        return TanhGaussian(mean, jnp.broadcast_to(self.clip(log_std), mean.shape))


class OwnCritic(nn.Module):
    width: int = 8

    @nn.compact
    def __call__(self, observation, action):
        x = nn.Dense(self.width)(observation) + nn.Dense(self.width)(action)
        return nn.Dense(1)(nn.tanh(x))[..., 0]


class Uniform(NamedTuple):
    """A distribution of a user."""

    center: Any

    def mode(self):
        return self.center

    def sample(self, key):
        return jnp.clip(self.center + jax.random.uniform(key, self.center.shape, minval=-0.1, maxval=0.1), -1, 1)

    def sample_and_log_prob(self, key):
        return self.sample(key), jnp.zeros(self.center.shape[:-1])

    def log_prob(self, action):
        return jnp.zeros(self.center.shape[:-1])


class UniformActor(nn.Module):
    actions: int

    @nn.compact
    def __call__(self, observation):
        return Uniform(jnp.tanh(nn.Dense(self.actions)(observation)))


def with_own(actor: nn.Module | None = None, critic: nn.Module | None = None):
    """Returns AWAC with a user's networks."""
    actor, critic = actor or OwnActor(3), critic or OwnCritic()
    config = resolve(awac.AWACConfig, {"network": {"actor_hidden": (4,), "critic_hidden": (4,)}, "batch_size": 8})

    def init(key, dataset):
        networks = with_networks(actor_critic_for(config, key, dataset), key, actor=actor, critic=critic)
        return new_learner(config, networks)

    return awac.awac(config)._replace(init=init)


@pytest.fixture(scope="module")
def off(data):
    return smac_jax.pretrain(with_own(), data, [4, 7], 5, progress=False)


@pytest.fixture(scope="module")
def run(off, tmp_path_factory):
    """Returns the folder of a run with its trained networks."""
    folder = tmp_path_factory.mktemp("run")
    save_actor_critic(folder / "actor_critic", off.actor_critic, off.seeds)
    (folder / "identity.json").write_text(json.dumps({"seeds": [4, 7]}))
    return folder


OBSERVATIONS = jnp.asarray(np.random.default_rng(0).normal(size=(5, 11)), jnp.float32)


def of_seed(actor_critic, i: int):
    return jax.tree.map(lambda x: x[i], actor_critic)


def test_both_phases_train_own_networks(off, data):
    first = make_offline("td3_bc").init  # another algorithm with networks of this package
    assert type(jax.eval_shape(first, jax.random.key(0), data).actor_critic.actor).__name__ == "Actor"
    assert isinstance(off.actor_critic.actor, OwnActor)
    assert action_size(off.actor_critic) == action_size(of_seed(off.actor_critic, 0)) == 3
    start = jax.jit(with_own().init)(jax.random.key(0), data).actor_critic
    assert jax.tree.leaves(start.critic_params)[0].shape[0] == 2
    on = smac_jax.finetune(
        "sac",
        off.actor_critic,
        smac_jax.make_env("hopper"),
        data,
        [4, 7],
        4,
        {"batch_size": 8},
        warm_start=2,
        eval_episodes=1,
        episode_length=5,
        progress=False,
    )
    before, after = jax.tree.leaves(off.actor_critic.actor_params), jax.tree.leaves(on.actor_critic.actor_params)
    assert all((x != y).any() for x, y in zip(before, after, strict=True) if x.size > 12)
    assert np.isfinite(on.returns).all()
    assert "OwnActor" in repr(on.actor_critic)
    assert "OwnCritic" in repr(on.actor_critic)


def test_a_loaded_actor_critic_equals_the_saved_one(off, run):
    loaded = load_actor_critic(run / "actor_critic")
    assert jax.tree.structure(loaded) == jax.tree.structure(off.actor_critic)
    assert loaded.critic == off.actor_critic.critic
    for x, y in zip(jax.tree.leaves(loaded), jax.tree.leaves(off.actor_critic), strict=True):
        np.testing.assert_array_equal(x, y)
    got, want = (of_seed(x, 1).policy(OBSERVATIONS).mode() for x in (loaded, off.actor_critic))
    np.testing.assert_array_equal(got, want)
    described = json.loads((run / "actor_critic" / "networks.json").read_text())
    assert described["actor"]["class"] == "test_own_networks:OwnActor"
    assert list(described["actor"]["code"]) == ["test_own_networks.py"]
    assert not (run / "actor_critic" / "policy.npz").exists()


def test_the_error_about_an_unknown_network_says_what_to_import(run):
    code = (
        "import sys\nfrom pathlib import Path\nfrom smac_jax.runs.checkpoint import load_actor_critic\n"
        "load_actor_critic(Path(sys.argv[1]))"
    )
    command = [sys.executable, "-c", code, str(run / "actor_critic")]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120).stderr.splitlines()[-1]
    assert "its network is the class OwnActor of test_own_networks, which is not imported" in said
    assert "give --import=tests/extend/test_own_networks.py, or in Python `import test_own_networks` before" in said


def test_stablehlo_equals_the_users_network(off, run, tmp_path):
    path = tmp_path / "policy.stablehlo"
    policy = smac_jax.export(load_actor_critic(run / "actor_critic"), path, seed=1)
    assert (policy.seeds, policy.observation_size, policy.action_size) == (1, 11, 3)
    got = jax.jit(jax.export.deserialize(path.read_bytes()).call)(OBSERVATIONS)
    np.testing.assert_allclose(got, of_seed(off.actor_critic, 1).policy(OBSERVATIONS).mode(), rtol=1e-5, atol=1e-6)
    smac_jax.export(off.actor_critic, path, seed="all", batch=5, sample=True)
    noise = np.random.default_rng(1).normal(size=(5, 3)).astype(np.float32)
    got = jax.export.deserialize(path.read_bytes()).call(OBSERVATIONS, noise)
    for i in range(2):
        policy = of_seed(off.actor_critic, i).policy(OBSERVATIONS)
        want = np.tanh(policy.mean + np.exp(policy.log_std) * noise)
        np.testing.assert_allclose(got[i], want, rtol=1e-5, atol=1e-6)


def test_the_command_line_exports_and_evaluates_a_users_network(off, run, tmp_path):
    path, module = tmp_path / "policy.stablehlo", f"--import={Path(__file__).relative_to(ROOT)}"
    command = [sys.executable, "-m", "smac_jax"]

    def said(*arguments: str, code: int = 0) -> str:
        done = subprocess.run([*command, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=300)
        assert done.returncode == code, done.stderr
        return done.stdout + done.stderr

    assert "seed 7" in said("export", module, str(run), f"--out={path}", "--seed=7")
    got = jax.jit(jax.export.deserialize(path.read_bytes()).call)(OBSERVATIONS)
    np.testing.assert_allclose(got, of_seed(off.actor_critic, 1).policy(OBSERVATIONS).mode(), rtol=1e-5, atol=1e-6)
    refused = said("export", module, str(run), "--out=policy.onnx", code=2)
    assert "error: to = 'onnx': the policy's network is test_own_networks.OwnActor, a user's own Flax module" in refused
    assert "which is not imported: give" in said("export", str(run), f"--out={path}", code=2)
    assert "seed 1: " in said("evaluate", module, str(run), "--env=hopper", "--episodes=1")


def test_samples_of_a_users_actor_need_a_known_distribution(data, tmp_path):
    class BoxActor(nn.Module):
        @nn.compact
        def __call__(self, observation):
            mean = jnp.tanh(nn.Dense(3)(observation))
            return BoxGaussian(mean, jnp.zeros_like(mean))

    for actor in (BoxActor(), UniformActor(3)):
        actor_critic = jax.jit(with_own(actor).init)(jax.random.key(0), data).actor_critic
        path = tmp_path / "policy.stablehlo"
        smac_jax.export(actor_critic, path)
        got = jax.export.deserialize(path.read_bytes()).call(OBSERVATIONS)
        np.testing.assert_allclose(got, actor_critic.policy(OBSERVATIONS).mode(), rtol=1e-5, atol=1e-6)
        if isinstance(actor, UniformActor):
            with pytest.raises(ConfigError, match="sample: the policy is a Uniform, a user's own distribution"):
                smac_jax.export(actor_critic, path, sample=True)
        else:
            smac_jax.export(actor_critic, path, sample=True)
            got = jax.export.deserialize(path.read_bytes()).call(OBSERVATIONS, np.full((5, 3), 0.1, np.float32))
            mean = actor_critic.policy(OBSERVATIONS).mean
            np.testing.assert_allclose(got, np.clip(mean + 0.1, -1, 1), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("to", ["npz", "onnx"])
def test_unsupported_formats_are_refused_before_reading(to, off, run, tmp_path):
    for source in (run, run / "actor_critic", off.actor_critic):
        with pytest.raises(
            ConfigError, match=rf"to = '{to}': the policy's network is .*OwnActor, a user's own Flax module"
        ):
            smac_jax.export(source, tmp_path / "out", to)
        assert not (tmp_path / "out").exists()


def test_acting_in_numpy_is_refused_with_the_reason(off, run):
    with pytest.raises(CheckpointError, match=r"test_own_networks\.OwnActor, a user's own Flax module, which only JAX"):
        smac_jax.load(run)
    with pytest.raises(ConfigError, match=r"NumPy cannot act: the policy's network is test_own_networks\.OwnActor"):
        NumpyPolicy.of(off.actor_critic)


@pytest.mark.parametrize(("seed", "words"), [(2, "seed = 2: must be one of 0, 1, or 'all'"), ("x", "seed = 'x'")])
def test_unknown_seeds_of_a_users_network_are_refused(seed, words, off, tmp_path):
    with pytest.raises(ConfigError, match=words):
        smac_jax.export(off.actor_critic, tmp_path / "policy.stablehlo", seed=seed)


def test_the_error_about_a_path_says_how_to_load_it(run, tmp_path):
    with pytest.raises(ConfigError, match=r"Give the actor-critic from smac_jax\.runs\.checkpoint\.load_actor_critic"):
        smac_jax.export(run, tmp_path / "policy.stablehlo")


def test_parameters_with_nan_or_infinity_are_refused(off, tmp_path):
    broken = off.actor_critic.replace(
        actor_params=jax.tree.map(lambda x: x.at[0].set(jnp.nan), off.actor_critic.actor_params)
    )
    with pytest.raises(CheckpointError, match="of seed 0 is not finite"):
        smac_jax.export(broken, tmp_path / "policy.stablehlo", seed=0)
    smac_jax.export(broken, tmp_path / "policy.stablehlo", seed=1)


def test_a_network_that_cannot_be_saved_is_refused_before_it_is_trained(data, tmp_path):
    class Inside(OwnActor):
        pass

    for actor, words in (
        (Inside(3), "The network .*Inside cannot be saved: it is defined inside a function"),
        (OwnActor(3, clip=lambda x: x), r"field OwnActor\.clip cannot be saved: it holds <function"),
        (OwnActor(3, block=Residual(8, lambda x: x)), r"field Residual\.activation cannot be saved"),
    ):
        with RunFolder(tmp_path) as folder, pytest.raises(ConfigError, match=words):
            smac_jax.pretrain(with_own(actor), data, 1, 4, progress=False, folder=folder)
        assert not (tmp_path / "identity.json").exists()


def test_fields_of_networks_are_equal_after_writing_and_reading():
    for module in (
        OwnActor(3),
        OwnActor(3, Residual(4, nn.relu), jnp.bfloat16, {"gain": 1.0, "layers": (3,)}),
        OwnActor(2, Residual(4, jnp.sin), np.dtype("float16")),
        OwnActor(2, clip=jnp.tanh),
        OwnCritic(3),
    ):
        again = rebuild(json.loads(json.dumps(describe(module))))
        assert again == module
        assert type(again) is type(module)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"class": "os:system"}, "os:system is not a flax.linen.Module"),
        (
            {"class": "not_imported:Actor"},
            "the class Actor of not_imported, which is not imported: give --import=n",
        ),
        ({"class": "test_own_networks:Nothing"}, "the class Nothing of test_own_networks, which is not imported"),
        ({"fields": {"actions": 3, "clip": {"function": "os:system"}}}, "uses the function system of os"),
        ({"fields": {"color": 3}}, "color"),
    ],
)
def test_a_file_can_only_make_networks_of_imported_modules(change, words, run, tmp_path):
    copy = Path(shutil.copytree(run / "actor_critic", tmp_path / "copy"))
    described = json.loads((copy / "networks.json").read_text())
    described["actor"] = described["actor"] | {"file": None} | change
    (copy / "networks.json").write_text(json.dumps(described))
    with pytest.raises(CheckpointError, match="copy: no actor-critic can be read here") as error:
        load_actor_critic(copy)
    assert words in str(error.value)


def test_a_changed_network_class_causes_a_warning(run, tmp_path):
    described = json.loads((run / "actor_critic" / "networks.json").read_text())
    copy = Path(shutil.copytree(run / "actor_critic", tmp_path / "copy"))
    described["critic"]["code"] = {"test_own_networks.py": "another"}
    (copy / "networks.json").write_text(json.dumps(described))
    with pytest.warns(UserWarning, match=r"test_own_networks\.py, which defines the critic, has changed"):
        load_actor_critic(copy)


class NoPolicy(nn.Module):
    @nn.compact
    def __call__(self, observation):
        return nn.Dense(3)(observation)


class WrongShape(nn.Module):
    @nn.compact
    def __call__(self, observation, action=None):
        x = nn.Dense(4)(observation)
        return x if action is not None else TanhGaussian(x, x)


@pytest.mark.parametrize(
    ("networks", "words"),
    [
        ({"actor": 3}, "The actor is a int, but it must be a flax.linen.Module"),
        ({"critic": jnp.tanh}, "must be a flax.linen.Module"),
        (
            {"actor": NoPolicy()},
            "The actor NoPolicy returns a .*, which has no function 'mode'. A policy needs: mode, sample",
        ),
        ({"actor": WrongShape()}, r"The actor WrongShape returns actions of shape \(2, 3, 4\) .* must be \(2, 3, 3\)"),
        ({"critic": WrongShape()}, r"The critic WrongShape returns \(2, 3, 4\) .* return a value for each: \(2, 3\)"),
        ({"critic": OwnCritic(), "num_critics": 0}, "num_critics = 0: must be at least 1"),
    ],
)
def test_modules_with_another_signature_are_refused(networks, words, data):
    config = make_offline("td3_bc", {"network": dataclasses.asdict(NetworkConfig(actor_hidden=(4,)))}).config
    start = actor_critic_for(config, jax.random.key(0), data)
    with pytest.raises((RegistrationError, ConfigError), match=words):
        with_networks(start, jax.random.key(0), **networks)


def test_the_number_of_critics_can_be_chosen(data):
    start = actor_critic_for(make_offline("td3_bc").config, jax.random.key(0), data)
    made = with_networks(start, jax.random.key(0), critic=OwnCritic(), num_critics=3)
    assert {x.shape[0] for x in jax.tree.leaves((made.critic_params, made.target_critic_params))} == {3}
    assert made.actor is start.actor
    members = jax.tree.leaves(made.critic_params)
    assert all((x[0] != x[1]).any() for x in members if x.ndim > 2)
