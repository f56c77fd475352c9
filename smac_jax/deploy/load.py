"""Loads a policy from a path."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Literal

from smac_jax.deploy.policy import NumpyPolicy, only_by_jax
from smac_jax.deploy.policy_file import POLICY_FILE, read_policy
from smac_jax.errors import CheckpointError, ConfigError
from smac_jax.files import local_path

LISTED = 20
"""The largest number of candidates in an error message."""


def load(path: str | os.PathLike[str], seed: int | Literal["all"] | None = None) -> NumpyPolicy:
    """A trained policy that acts on NumPy observations, without JAX.

    >>> policy = smac_jax.load("results/quickstart/runs/halfcheetah-medium-replay/smac/seeds-0-3/to-sac", seed=0)
    >>> action = policy(observation)

    Args:
      path: a run (``runs/TASK/OFFLINE/seeds-A-B/to-sac``), its ``actor_critic`` folder, or a policy file (its
        ``policy.npz``, or a file that :func:`smac_jax.export` wrote). It may also be a folder above that contains only
        one policy.
      seed: the number of the seed in training; ``"all"`` for all seeds, whose actions have a leading seed axis; None
        for the first.

    Raises:
      CheckpointError: the path has no policy or several, the file is damaged or of another kind, the parameters are not
        finite, or the network is a user's own, which NumPy cannot compute.
      ConfigError: the seed does not exist, or the path is a URL.
    """
    found, policy = read_all_seeds(path)
    try:
        return policy.select(seed)
    except (CheckpointError, ConfigError) as error:
        raise type(error)(f"{found}: {error}") from None


def read_all_seeds(path: str | os.PathLike[str]) -> tuple[Path, NumpyPolicy]:
    """The policy file at ``path``, and its policy with all seeds.

    The parameters of a seed that diverged may not be finite; the other seeds can still be used.

    Raises:
      CheckpointError: as for :func:`load`.
    """
    path = local_path(path)
    found = path if path.is_file() else find(path)
    return found, read_policy(found)


def find(folder: Path) -> Path:
    """The policy file in a folder or below it.

    Raises:
      CheckpointError: there is none, or there are several.
    """
    if not folder.exists():
        raise CheckpointError(f"{folder} does not exist: give a run, its actor_critic folder, or a policy file.")
    for place in (folder, folder / "actor_critic"):
        if (found := _policy_in(place)) is not None:
            return found
    below = [found for place in sorted(folder.rglob("actor_critic")) if (found := _policy_in(place)) is not None]
    if len(below) == 1:
        return below[0]
    if actor := own_actor(folder):
        raise CheckpointError(f"{folder}: {only_by_jax(actor)}")
    if not below:
        raise CheckpointError(
            f"{folder}: there is no policy in this folder or below. A run writes actor_critic/{POLICY_FILE} when it is "
            "done."
        )
    places = [str(found.parent.parent) for found in below]
    more = [f"and {len(places) - LISTED} more"] if len(places) > LISTED else []
    listed = "\n  ".join([*places[:LISTED], *more])
    raise CheckpointError(f"{folder} holds {len(places)} policies. Give one of\n  {listed}")


def _policy_in(folder: Path) -> Path | None:
    found = folder / POLICY_FILE
    return found if found.is_file() else None


def own_actor(folder: Path) -> str | None:
    """The class of the actor of a run if it is a user's own, else None. The folder may also be its actor_critic."""
    for place in (folder, folder / "actor_critic"):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
            described = json.loads((place / "networks.json").read_text(encoding="utf-8"))
            return str(described["actor"]["class"].replace(":", "."))
    return None
