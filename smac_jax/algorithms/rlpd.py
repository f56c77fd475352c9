"""RLPD: SAC with half of each batch from offline data, and with many critic steps in each update.

Source: Ball et al. 2023 (arXiv 2302.02948), algorithm 1, and ``rlpd/agents/sac/sac_learner.py`` of its authors. It is
:mod:`smac_jax.algorithms.sac` with other defaults and one difference: the steps of policy and temperature are on the
last minibatch of the critics, not on the whole batch. The other parts of the algorithm belong to the networks and to
the training loop: layer norm, ten critics, symmetric sampling, and no offline training. The preset ``rlpd``
(:mod:`smac_jax.presets.rlpd`) sets all of them.

Deviations: on average half of the rows of a minibatch are from the data; in the published code it is exactly half. In
the first 5,000 steps the untrained policy acts; in the published code actions are uniform.
"""

from __future__ import annotations

import dataclasses
from functools import partial

from smac_jax.algorithms import sac
from smac_jax.algorithms.contracts import OnlineAlgorithm
from smac_jax.algorithms.high_utd import check_utd, last_part
from smac_jax.algorithms.learner import actor_critic_of, draw_action
from smac_jax.config import choice, number, switch


@dataclasses.dataclass(frozen=True)
class RLPDConfig(sac.SACConfig):
    """The hyperparameters of SAC, with the defaults of RLPD's code for locomotion."""

    batch_size: int = number(20 * 256, 1, doc="the number of rows of all minibatches together")
    utd: int = number(20, 1, 1000, doc="the number of critic minibatches in each update")
    actor_learning_rate: float = number(3e-4, 0.0, 1.0)
    initial_temperature: float = number(1.0, 1e-8, 1e3)
    target_entropy_scale: float = number(-0.5, -100.0, 100.0, doc="the target entropy for each action dimension")
    entropy_backup: bool = switch(True, doc="whether targets include the entropy (RLPD: not for AntMaze and Adroit)")
    backup_aggregation: str = choice(
        "random2", "mean", "min", "random2_independent", doc="'random2' uses two of the critics (RLPD on AntMaze: one)"
    )
    policy_aggregation: str = choice("mean", "min", "random2")
    td_reduction: str = choice("mean", "sum", doc="the reduction of the squared errors over the critics")


def rlpd(config: RLPDConfig) -> OnlineAlgorithm[sac.State]:
    """Builds RLPD from its config.

    Raises:
      ConfigError: the batch cannot be split into ``utd`` equal parts.
    """
    check_utd(config)
    return OnlineAlgorithm(
        name="rlpd",
        config=config,
        init=partial(sac.init, config),
        update=partial(sac.update, config, policy_rows=partial(last_part, config)),
        act=draw_action,
        actor_critic=actor_critic_of,
        batch_size=config.batch_size,
        needs_density=True,
    )
