"""Stochastic policies: a Gaussian squashed by tanh, a Gaussian over the action box itself, and a one-step flow.

Source: Haarnoja et al. 2018 (arXiv 1812.05905), appendix C; SMAC tables 6-8 ("std = exp"; IQL: "no tanh"); for the flow
:mod:`smac_jax.networks.flow`.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Float

from smac_jax.networks.flow import OneStepFlow
from smac_jax.networks.mlp import ACTOR_BOUND, INITIALIZERS, MLP, ORTHOGONAL_SCALE, output_init
from smac_jax.networks.product import product
from smac_jax.types import Array, Key


class TanhGaussian(NamedTuple):
    """A diagonal Gaussian pushed through tanh: ``a = tanh(u)``, ``u ~ N(mu(s), sigma(s)^2)``.

    A pytree, so it passes through jit, vmap and scan.

    Attributes:
      mean: ``mu``, before the tanh.
      log_std: logarithm of ``sigma``, before the tanh.
    """

    mean: Float[Array, "*batch action"]
    log_std: Float[Array, "*batch action"]

    def mode(self) -> Float[Array, "*batch action"]:
        """The deterministic action ``tanh(mu)`` (the median; the field calls it the mode)."""
        return jnp.tanh(self.mean)

    def sample_pre_tanh(self, key: Key) -> Float[Array, "*batch action"]:
        """``u = mu + sigma * noise``, reparameterized."""
        return self.mean + jnp.exp(self.log_std) * jax.random.normal(key, self.mean.shape, self.mean.dtype)

    def sample(self, key: Key) -> Float[Array, "*batch action"]:
        """A reparameterized action."""
        return jnp.tanh(self.sample_pre_tanh(key))

    def log_prob_pre_tanh(self, u: Float[Array, "*batch action"]) -> Float[Array, "*batch"]:
        """``log pi(tanh(u)) = log N(u; mu, sigma) - sum log(1 - tanh(u)^2)`` (Haarnoja et al., appendix C).

        It is exact for any ``u``, where ``atanh`` of a saturated action would not be.
        """
        # log(1 - tanh(u)^2), written so that it does not underflow
        log_det = 2.0 * (jnp.log(2.0) - u - jax.nn.softplus(-2.0 * u))
        return jnp.sum(_normal_log_density(u, self.mean, self.log_std) - log_det, axis=-1)

    def sample_and_log_prob(self, key: Key) -> tuple[Float[Array, "*batch action"], Float[Array, "*batch"]]:
        """A reparameterized action and its log density."""
        u = self.sample_pre_tanh(key)
        return jnp.tanh(u), self.log_prob_pre_tanh(u)

    def log_prob(self, action: Float[Array, "*batch action"], limit: float = 0.99999) -> Float[Array, "*batch"]:
        """``log pi(a)`` for an action from elsewhere, clipped to ``|a| <= limit`` where the density is finite."""
        return self.log_prob_pre_tanh(jnp.arctanh(jnp.clip(action, -limit, limit)))


class BoxGaussian(NamedTuple):
    """A diagonal Gaussian whose mean lies in the action box, and whose draws are clipped to it.

    What weighted regression needs (IQL, AWAC, BC): its log density is finite at the box's edge, where much of the
    locomotion data lies. The density is the Gaussian's, before the clipping, as in the published codes.

    Attributes:
      mean: in ``[-1, 1]``.
      log_std: logarithm of the standard deviation, in units of the action.
    """

    mean: Float[Array, "*batch action"]
    log_std: Float[Array, "*batch action"]

    def mode(self) -> Float[Array, "*batch action"]:
        """The mean."""
        return self.mean

    def _draw(self, key: Key) -> Float[Array, "*batch action"]:
        return self.mean + jnp.exp(self.log_std) * jax.random.normal(key, self.mean.shape, self.mean.dtype)

    def sample(self, key: Key) -> Float[Array, "*batch action"]:
        """A reparameterized action."""
        return jnp.clip(self._draw(key), -1.0, 1.0)

    def sample_and_log_prob(self, key: Key) -> tuple[Float[Array, "*batch action"], Float[Array, "*batch"]]:
        """A reparameterized action, and the log density of the draw that it was clipped from."""
        action = self._draw(key)
        return jnp.clip(action, -1.0, 1.0), self.log_prob(action)

    def log_prob(self, action: Float[Array, "*batch action"]) -> Float[Array, "*batch"]:
        """``log pi(a)``."""
        return jnp.sum(_normal_log_density(action, self.mean, self.log_std), axis=-1)


def _normal_log_density(x: Array, mean: Array, log_std: Array) -> Array:
    return -0.5 * ((x - mean) * jnp.exp(-log_std)) ** 2 - log_std - 0.5 * jnp.log(2 * jnp.pi)


Policy: TypeAlias = TanhGaussian | BoxGaussian | OneStepFlow


class Actor(nn.Module):
    """Maps observations to a policy.

    Attributes:
      action_size: number of action dimensions.
      hidden: width of each layer.
      activation: a key of ``networks.mlp.ACTIVATIONS``.
      initial_std: ``sigma`` at initialization, the same in every state. An algorithm that trains only the mean
        (TD3+BC) leaves it there, so the policy that it transfers explores with this spread.
      distribution: ``"tanh_gaussian"`` (:class:`TanhGaussian`), ``"box_gaussian"`` (:class:`BoxGaussian`) or
        ``"one_step_flow"`` (:class:`smac_jax.networks.flow.OneStepFlow`), which has no ``sigma``.
      state_dependent_std: False makes ``sigma`` a parameter of its own, the same in every state.
      min_log_std, max_log_std: ``log sigma`` is clipped to this range.
      layer_norm, initializer, last_hidden_scale, layer_norm_position: as in :class:`smac_jax.networks.mlp.MLP`. With
        "orthogonal" the kernel under ``log sigma`` is orthogonal, too, where it is zero otherwise.
    """

    action_size: int
    hidden: tuple[int, ...] = (256, 256)
    activation: str = "relu"
    initial_std: float = 1.0
    distribution: str = "tanh_gaussian"
    state_dependent_std: bool = True
    min_log_std: float = -5.0
    max_log_std: float = 2.0
    layer_norm: bool = False
    initializer: str = "fan_in_uniform"
    last_hidden_scale: float = ORTHOGONAL_SCALE
    layer_norm_position: str = "before_activation"

    @nn.compact
    def __call__(self, observation: Float[Array, "*batch observation"]) -> Policy:
        if self.distribution == "one_step_flow":
            return self._one_step_flow(observation)
        orthogonal = self.initializer == "orthogonal"
        x = self._perceptron(None, name="trunk")(observation)
        head = output_init(self.initializer, ACTOR_BOUND)
        mean = nn.Dense(self.action_size, dot_general=product, name="mean", **head)(x)
        initial_log_std = nn.initializers.constant(jnp.log(self.initial_std))
        if self.state_dependent_std:
            log_std = nn.Dense(
                self.action_size,
                kernel_init=INITIALIZERS["orthogonal"](ORTHOGONAL_SCALE) if orthogonal else nn.initializers.zeros,
                bias_init=initial_log_std,
                dot_general=product,
                name="log_std",
            )(x)
        else:
            log_std = jnp.broadcast_to(
                self.param("log_std", initial_log_std, (self.action_size,), jnp.float32), mean.shape
            )
        log_std = jnp.clip(log_std, self.min_log_std, self.max_log_std)
        if self.distribution == "box_gaussian":
            return BoxGaussian(jnp.tanh(mean), log_std)
        return TanhGaussian(mean, log_std)

    def _perceptron(self, output: int | None, name: str | None) -> MLP:
        return MLP(
            self.hidden,
            self.activation,
            output,
            self.layer_norm,
            self.initializer,
            self.last_hidden_scale,
            self.layer_norm_position,
            name=name,
        )

    def _one_step_flow(self, observation: Float[Array, "*batch observation"]) -> OneStepFlow:
        network = self._perceptron(self.action_size, name="flow")
        if self.is_initializing():
            noise = jnp.zeros((*observation.shape[:-1], self.action_size), jnp.float32)
            network(jnp.concatenate([observation, noise], axis=-1))
        return OneStepFlow(observation, dict(network.variables), network.clone(parent=None, name=None))
