"""``alpha_psi(s)``: the factor between the critic's action-gradient and the score.

    grad_a Q(s, a) = alpha_psi(s) * score(a|s)

Source: SMAC (arXiv 2602.17632 v1), section 4, "learned proportionality constant"; network and learning rate: tables
6-8. The paper does not say whether its sign is constrained. Left free, ``alpha_psi`` collapses to zero, where a flat Q
satisfies the penalty for nothing. Deviation: ``alpha_floor + softplus(.)``, which holds the scale from below and lets
states ask for more. The paper's identity says that alpha *is* the temperature: ``"temperature"`` takes it at its word.
"""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jaxtyping import Bool, Float

from smac_jax.algorithms.learner import gradient_step
from smac_jax.config import choice, number, sizes
from smac_jax.networks import MLP
from smac_jax.optim import make_optimizer
from smac_jax.short_repr import brief
from smac_jax.types import Array, Key, Params

LEARNED = ("softplus", "free")
AVERAGE_RATE = 0.01
"""Of the running mean of alpha."""


@dataclasses.dataclass(frozen=True)
class AlphaConfig:
    """What alpha is: a network, a number, or the temperature."""

    OF_STATE: ClassVar[tuple[str, ...]] = ("alpha_parameterization", "alpha_floor", "alpha_value", "alpha_hidden")

    alpha_parameterization: str = choice(
        "auto",
        "softplus",
        "free",
        "fixed",
        "temperature",
        doc="'auto' becomes 'softplus' with the data's score, and 'temperature' with the policy's",
    )
    alpha_floor: float = number(0.1, 0.0, doc="smallest alpha_psi of 'softplus'")
    alpha_value: float = number(0.1, 0.0, doc="alpha of 'fixed'")
    alpha_hidden: tuple[int, ...] = sizes(256, 256)
    alpha_learning_rate: float = number(1e-4, 0.0, 1.0)


class AlphaState(struct.PyTreeNode):
    """What alpha has learned.

    Attributes:
      params: the parameters ``psi``; empty where alpha is not a network.
      optimizer: the state of their optimizer.
      mean: ``[]``, a running mean of alpha over batches: a temperature that an online algorithm may start from.
      measured: ``[]``, whether there was an update yet.
    """

    params: Params
    optimizer: optax.OptState
    mean: Float[Array, ""]
    measured: Bool[Array, ""]

    __repr__ = brief


def alpha_network(config: AlphaConfig) -> MLP:
    """The network under ``alpha_psi(s)``."""
    return MLP(config.alpha_hidden, "relu", output=1)


def alpha_optimizer(config: AlphaConfig) -> optax.GradientTransformation:
    """The optimizer of ``psi``."""
    return make_optimizer("adam", config.alpha_learning_rate)


def init_alpha(config: AlphaConfig, key: Key, observation_size: int) -> AlphaState:
    """A fresh network, where alpha is one."""
    learned = config.alpha_parameterization in LEARNED
    params = alpha_network(config).init(key, jnp.zeros(observation_size, jnp.float32)) if learned else {}
    mean, measured = jnp.zeros((), jnp.float32), jnp.zeros((), bool)
    return AlphaState(params=params, optimizer=alpha_optimizer(config).init(params), mean=mean, measured=measured)


def alpha_of(
    config: AlphaConfig,
    params: Params,
    observation: Float[Array, "batch observation"],
    temperature: Float[Array, ""],
) -> Float[Array, "batch"]:
    """``alpha_psi(s) [batch]``.

    Args:
      config: the parameterization.
      params: ``psi``.
      observation: normalized, ``[batch, observation]``.
      temperature: of the policy, ``[]``: alpha where the config says so.
    """
    if config.alpha_parameterization == "fixed":
        return jnp.full(observation.shape[:-1], config.alpha_value, jnp.float32)
    if config.alpha_parameterization == "temperature":
        return jnp.full(observation.shape[:-1], temperature)
    raw = alpha_network(config).apply(params, observation)[..., 0]
    return config.alpha_floor + jax.nn.softplus(raw) if config.alpha_parameterization == "softplus" else raw


def update_alpha(config: AlphaConfig, state: AlphaState, gradient: Params, mean: Float[Array, ""]) -> AlphaState:
    """One step of ``psi``, and one of the running mean.

    Args:
      config: the learning rate.
      state: before the step.
      gradient: of ``psi``.
      mean: of alpha over the batch, ``[]``.
    """
    params, optimizer = gradient_step(alpha_optimizer(config), gradient, state.optimizer, state.params)
    average = (1.0 - AVERAGE_RATE) * state.mean + AVERAGE_RATE * mean
    return AlphaState(
        params=params,
        optimizer=optimizer,
        mean=jnp.where(state.measured, average, mean),
        measured=jnp.ones_like(state.measured),
    )
