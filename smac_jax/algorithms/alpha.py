"""``alpha_psi(s)``, the factor between the critics' action-gradient and the score.

    grad_a Q(s, a) = alpha_psi(s) * score(a|s)

Source: SMAC (arXiv 2602.17632 v1), section 4, "learned proportionality constant"; network and learning rate: tables
6-8. The paper does not say whether alpha must be positive. Without a constraint, ``alpha_psi`` decreases to zero, where
a critic without any action-gradient has no penalty. Deviation: ``alpha_floor + softplus(.)``, which has a lower bound.
In the paper's identity, alpha is the temperature of the policy; ``"temperature"`` uses that one.
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
"""The rate of the running mean of alpha."""


@dataclasses.dataclass(frozen=True)
class AlphaConfig:
    """The options of alpha, which is a network, a number, or the temperature."""

    OF_STATE: ClassVar[tuple[str, ...]] = ("alpha_parameterization", "alpha_floor", "alpha_value", "alpha_hidden")

    alpha_parameterization: str = choice(
        "auto",
        "softplus",
        "free",
        "fixed",
        "temperature",
        doc="the form of alpha; 'auto' is 'softplus' with the data's score, and 'temperature' with the policy's",
    )
    alpha_floor: float = number(0.1, 0.0, doc="for 'softplus': the smallest alpha")
    alpha_value: float = number(0.1, 0.0, doc="for 'fixed': the value of alpha")
    alpha_hidden: tuple[int, ...] = sizes(256, 256)
    alpha_learning_rate: float = number(1e-4, 0.0, 1.0)


class AlphaState(struct.PyTreeNode):
    """The state of alpha.

    Attributes:
      params: the parameters ``psi``; empty if alpha is not a network.
      optimizer: the state of the optimizer of ``psi``.
      mean: a running mean of alpha over batches, ``[]``. An online algorithm may start with it as its temperature.
      measured: whether there was at least one update, ``[]``.
    """

    params: Params
    optimizer: optax.OptState
    mean: Float[Array, ""]
    measured: Bool[Array, ""]

    __repr__ = brief


def alpha_network(config: AlphaConfig) -> MLP:
    """Returns the network of ``alpha_psi(s)``."""
    return MLP(config.alpha_hidden, "relu", output=1)


def alpha_optimizer(config: AlphaConfig) -> optax.GradientTransformation:
    """Returns the optimizer of ``psi``."""
    return make_optimizer("adam", config.alpha_learning_rate)


def init_alpha(config: AlphaConfig, key: Key, observation_size: int) -> AlphaState:
    """Returns the initial state, with a randomly initialized network if alpha is a network."""
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
    """Returns ``alpha_psi(s) [batch]``.

    Args:
      config: the form of alpha.
      params: ``psi``.
      observation: normalized observations, ``[batch, observation]``.
      temperature: the temperature of the policy, ``[]``, which is alpha if the config says so.
    """
    if config.alpha_parameterization == "fixed":
        return jnp.full(observation.shape[:-1], config.alpha_value, jnp.float32)
    if config.alpha_parameterization == "temperature":
        return jnp.full(observation.shape[:-1], temperature)
    raw = alpha_network(config).apply(params, observation)[..., 0]
    return config.alpha_floor + jax.nn.softplus(raw) if config.alpha_parameterization == "softplus" else raw


def update_alpha(config: AlphaConfig, state: AlphaState, gradient: Params, mean: Float[Array, ""]) -> AlphaState:
    """Takes one gradient step of ``psi``, and updates the running mean.

    Args:
      config: has the learning rate.
      state: the state before the step.
      gradient: the gradient with respect to ``psi``.
      mean: the mean of alpha over the batch, ``[]``.
    """
    params, optimizer = gradient_step(alpha_optimizer(config), gradient, state.optimizer, state.params)
    average = (1.0 - AVERAGE_RATE) * state.mean + AVERAGE_RATE * mean
    return AlphaState(
        params=params,
        optimizer=optimizer,
        mean=jnp.where(state.measured, average, mean),
        measured=jnp.ones_like(state.measured),
    )
