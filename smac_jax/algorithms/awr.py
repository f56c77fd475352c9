"""Online AWR: advantage-weighted regression with the pre-trained critics.

    L_pi = -mean min(exp(A(s, a) / temperature), limit) log pi(a|s)                               (equation 7)

Source: Peng et al. 2019 (arXiv 1910.00177), equation 7; SMAC, tables 6-8, "AWR temperature": 0.4 for locomotion, 20
for Adroit, 5 for the kitchen. SMAC does not say whether the advantage is divided by this number (as in Peng's paper) or
multiplied (as by IQL's beta). Here it is divided, because the number is called a temperature.

Deviations: Peng's values are Monte-Carlo returns. SMAC transfers critics, so the advantage and the critic step are
those of AWAC (:mod:`smac_jax.algorithms.awac`). Advantages are not standardized before the exponential, so that the
temperature is in the units of the reward. Weights are clipped at 100 (Peng's code: 20). The optimizer is Adam (Peng:
momentum), sigma is learned (Peng: fixed), and there is no penalty on means outside the box. Exploration is by samples
of the policy. The density of a policy with tanh is computed at actions of at most 0.99999.
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
    """The hyperparameters of online AWR."""

    temperature: float = number(0.4, 1e-6, doc="the number by which the advantage is divided")


def init(
    config: AWRConfig, key: Key, actor_critic: ActorCritic, training_state: TrainingState | None = None
) -> Learner:
    """Returns the initial state with the pre-trained networks, and with the optimizers that the config asks for.

    Raises:
      ConfigError: the config asks for optimizer states that are missing or have another form.
    """
    del key
    return carry_optimizers(config, new_learner(config, actor_critic), training_state)


def awr(config: AWRConfig) -> OnlineAlgorithm[Learner]:
    """Builds AWR from its config.

    Raises:
      ConfigError: the batch cannot be split into ``utd`` equal parts.
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
