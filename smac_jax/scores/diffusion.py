"""The mathematics of the diffusion model: noise schedule, loss, and the score that follows from the noise predictor.

A network ``eps_omega(s, a_k, w, k)`` learns to predict the noise in ``a_k = sqrt(abar_k) a + sqrt(1 - abar_k) eps``. At
its optimum ``eps = -sqrt(1 - abar_k) grad log p_k(a_k | s, w)``, so the score is ``-eps / sqrt(1 - abar_k)``. SMAC
prints its penalty with ``+eps``, which points away from the data. That sign is available as ``score_sign="literal"``
(:mod:`smac_jax.scores.dataset`).

Source: SMAC section 4 (K = 32 steps, cosine schedule, conditioned on the best return when it is used); Ho et al. 2020
(arXiv 2006.11239), equations 12 and 14; Nichol and Dhariwal 2021 (arXiv 2102.09672), equation 17.
"""

from __future__ import annotations

from typing import Protocol

import chex
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from smac_jax.types import Array, Key, Params, Transition


class PredictNoise(Protocol):
    """The noise predictor as a function, such as ``apply`` of :class:`smac_jax.networks.NoisePredictor`."""

    def __call__(
        self,
        params: Params,
        observation: Float[Array, "batch observation"],
        noised_action: Float[Array, "batch action"],
        condition: Float[Array, "batch"],
        time: Float[Array, "batch"],
        /,
    ) -> Float[Array, "batch action"]:
        """Returns ``eps_omega(s, a_k, w, k)``, where ``time = k / K``."""


def cosine_schedule(num_steps: int, offset: float = 0.008) -> Float[np.ndarray, "step"]:
    """Returns ``abar_k`` for ``k = 1 .. K``, the share of the data's variance that is left after ``k`` noise steps.

    Source: Nichol and Dhariwal, equation 17. As there, ``beta_k`` is at most 0.999.
    """
    t = np.arange(num_steps + 1) / num_steps
    f = np.cos((t + offset) / (1 + offset) * np.pi / 2) ** 2
    beta = np.clip(1 - f[1:] / f[:-1], 0.0, 0.999)
    return np.cumprod(1 - beta).astype(np.float32)


def noise_prediction_loss(
    predict: PredictNoise, params: Params, batch: Transition, num_steps: int, key: Key
) -> Float[Array, ""]:
    """Returns ``mean || eps - eps_omega(s, sqrt(abar_k) a + sqrt(1 - abar_k) eps, w, k) ||^2`` with random ``k``.

    ``k`` is uniform in ``1 .. K``. Source: Ho et al., equation 14.

    Args:
      predict: the noise predictor.
      params: the parameters of the noise predictor, with respect to which the loss is differentiated.
      batch: normalized observations ``[batch, observation]``, actions ``[batch, action]``, conditions ``[batch]``.
      num_steps: ``K``, the number of noise steps.
      key: the random key of ``k`` and the noise.
    """
    step_key, noise_key = jax.random.split(key)
    step = jax.random.randint(step_key, batch.reward.shape, 0, num_steps, jnp.int32)
    noise = jax.random.normal(noise_key, batch.action.shape, batch.action.dtype)
    abar = jnp.asarray(cosine_schedule(num_steps))[step][..., None]
    noised = jnp.sqrt(abar) * batch.action + jnp.sqrt(1 - abar) * noise
    times = (step + 1).astype(jnp.float32) / num_steps
    predicted = predict(params, batch.observation, noised, batch.condition, times)
    chex.assert_equal_shape([predicted, noise])
    return jnp.mean(jnp.sum((predicted - noise) ** 2, axis=-1))


def noise_level(num_steps: int, level: int) -> float:
    """Returns the standard deviation of the noise on the data's actions at ``level`` (0 has the least noise)."""
    abar = float(cosine_schedule(num_steps)[level])
    return float(np.sqrt((1 - abar) / abar))


def data_score(
    predict: PredictNoise,
    params: Params,
    observation: Float[Array, "batch observation"],
    action: Float[Array, "batch action"],
    condition: Float[Array, "batch"],
    num_steps: int,
    level: int = 0,
) -> Float[Array, "batch action"]:
    """Returns ``grad_a log p(a | s, w) [batch, action]``, where ``p`` is the density of noised actions of the data.

    The standard deviation of the noise is :func:`noise_level`. Step ``k`` of the diffusion scales actions by
    ``sqrt(abar_k)``. The change of variables back to the action box multiplies the argument and the gradient by this
    factor, which is 0.998 at level 0 and smaller at higher levels.

    Args:
      predict, params: the noise predictor and its parameters.
      observation, action: the points of evaluation, ``[batch, observation]`` and ``[batch, action]``.
      condition: ``w [batch]``, which is 1 for the best trajectories of the data set.
      num_steps: ``K``, the number of noise steps.
      level: the noise level, from 0 (least noise) to ``K - 1``.
    """
    chex.assert_rank([observation, action, condition], [2, 2, 1])
    abar = float(cosine_schedule(num_steps)[level])
    time = jnp.full(action.shape[:-1], (level + 1) / num_steps, jnp.float32)
    noise = predict(params, observation, float(np.sqrt(abar)) * action, condition, time)
    return -noise * float(np.sqrt(abar / (1 - abar)))
