"""A policy whose network is a Flax module of somebody's own: JAX computes it, and nothing else does."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from smac_jax.config import whole_number
from smac_jax.deploy.load import seeds_of
from smac_jax.errors import CheckpointError, ConfigError

if TYPE_CHECKING:
    from smac_jax.algorithms.base import ActorCritic


@dataclasses.dataclass(frozen=True, eq=False)
class FlaxPolicy:
    """A trained policy for export.

    Attributes:
      actor_critic: its leaves are those of one seed, or ``[seed, ...]``.
      seeds: the number of its seed; or of each seed along the leaves' first axis.
      action_size: of the actions.
    """

    actor_critic: ActorCritic
    seeds: int | tuple[int, ...]
    action_size: int

    @classmethod
    def of(cls, actor_critic: ActorCritic, seeds: Sequence[int] | None = None) -> FlaxPolicy:
        """The policy of an actor-critic.

        Args:
          actor_critic: one, or several stacked along a leading seed axis.
          seeds: their numbers; default: from 0.
        """
        from smac_jax.algorithms.own_networks import action_size

        shape = actor_critic.observation_mean.shape
        numbers: int | tuple[int, ...] = 0
        if len(shape) > 1:
            numbers = tuple(whole_number("seeds", seed, 0) for seed in (range(shape[0]) if seeds is None else seeds))
        return cls(actor_critic, numbers, action_size(actor_critic))

    @property
    def observation_size(self) -> int:
        """Of the observations."""
        return self.actor_critic.observation_mean.shape[-1]

    def select(self, seed: int | Literal["all"] | None = None) -> FlaxPolicy:
        """The policy of one seed (None: the first), or of all.

        Raises:
          ConfigError: there is no such seed.
          CheckpointError: its parameters are not finite.
        """
        import jax

        chosen = self
        numbers = (self.seeds,) if isinstance(self.seeds, int) else self.seeds
        if seed != "all":
            wanted: Any = numbers[0] if seed is None else seed
            wanted = wanted if isinstance(wanted, str) else whole_number("seed", wanted)
            if wanted not in numbers:
                raise ConfigError(f"seed = {wanted!r}: must be one of {', '.join(map(str, numbers))}, or 'all'.")
            if not isinstance(self.seeds, int):
                at = numbers.index(wanted)
                one = jax.tree.map(lambda x: x[at], self.actor_critic)
                chosen = FlaxPolicy(one, wanted, self.action_size)
        leaves = jax.tree_util.tree_leaves_with_path(chosen.actor_critic.actor_params)
        for path, leaf in leaves:
            if not np.isfinite(np.asarray(leaf)).all():
                name = jax.tree_util.keystr(path)
                raise CheckpointError(f"{name} of seed {seed} is not finite: the training broke down.")
        return chosen


def read(folder: Path) -> FlaxPolicy:
    """Reads a policy from the folder of its actor-critic, with every seed that is in it.

    Raises:
      CheckpointError: it cannot be read, such as where the module of its network is not imported.
    """
    from smac_jax.runs.checkpoint import load_actor_critic

    return FlaxPolicy.of(load_actor_critic(folder), seeds_of(folder))
