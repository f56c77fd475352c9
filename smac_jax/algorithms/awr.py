"""AWR, online: advantage-weighted regression with the pre-trained critics.

    L_pi = -mean min(exp(A(s, a) / temperature), limit) log pi(a|s)                               (equation 7)

Source: Peng et al. 2019 (arXiv 1910.00177), equation 7; SMAC, tables 6-8, "AWR temperature": 0.4 for locomotion, 20
for Adroit, 5 for the kitchen. SMAC does not say whether the advantage is divided by it (Peng) or multiplied (IQL's
beta); the word and Peng's equation say divided.
Deviations: Peng's values are Monte-Carlo returns; what SMAC transfers is a critic, so the advantage and the critics'
step are those of AWAC (:mod:`smac_jax.algorithms.awac`). Advantages are not standardized before the exponential, so
that the temperature is in the units of the reward; weights are clipped at 100 (Peng's code: 20); Adam (momentum); sigma
is learned (fixed), and there is no penalty on means outside the box. Exploration is by draws from the policy. The
density of a squashed policy is taken at actions of at most 0.99999.
"""

from __future__ import annotations

import dataclasses
from functools import partial

from smac_jax.algorithms import awac
from smac_jax.algorithms.actor_critic import ActorCritic
from smac_jax.algorithms.carry_over import CarryOverConfig, carry_optimizers
from smac_jax.algorithms.contracts import OnlineAlgorithm, TrainingState
from smac_jax.algorithms.high_utd import check_utd
from smac_jax.algorithms.learner import Learner, actor_critic_of, draw_action, new_learner
from smac_jax.config import number
from smac_jax.types import Key


@dataclasses.dataclass(frozen=True)
class AWRConfig(awac.AdvantageWeightedConfig, CarryOverConfig):
    """Hyper-parameters of online AWR."""

    temperature: float = number(0.4, 1e-6, doc="the advantage is divided by it")


def init(
    config: AWRConfig, key: Key, actor_critic: ActorCritic, training_state: TrainingState | None = None
) -> Learner:
    """Starts from an actor-critic as it is, with the optimizers that the config asks for.

    Raises:
      ConfigError: the config asks for optimizers that are missing or do not fit.
    """
    del key
    return carry_optimizers(config, new_learner(config, actor_critic), training_state)


def awr(config: AWRConfig) -> OnlineAlgorithm[Learner]:
    """Builds AWR from its config.

    Raises:
      ConfigError: the batch cannot be cut in ``utd`` equal parts.
    """
    check_utd(config)
    return OnlineAlgorithm(
        name="awr",
        config=config,
        init=partial(init, config),
        update=partial(awac.update, config),
        act=draw_action,
        actor_critic=actor_critic_of,
        batch_size=config.batch_size,
        needs_density=True,
    )
