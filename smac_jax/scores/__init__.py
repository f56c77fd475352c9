"""Scores of the data and of the policy, and the penalty that matches the critics' action-gradients to a score."""

from smac_jax.registry import SCORES
from smac_jax.scores.base import Score, ScoreBuilder, ScoreTraining, WeightedScore
from smac_jax.scores.dataset import DatasetScore, DatasetScoreConfig, ScoreModelConfig
from smac_jax.scores.diagnostics import identity_metrics
from smac_jax.scores.diffusion import cosine_schedule, data_score, noise_level, noise_prediction_loss
from smac_jax.scores.make import make_score
from smac_jax.scores.penalty import MatchingPoints, action_gradient, score_matching_penalty
from smac_jax.scores.policy import PolicyScore, PolicyScoreConfig, damped_policy_score

__all__ = [
    "SCORES",
    "DatasetScore",
    "DatasetScoreConfig",
    "MatchingPoints",
    "PolicyScore",
    "PolicyScoreConfig",
    "Score",
    "ScoreBuilder",
    "ScoreModelConfig",
    "ScoreTraining",
    "WeightedScore",
    "action_gradient",
    "cosine_schedule",
    "damped_policy_score",
    "data_score",
    "identity_metrics",
    "make_score",
    "noise_level",
    "noise_prediction_loss",
    "score_matching_penalty",
]
