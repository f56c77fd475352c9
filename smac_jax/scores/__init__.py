"""The heart: the data's score, the policy's score, and the penalty that matches the critic's action-gradient to one."""

from smac_jax.scores.diffusion import cosine_schedule, data_score, noise_level, noise_prediction_loss
from smac_jax.scores.penalty import action_gradient, score_matching_penalty
from smac_jax.scores.policy import damped_policy_score, policy_score

__all__ = [
    "action_gradient",
    "cosine_schedule",
    "damped_policy_score",
    "data_score",
    "noise_level",
    "noise_prediction_loss",
    "policy_score",
    "score_matching_penalty",
]
