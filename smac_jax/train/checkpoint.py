"""Actor-critics on disk: arrays by orbax, the networks' shapes beside them as JSON."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import orbax.checkpoint as ocp

from smac_jax.algorithms.base import ActorCritic
from smac_jax.errors import SmacError
from smac_jax.networks import Actor, Critic

ARRAYS = ("actor_params", "critic_params", "target_critic_params", "observation_mean", "observation_std")
NETWORKS: dict[str, Any] = {"actor": Actor, "critic": Critic}


class CheckpointError(SmacError):
    """A checkpoint that is not there, or is not one of ours."""


def save_actor_critic(folder: Path, actor_critic: ActorCritic) -> None:
    """Writes ``folder/arrays`` (orbax) and ``folder/networks.json``; what was there before is replaced."""
    folder = folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    networks = {}
    for name in NETWORKS:
        module = getattr(actor_critic, name)
        fields = [f.name for f in dataclasses.fields(module) if f.name not in ("parent", "name")]
        networks[name] = {field: getattr(module, field) for field in fields}
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(folder / "arrays", {name: getattr(actor_critic, name) for name in ARRAYS}, force=True)
    (folder / "networks.json").write_text(json.dumps(networks, indent=2) + "\n")


def load_actor_critic(folder: Path) -> ActorCritic:
    """Reads what :func:`save_actor_critic` wrote.

    Raises:
      CheckpointError: nothing there, or something else.
    """
    folder = Path(folder).absolute()
    try:
        described = json.loads((folder / "networks.json").read_text())
        networks = {
            name: build(**{k: tuple(v) if isinstance(v, list) else v for k, v in described[name].items()})
            for name, build in NETWORKS.items()
        }
        with ocp.StandardCheckpointer() as checkpointer:
            arrays = checkpointer.restore(folder / "arrays")
        return ActorCritic(**jax.tree.map(jnp.asarray, arrays), **networks)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{folder}: no actor-critic can be read here ({error}).") from error
