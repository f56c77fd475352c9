"""kappa: the weight of the score-matching penalty, fixed, adapted as a dual variable, or released on a schedule.

The paper has it fixed (40 or 50, tables 6-8) and names an adaptive weight as open. As a dual variable it is tuned as
SAC's temperature is tuned for entropy: by Adam, on its logarithm, towards a target that is to be met,

* ``"residual"``: the penalty is ``kappa_target`` times what it would be for a flat Q;
* ``"gradient_ratio"``: the gradient of the weighted penalty is ``kappa_target`` times that of the temporal-difference
  loss.

``"decay"`` halves kappa every ``kappa_half_life`` updates, so that the critics are released before the transfer and not
at it.

Where SMAC continues online, a penalty that was fixed offline can be released after the transfer: by ``"decay"``, or as
the dual variable of ``"residual"`` with a high ``kappa_target`` (1 is the penalty of a flat Q). While the penalty stays
below the target, ``log kappa`` falls by ``kappa_learning_rate`` an update; it rises again when the penalty exceeds it.
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
"""Where a kappa that is not fixed stays."""


@dataclasses.dataclass(frozen=True)
class KappaConfig:
    """The weight of the penalty, and how it changes."""

    kappa: float = number(5.0, 0.0, doc="weight of the penalty, at the start if it adapts; the paper has 40 and 50")
    kappa_adaptation: str = choice("fixed", "residual", "gradient_ratio", "decay")
    kappa_target: float = number(
        0.3, 1e-6, doc="of 'residual': L_SM over its value for a flat Q; of 'gradient_ratio': penalty's over TD's"
    )
    kappa_learning_rate: float = number(1e-3, 0.0, 1.0)
    kappa_half_life: float = number(10_000.0, 1.0, doc="of 'decay': updates in which kappa halves, down to 0.001")


class KappaState(struct.PyTreeNode):
    """The weight in training.

    Attributes:
      log_kappa: ``[]``, its logarithm; 0 where kappa is fixed.
      optimizer: the state of its optimizer.
    """

    log_kappa: Float[Array, ""]
    optimizer: optax.OptState

    __repr__ = brief


def check_kappa(config: KappaConfig) -> None:
    """Checks that a kappa which adapts starts in its range.

    Raises:
      ConfigError: it does not.
    """
    if config.kappa_adaptation != "fixed" and not KAPPA_RANGE[0] <= config.kappa <= KAPPA_RANGE[1]:
        raise ConfigError(
            f"{type(config).__name__}.kappa = {config.kappa}: to adapt, it must start in {list(KAPPA_RANGE)}."
        )


def kappa_optimizer(config: KappaConfig) -> optax.GradientTransformation:
    """The optimizer of ``log kappa``."""
    return make_optimizer("adam", config.kappa_learning_rate)


def init_kappa(config: KappaConfig) -> KappaState:
    """The configured kappa."""
    log_kappa = jnp.asarray(0.0 if config.kappa_adaptation == "fixed" else math.log(config.kappa), jnp.float32)
    return KappaState(log_kappa, kappa_optimizer(config).init(log_kappa))


def continue_kappa(offline: KappaConfig, online: KappaConfig, state: KappaState) -> KappaState:
    """The state with which another way to adapt kappa continues: from kappa as it is, or from a new ``kappa``."""
    same = online.kappa == offline.kappa
    if online.kappa_adaptation == "fixed" or (same and offline.kappa_adaptation != "fixed"):
        return state
    kappa = jnp.clip(offline.kappa if same else online.kappa, *KAPPA_RANGE)
    return state.replace(log_kappa=jnp.log(kappa).astype(jnp.float32))


def kappa_of(config: KappaConfig, state: KappaState) -> Float[Array, ""]:
    """The weight ``[]``. A fixed one may be zero, which has no logarithm."""
    return jnp.asarray(config.kappa, jnp.float32) if config.kappa_adaptation == "fixed" else jnp.exp(state.log_kappa)


def update_kappa(
    config: KappaConfig, state: KappaState, relative_residual: Float[Array, ""], gradient_ratio: Float[Array, ""]
) -> KappaState:
    """Moves kappa towards where ``kappa_target`` is met, or halves it in time.

    Args:
      config: how kappa changes.
      state: before the step.
      relative_residual: the penalty over its value for a flat Q, ``[]``.
      gradient_ratio: the norm of the weighted penalty's gradient over that of the temporal-difference loss, ``[]``.
    """
    if config.kappa_adaptation == "fixed":
        return state
    log_kappa, optimizer = state.log_kappa, state.optimizer
    if config.kappa_adaptation == "decay":
        log_kappa = log_kappa - jnp.log(2.0) / config.kappa_half_life
    else:
        # in logarithms: a ratio of gradients has a heavy tail
        if config.kappa_adaptation == "residual":
            excess = jnp.log(relative_residual + 1e-8) - jnp.log(config.kappa_target)
        else:
            excess = jnp.log(config.kappa_target) - jnp.log(gradient_ratio + 1e-8)
        log_kappa, optimizer = gradient_step(kappa_optimizer(config), -excess, optimizer, log_kappa)
    low, high = jnp.log(KAPPA_RANGE[0]), jnp.log(KAPPA_RANGE[1])
    return KappaState(jnp.clip(log_kappa, low, high), optimizer)
