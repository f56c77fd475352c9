"""The Flax modules: the perceptron, the actor, the ensemble of critics and the noise predictor."""

from smac_jax.networks.actor import Actor, BoxGaussian, Policy, TanhGaussian
from smac_jax.networks.critic import Critic, aggregate, ensemble_values, init_ensemble, tie_heads
from smac_jax.networks.flow import OneStepFlow
from smac_jax.networks.mlp import MLP, num_parameters
from smac_jax.networks.noise_predictor import NoisePredictor

__all__ = [
    "MLP",
    "Actor",
    "BoxGaussian",
    "Critic",
    "NoisePredictor",
    "OneStepFlow",
    "Policy",
    "TanhGaussian",
    "aggregate",
    "ensemble_values",
    "init_ensemble",
    "num_parameters",
    "tie_heads",
]
