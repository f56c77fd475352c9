"""Actor-critics are equal after saving and loading. Damaged checkpoints are refused."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest

from smac_jax.algorithms.actor_critic import ActorCritic, NetworkConfig, new_actor_critic
from smac_jax.errors import CheckpointError
from smac_jax.networks.critic import ensemble_values
from smac_jax.runs.checkpoint import load_actor_critic, save_actor_critic

NETWORK = NetworkConfig(
    actor_hidden=(4, 5),
    actor_activation="tanh",
    initial_std=0.3,
    critic_hidden=(6,),
    critic_layer_norm=True,
    num_critics=3,
)
OBSERVATION = jnp.array([[0.5, -2.0, 3.0], [1.0, 1.0, -1.0]])


def make(network: NetworkConfig = NETWORK) -> ActorCritic:
    mean, std = jnp.array([1.0, 2.0, 3.0]), jnp.array([0.5, 1.0, 2.0])
    return new_actor_critic(network, jax.random.key(0), mean, std, action_size=2)


@pytest.fixture(scope="module")
def actor_critic() -> ActorCritic:
    """Returns an actor-critic whose targets differ from the critics, so that confusing them is detected."""
    made = jax.jit(make)()
    return made.replace(target_critic_params=jax.tree.map(lambda x: x + 1.0, made.critic_params))  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def other() -> ActorCritic:
    """Returns an actor-critic with other shapes, whose parameters are all 0.5."""
    shapes = jax.eval_shape(lambda: make(NetworkConfig(actor_hidden=(3,), critic_hidden=(2, 2), num_critics=1)))
    return jax.tree.map(lambda shape: jnp.asarray(np.full(shape.shape, 0.5, shape.dtype)), shapes)


@pytest.fixture(scope="module")
def saved(actor_critic, tmp_path_factory) -> Path:
    """Saves a checkpoint. Tests must copy it before changes."""
    folder = tmp_path_factory.mktemp("checkpoints") / "made" / "on the way"
    save_actor_critic(folder, actor_critic)
    return folder


@pytest.fixture
def copy(saved, tmp_path) -> Path:
    return Path(shutil.copytree(saved, tmp_path / "copy"))


def assert_equal(a: ActorCritic, b: ActorCritic) -> None:
    """Asserts that networks, structure, types and all numbers are equal."""
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        assert isinstance(x, jax.Array)
        assert x.dtype == y.dtype
        np.testing.assert_array_equal(x, y)


def test_a_loaded_actor_critic_equals_the_saved_one(actor_critic, saved):
    loaded = load_actor_critic(saved)
    assert_equal(loaded, actor_critic)
    assert (loaded.actor, loaded.critic) == (actor_critic.actor, actor_critic.critic)


def test_policy_and_critics_compute_the_same_after_loading(actor_critic, saved):
    loaded, action = load_actor_critic(saved), jnp.array([[0.1, -0.2], [0.9, 0.0]])
    for got, want in zip(loaded.policy(OBSERVATION), actor_critic.policy(OBSERVATION), strict=True):
        np.testing.assert_array_equal(got, want)
    for params in ("critic_params", "target_critic_params"):
        got, want = (ensemble_values(x.critic, getattr(x, params), OBSERVATION, action) for x in (loaded, actor_critic))
        np.testing.assert_array_equal(got, want)
        assert got.shape == (3, 2)


def test_a_seed_axis_is_kept(actor_critic, tmp_path):
    seeds = jax.tree.map(lambda x: jnp.stack([x, 2 * x]), actor_critic)
    save_actor_critic(tmp_path, seeds)
    assert_equal(load_actor_critic(tmp_path), seeds)


def test_saving_again_replaces_the_checkpoint(copy, other):
    save_actor_critic(copy, other)
    assert_equal(load_actor_critic(copy), other)


def test_a_checkpoint_does_not_name_devices(saved):
    # orbax notes devices in this file, and refuses arrays of devices that the loading machine does not have
    assert list(saved.rglob("_sharding")) == []


def test_an_interrupted_save_is_not_a_checkpoint(copy, other, monkeypatch):
    def fail(*args, **kwargs):
        raise OSError("No space left on device")

    monkeypatch.setattr(ocp.Checkpointer, "save", fail)
    with pytest.raises(OSError, match="No space"):
        save_actor_critic(copy, other)
    with pytest.raises(CheckpointError, match=r"networks\.json"):
        load_actor_critic(copy)


def test_a_missing_checkpoint_is_refused_with_its_path(tmp_path):
    with pytest.raises(CheckpointError, match="absent: no actor-critic can be read here"):
        load_actor_critic(tmp_path / "absent")
    with pytest.raises(CheckpointError, match=str(tmp_path)):
        load_actor_critic(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "text", ["", "null", "[]", "{}", '{"actor": 3, "critic": {}}', '{"actor": {"color": "red"}, "critic": {}}', "{"]
)
def test_other_descriptions_of_networks_are_refused(copy, text):
    (copy / "networks.json").write_text(text)
    with pytest.raises(CheckpointError, match="copy: no actor-critic"):
        load_actor_critic(copy)


@pytest.mark.parametrize(
    ("network", "field", "value", "message"),
    [
        ("actor", "hidden", [4, 6], r"actor_params.* has shape .*5.*, but the networks need .*6"),
        ("actor", "hidden", [4], "actor_params.*, but the networks need"),
        ("actor", "action_size", 3, "actor_params.*, but the networks need"),
        ("actor", "activation", "rexu", "rexu"),
        ("critic", "hidden", [7], r"critic_params.* has shape .*6.*, but the networks need .*7"),
        ("critic", "layer_norm", False, "critic_params.*, but the networks need None"),
    ],
)
def test_networks_with_other_shapes_than_the_arrays_are_refused(copy, network, field, value, message):
    described = json.loads((copy / "networks.json").read_text())
    described[network][field] = value
    (copy / "networks.json").write_text(json.dumps(described))
    with pytest.raises(CheckpointError, match=message):
        load_actor_critic(copy)


@pytest.mark.parametrize("damage", ["absent", "empty", "half", "a bit flipped"])
def test_damaged_arrays_are_refused(copy, damage):
    (file,) = (copy / "arrays").glob("*.npz")
    content = bytearray(file.read_bytes())
    if damage == "a bit flipped":
        with zipfile.ZipFile(file) as archive:
            largest = max(archive.infolist(), key=lambda entry: entry.file_size)
        # the damage is in the numbers, because a zip file has redundant parts that are never read
        content[largest.header_offset + largest.file_size // 2 + 100] ^= 1
        file.write_bytes(content)
    elif damage == "absent":
        file.unlink()
    else:
        file.write_bytes(content[: len(content) // 2] if damage == "half" else b"")
    with pytest.raises(CheckpointError, match="copy: no actor-critic"):
        load_actor_critic(copy)


@pytest.mark.parametrize(("temperature", "want"), [(None, None), (jnp.nan, None), (0.25, 0.25)])
def test_an_unknown_temperature_is_none(tmp_path, actor_critic, temperature, want):
    known = None if temperature is None else jnp.asarray(temperature, jnp.float32)  # earlier versions wrote NaN
    save_actor_critic(tmp_path, actor_critic.replace(temperature=known))
    found = load_actor_critic(tmp_path).temperature
    assert found is None if want is None else float(found) == want
