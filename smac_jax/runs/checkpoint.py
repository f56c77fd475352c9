"""Checkpoints of actor-critics: arrays in orbax's format, the networks as JSON, and the policy for deployment."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from flax.traverse_util import flatten_dict, unflatten_dict

from smac_jax.algorithms.actor_critic import ActorCritic
from smac_jax.algorithms.own_networks import action_size
from smac_jax.deploy.policy import NumpyPolicy, computes
from smac_jax.deploy.policy_file import POLICY_FILE, write_policy
from smac_jax.errors import CheckpointError
from smac_jax.files import local_path, write_json
from smac_jax.runs.arrays_handler import ArraysHandler, ArraysRestore, ArraysSave, single_process_options
from smac_jax.runs.modules import describe_networks, rebuild_networks

ARRAYS = (
    "actor_params",
    "critic_params",
    "target_critic_params",
    "observation_mean",
    "observation_std",
    "reward_scale",
    "reward_bias",
    "temperature",
)


def save_actor_critic(folder: Path, actor_critic: ActorCritic, seeds: Sequence[int] | None = None) -> None:
    """Writes ``folder/arrays`` (orbax), ``policy.npz`` and ``networks.json``; an existing checkpoint is replaced.

    ``networks.json`` is written last, so that an interrupted save does not count as a checkpoint. ``policy.npz`` is the
    policy for :func:`smac_jax.load`, which does not need JAX. It is not written for a user's own actor, which NumPy
    cannot compute.

    Args:
      folder: the folder of the checkpoint, which is created if it does not exist.
      actor_critic: an actor-critic, or several stacked along a leading seed axis.
      seeds: the numbers of the seeds; default: from 0.

    Raises:
      CheckpointError: the number of seeds is not that of the actor-critic.
      ConfigError: as for :func:`describe_networks`.
    """
    folder, networks = local_path(folder).absolute(), describe_networks(actor_critic)
    policy = NumpyPolicy.of(actor_critic, seeds) if computes(actor_critic.actor) else None
    folder.mkdir(parents=True, exist_ok=True)
    # as NumPy arrays: for JAX's arrays, orbax records the device and requires it when they are restored
    known = {name: getattr(actor_critic, name) for name in ARRAYS if getattr(actor_critic, name) is not None}
    tree = jax.tree.map(np.asarray, known)
    arrays = flatten_dict(tree, sep="/")
    for name in ("networks.json", POLICY_FILE):
        (folder / name).unlink(missing_ok=True)
    with ocp.Checkpointer(ArraysHandler(), multiprocessing_options=single_process_options()) as checkpointer:
        checkpointer.save(folder / "arrays", args=ArraysSave(arrays), force=True)
    if policy is not None:
        write_policy(folder / POLICY_FILE, policy)
    write_json(
        folder / "networks.json",
        {**networks, "arrays": {name: [x.dtype.name, x.shape] for name, x in arrays.items()}},
    )


def load_actor_critic(folder: Path) -> ActorCritic:
    """Reads a checkpoint of :func:`save_actor_critic`.

    The module of a user's own network must have been imported.

    Raises:
      CheckpointError: there is no checkpoint, it is damaged, its arrays do not fit its networks, or the module of a
        network has not been imported.
    """
    folder = local_path(folder).absolute()
    try:
        described = json.loads((folder / "networks.json").read_text(encoding="utf-8"))
        networks = rebuild_networks(described, str(folder))
        like = {name: jax.ShapeDtypeStruct(shape, dtype) for name, (dtype, shape) in described["arrays"].items()}
        with ocp.Checkpointer(ArraysHandler(), multiprocessing_options=single_process_options()) as checkpointer:
            arrays = checkpointer.restore(folder / "arrays", args=ArraysRestore(like))
        tree: dict[str, Any] = {"temperature": None, **unflatten_dict(arrays, sep="/")}
        if tree["temperature"] is not None and np.isnan(tree["temperature"]).all():
            tree["temperature"] = None  # earlier versions wrote NaN for an unknown temperature
        loaded = ActorCritic(**jax.tree.map(jnp.asarray, tree), **networks)
        _check_fit(loaded)
    except Exception as error:  # any: the errors of orbax and Flax depend on the damage
        raise CheckpointError(f"{folder}: no actor-critic can be read here ({error}).") from error
    return loaded


def seeds_of(folder: Path) -> list[int] | None:
    """Returns the numbers of the seeds of an actor-critic, from the run that contains it; None if not recorded."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        return list(json.loads((folder.absolute().parent / "identity.json").read_text(encoding="utf-8"))["seeds"])
    return None


def is_evaluated_with_draws(folder: Path) -> bool:
    """Returns whether the evaluations of the run that contains an actor-critic act with samples of the policy."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        identity = json.loads((folder.absolute().parent / "identity.json").read_text(encoding="utf-8"))
        return identity["evaluation"]["draws"] is True
    return False


def _check_fit(found: ActorCritic) -> None:
    """Compares the shapes of the parameters with those of the networks, without initializing parameters.

    Raises:
      ValueError: the shapes differ.
    """
    *seeds, observation_size = found.observation_mean.shape
    observation, action = jnp.zeros(observation_size, jnp.float32), jnp.zeros(action_size(found), jnp.float32)
    members = jax.tree.leaves(found.critic_params)[0].shape[: len(seeds) + 1]
    key = jax.random.key(0)
    actor = _shapes(jax.eval_shape(found.actor.init, key, observation), tuple(seeds))
    critic = _shapes(jax.eval_shape(found.critic.init, key, observation, action), members)
    for name, expected in {
        "actor_params": actor,
        "critic_params": critic,
        "target_critic_params": critic,
        "observation_std": {"": found.observation_mean.shape},
        **{name: {"": tuple(seeds)} for name in ("reward_scale", "reward_bias")},
        "temperature": {} if found.temperature is None else {"": tuple(seeds)},
    }.items():
        shapes = _shapes(getattr(found, name))
        if shapes != expected:
            wrong = sorted(path for path in shapes.keys() | expected.keys() if shapes.get(path) != expected.get(path))
            raise ValueError(
                f"{name}{wrong[0]} has shape {shapes.get(wrong[0])}, but the networks need {expected.get(wrong[0])}"
            )


def _shapes(tree: Any, leading: tuple[int, ...] = ()) -> dict[str, tuple[int, ...]]:
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path): (*leading, *leaf.shape) for path, leaf in leaves}
