"""AWR, online: advantage-weighted regression with the critics that were handed over.

    L_pi = -mean min(exp(A(s, a) / temperature), limit) log pi(a|s)

Source: Peng et al. 2019 (arXiv 1910.00177), equation 7; SMAC, tables 6-8, "AWR temperature": 0.4 for locomotion, 20
for Adroit, 5 for the kitchen. SMAC does not say whether the advantage is divided by it (Peng) or multiplied (IQL's
beta); the word and Peng's equation say divided.
Deviations: Peng's values are Monte-Carlo returns; what SMAC hands over is a critic, so the advantage and the critics'
step are AWAC's (:mod:`smac_jax.algorithms.awac`). Advantages are not standardized before the exponential, so that the
temperature is in the reward's units; weights are clipped at 100 (Peng's code: 20); Adam (momentum); sigma is learned
(fixed), and there is no penalty on means outside the box. Exploration is by the policy's own draws. The density of a
squashed policy is taken at actions of at most 0.99999.
"""

from __future__ import annotations

import dataclasses
from functools import partial

from jaxtyping import Float

from smac_jax.algorithms import awac
from smac_jax.algorithms.base import OnlineAlgorithm, StartConfig, check_parts
from smac_jax.config import number
from smac_jax.types import Array, Key


@dataclasses.dataclass(frozen=True)
class AWRConfig(awac.AdvantageWeightedConfig, StartConfig):
    """Hyper-parameters of online AWR."""

    temperature: float = number(0.4, 1e-6, doc="the advantage is divided by it")


def act(state: awac.State, observation: Float[Array, "observation"], key: Key) -> Float[Array, "action"]:
    """An action drawn from the policy."""
    return state.actor_critic.policy(observation).sample(key)


def awr(config: AWRConfig) -> OnlineAlgorithm:
    """Builds AWR from its config."""
    check_parts(config)
    return OnlineAlgorithm(
        name="awr",
        config=config,
        init=partial(awac.init, config),
        update=partial(awac.update, config),
        act=act,
        actor_critic=lambda state: state.actor_critic,
        batch_size=config.batch_size,
    )
