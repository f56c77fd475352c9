"""A policy whose network is a user's own Flax module, which only JAX can compute."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from smac_jax.config import whole_number
from smac_jax.deploy.policy import TrainedActor
from smac_jax.errors import CheckpointError, ConfigError

GAUSSIANS = ("TanhGaussian", "BoxGaussian")
"""Distributions of :mod:`smac_jax.networks` whose samples are computed from normal noise."""


@dataclasses.dataclass(frozen=True, eq=False)
class FlaxPolicy:
    """A trained policy for export.

    Attributes:
      actor_critic: its leaves are those of one seed, or ``[seed, ...]``; ``actor_critic.policy(observation)`` gives the
        distribution of actions.
      seeds: the number of its seed; or of each seed along the leaves' first axis.
      action_size: the number of action dimensions.
    """

    actor_critic: Any
    seeds: int | tuple[int, ...]
    action_size: int

    @classmethod
    def of(cls, actor_critic: TrainedActor, seeds: Sequence[int] | None = None) -> FlaxPolicy:
        """The policy of an actor-critic.

        Args:
          actor_critic: an actor-critic, or several stacked along a leading seed axis.
          seeds: the numbers of the seeds; default: from 0.
        """
        import jax

        *several, size = actor_critic.observation_mean.shape
        numbers: int | tuple[int, ...] = 0
        one = actor_critic
        if several:
            numbers = tuple(whole_number("seeds", seed, 0) for seed in (range(several[0]) if seeds is None else seeds))
            one = jax.tree.map(lambda x: x[0], actor_critic)
        action = jax.eval_shape(lambda x: one.policy(x).mode(), np.zeros(size, np.float32))  # type: ignore[attr-defined]
        return cls(actor_critic, numbers, action.shape[-1])

    @property
    def observation_size(self) -> int:
        """The number of observations."""
        return int(self.actor_critic.observation_mean.shape[-1])

    def select(self, seed: int | Literal["all"] | None = None) -> FlaxPolicy:
        """The policy of one seed (None for the first), or of all seeds.

        Raises:
          ConfigError: the seed does not exist.
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
        for path, leaf in jax.tree_util.tree_leaves_with_path(chosen.actor_critic.actor_params):
            if not np.isfinite(np.asarray(leaf)).all():
                name = jax.tree_util.keystr(path)
                raise CheckpointError(f"{name} of seed {chosen.seeds} is not finite: the training diverged.")
        return chosen

    def act(self, observation: Any, noise: Any = None) -> Any:
        """The action for each row of ``observation [batch, observation]``, as :func:`smac_jax.deploy.policy.act`.

        Raises:
          ConfigError: ``noise`` is given, and the policy's distribution is a user's own.
        """
        import jax
        import jax.numpy as jnp

        def of_one(actor_critic: Any) -> Any:
            found = actor_critic.policy(observation)
            if noise is None:
                return found.mode()
            kind = type(found).__name__
            if kind not in GAUSSIANS or type(found).__module__ != "smac_jax.networks.actor":
                raise ConfigError(
                    f"sample: the policy is a {kind}, a user's own distribution, which cannot be sampled from normal "
                    "noise. Export its mode, without sample."
                )
            draw = found.mean + jnp.exp(found.log_std) * noise
            return jnp.tanh(draw) if kind == "TanhGaussian" else jnp.clip(draw, -1.0, 1.0)

        actor_critic = jax.tree.map(jnp.asarray, self.actor_critic)
        return of_one(actor_critic) if isinstance(self.seeds, int) else jax.vmap(of_one)(actor_critic)
