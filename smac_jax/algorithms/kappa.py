"""kappa, the weight of the score-matching penalty: fixed, adapted as a dual variable, or decreased on a schedule.

In the paper it is fixed (40 or 50, tables 6-8), and an adaptive weight is left to future work. As a dual variable it is
tuned like SAC's temperature: Adam changes its logarithm so that a target is met.

* ``"residual"``: the penalty should be ``kappa_target`` times that of a critic without any action-gradient (a flat Q).
* ``"gradient_ratio"``: the gradient of the weighted penalty should be ``kappa_target`` times that of the
  temporal-difference loss.

``"decay"`` halves kappa every ``kappa_half_life`` updates, so that the penalty has almost no weight at the transfer.

If SMAC continues online, a penalty that was fixed offline can be released after the transfer: by ``"decay"``, or by
``"residual"`` with a high ``kappa_target`` (1 is the penalty of a flat Q). While the penalty is below the target,
``log kappa`` decreases by ``kappa_learning_rate`` in each update. It increases when the penalty exceeds the target.
"""

from __future__ import annotations

import dataclasses
import math

import jax.numpy as jnp
import optax
from flax import struct
from jaxtyping import Float

from smac_jax.algorithms.learner import gradient_step
from smac_jax.config import choice, number
from smac_jax.errors import ConfigError
from smac_jax.optim import make_optimizer
from smac_jax.short_repr import brief
from smac_jax.types import Array

KAPPA_RANGE = (1e-3, 1e3)
"""The range of a kappa that is not fixed."""


@dataclasses.dataclass(frozen=True)
class KappaConfig:
    """The weight of the penalty, and the way in which it changes."""

    kappa: float = number(5.0, 0.0, doc="the weight of the penalty, or its first value; 40 and 50 in the paper")
    kappa_adaptation: str = choice("fixed", "residual", "gradient_ratio", "decay")
    kappa_target: float = number(
        0.3,
        1e-6,
        doc="for 'residual': the target of L_SM relative to its value for a flat Q; for 'gradient_ratio': the target "
        "of the penalty's gradient relative to that of the temporal-difference loss",
    )
    kappa_learning_rate: float = number(1e-3, 0.0, 1.0)
    kappa_half_life: float = number(
        10_000.0, 1.0, doc="for 'decay': the number of updates in which kappa halves; it stays at 0.001 or more"
    )


class KappaState(struct.PyTreeNode):
    """The state of kappa.

    Attributes:
      log_kappa: the logarithm of kappa, ``[]``; 0 if kappa is fixed.
      optimizer: the state of the optimizer of ``log_kappa``.
    """

    log_kappa: Float[Array, ""]
    optimizer: optax.OptState

    __repr__ = brief


def check_kappa(config: KappaConfig) -> None:
    """Checks that a kappa that is not fixed starts within its range.

    Raises:
      ConfigError: it is outside :data:`KAPPA_RANGE`.
    """
    if config.kappa_adaptation != "fixed" and not KAPPA_RANGE[0] <= config.kappa <= KAPPA_RANGE[1]:
        raise ConfigError(
            f"{type(config).__name__}.kappa = {config.kappa}: a kappa that adapts must start in {list(KAPPA_RANGE)}."
        )


def kappa_optimizer(config: KappaConfig) -> optax.GradientTransformation:
    """Returns the optimizer of ``log kappa``."""
    return make_optimizer("adam", config.kappa_learning_rate)


def init_kappa(config: KappaConfig) -> KappaState:
    """Returns the initial state, with kappa of the config."""
    log_kappa = jnp.asarray(0.0 if config.kappa_adaptation == "fixed" else math.log(config.kappa), jnp.float32)
    return KappaState(log_kappa, kappa_optimizer(config).init(log_kappa))


def continue_kappa(offline: KappaConfig, online: KappaConfig, state: KappaState) -> KappaState:
    """Returns the first state of a continuation.

    If the online config has the ``kappa`` of the offline one, kappa continues from its last value; otherwise it
    continues from the new value.
    """
    same = online.kappa == offline.kappa
    if online.kappa_adaptation == "fixed" or (same and offline.kappa_adaptation != "fixed"):
        return state
    kappa = jnp.clip(offline.kappa if same else online.kappa, *KAPPA_RANGE)
    return state.replace(log_kappa=jnp.log(kappa).astype(jnp.float32))


def kappa_of(config: KappaConfig, state: KappaState) -> Float[Array, ""]:
    """Returns the weight ``[]``. A fixed weight may be zero, which has no logarithm."""
    return jnp.asarray(config.kappa, jnp.float32) if config.kappa_adaptation == "fixed" else jnp.exp(state.log_kappa)


def update_kappa(
    config: KappaConfig, state: KappaState, relative_residual: Float[Array, ""], gradient_ratio: Float[Array, ""]
) -> KappaState:
    """Takes a step of kappa towards its target, or along its schedule.

    Args:
      config: says how kappa changes.
      state: the state before the step.
      relative_residual: the penalty divided by its value for a flat Q, ``[]``.
      gradient_ratio: the norm of the gradient of the weighted penalty, divided by that of the temporal-difference loss,
        ``[]``.
    """
    if config.kappa_adaptation == "fixed":
        return state
    log_kappa, optimizer = state.log_kappa, state.optimizer
    if config.kappa_adaptation == "decay":
        log_kappa = log_kappa - jnp.log(2.0) / config.kappa_half_life
    else:
        # The logarithm is used because a ratio of gradients has a heavy tail.
        if config.kappa_adaptation == "residual":
            excess = jnp.log(relative_residual + 1e-8) - jnp.log(config.kappa_target)
        else:
            excess = jnp.log(config.kappa_target) - jnp.log(gradient_ratio + 1e-8)
        log_kappa, optimizer = gradient_step(kappa_optimizer(config), -excess, optimizer, log_kappa)
    low, high = jnp.log(KAPPA_RANGE[0]), jnp.log(KAPPA_RANGE[1])
    return KappaState(jnp.clip(log_kappa, low, high), optimizer)
