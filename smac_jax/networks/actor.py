"""Stochastic policies: a Gaussian with a tanh, a Gaussian over the action box, and a one-step flow.

Source: Haarnoja et al. 2018 (arXiv 1812.05905), appendix C; SMAC, tables 6-8 ("std = exp"; IQL: "no tanh"). That of the
flow is in :mod:`smac_jax.networks.flow`.
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
    """The tanh of a diagonal Gaussian: ``a = tanh(u)``, ``u ~ N(mu(s), sigma(s)^2)``.

    It is a pytree, so it can be an argument or a result of compiled functions.

    Attributes:
      mean: ``mu``, before the tanh.
      log_std: the logarithm of ``sigma``, before the tanh.
    """

    mean: Float[Array, "*batch action"]
    log_std: Float[Array, "*batch action"]

    def mode(self) -> Float[Array, "*batch action"]:
        """Returns the deterministic action ``tanh(mu)``. It is the median, which is usually called the mode."""
        return jnp.tanh(self.mean)

    def sample_pre_tanh(self, key: Key) -> Float[Array, "*batch action"]:
        """Returns the reparameterized sample ``u = mu + sigma * noise``."""
        return self.mean + jnp.exp(self.log_std) * jax.random.normal(key, self.mean.shape, self.mean.dtype)

    def sample(self, key: Key) -> Float[Array, "*batch action"]:
        """Returns a reparameterized action."""
        return jnp.tanh(self.sample_pre_tanh(key))

    def log_prob_pre_tanh(self, u: Float[Array, "*batch action"]) -> Float[Array, "*batch"]:
        """Returns ``log pi(tanh(u)) = log N(u; mu, sigma) - sum log(1 - tanh(u)^2)`` (Haarnoja et al., appendix C).

        It is exact for any ``u``. A computation from a saturated action by ``atanh`` would not be.
        """
        # log(1 - tanh(u)^2), in a form that does not underflow
        log_det = 2.0 * (jnp.log(2.0) - u - jax.nn.softplus(-2.0 * u))
        return jnp.sum(_normal_log_density(u, self.mean, self.log_std) - log_det, axis=-1)

    def sample_and_log_prob(self, key: Key) -> tuple[Float[Array, "*batch action"], Float[Array, "*batch"]]:
        """Returns a reparameterized action and its log density."""
        u = self.sample_pre_tanh(key)
        return jnp.tanh(u), self.log_prob_pre_tanh(u)

    def log_prob(self, action: Float[Array, "*batch action"], limit: float = 0.99999) -> Float[Array, "*batch"]:
        """Returns ``log pi(a)`` of a given action. It is clipped to ``|a| <= limit``, where the density is finite."""
        return self.log_prob_pre_tanh(jnp.arctanh(jnp.clip(action, -limit, limit)))


class BoxGaussian(NamedTuple):
    """A diagonal Gaussian whose mean is in the action box, and whose samples are clipped to it.

    Weighted regression (IQL, AWAC, BC) needs it, because its log density is finite at the boundary of the box, where
    many actions of the locomotion data are. The density is that of the Gaussian before clipping, as in the published
    codes.

    Attributes:
      mean: the mean, in ``[-1, 1]``.
      log_std: the logarithm of the standard deviation, in units of the action.
    """

    mean: Float[Array, "*batch action"]
    log_std: Float[Array, "*batch action"]

    def mode(self) -> Float[Array, "*batch action"]:
        """Returns the mean."""
        return self.mean

    def _draw(self, key: Key) -> Float[Array, "*batch action"]:
        return self.mean + jnp.exp(self.log_std) * jax.random.normal(key, self.mean.shape, self.mean.dtype)

    def sample(self, key: Key) -> Float[Array, "*batch action"]:
        """Returns a reparameterized action."""
        return jnp.clip(self._draw(key), -1.0, 1.0)

    def sample_and_log_prob(self, key: Key) -> tuple[Float[Array, "*batch action"], Float[Array, "*batch"]]:
        """Returns a reparameterized action, and the log density of the sample before clipping."""
        action = self._draw(key)
        return jnp.clip(action, -1.0, 1.0), self.log_prob(action)

    def log_prob(self, action: Float[Array, "*batch action"]) -> Float[Array, "*batch"]:
        """Returns ``log pi(a)``."""
        return jnp.sum(_normal_log_density(action, self.mean, self.log_std), axis=-1)


def _normal_log_density(x: Array, mean: Array, log_std: Array) -> Array:
    return -0.5 * ((x - mean) * jnp.exp(-log_std)) ** 2 - log_std - 0.5 * jnp.log(2 * jnp.pi)


Policy: TypeAlias = TanhGaussian | BoxGaussian | OneStepFlow


class Actor(nn.Module):
    """Maps observations to a policy.

    Attributes:
      action_size: the number of action dimensions.
      hidden: the widths of the hidden layers.
      activation: a key of ``networks.mlp.ACTIVATIONS``.
      initial_std: ``sigma`` at initialization, which is the same in every state. An algorithm that trains only the mean
        (TD3+BC) does not change it, so its policy explores with this standard deviation after the transfer.
      distribution: ``"tanh_gaussian"`` (:class:`TanhGaussian`), ``"box_gaussian"`` (:class:`BoxGaussian`) or
        ``"one_step_flow"`` (:class:`smac_jax.networks.flow.OneStepFlow`), which has no ``sigma``.
      state_dependent_std: whether ``sigma`` is an output of the network. If not, it is a separate parameter, which is
        the same in every state.
      min_log_std, max_log_std: the range to which ``log sigma`` is clipped.
      layer_norm, initializer, last_hidden_scale, layer_norm_position: as in :class:`smac_jax.networks.mlp.MLP`. With
        "orthogonal" the kernel of the layer of ``log sigma`` is also orthogonal; otherwise it is zero.
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
