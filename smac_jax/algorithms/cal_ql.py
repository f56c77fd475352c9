"""Cal-QL: CQL whose critics are not decreased below the returns in the data.

    In CQL's log-sum-exp, at actions of the policy:  Q_i(s, a)  ->  max(Q_i(s, a), V_MC(s))       (equation 5.1)

``V_MC`` is the discounted return-to-go of the trajectory of the transition. For trajectories that were cut, or that
have no reward, :func:`smac_jax.data.trajectories.returns_to_go` defines it.

Source: Nakamoto et al. 2023 (arXiv 2303.05479), equation 5.1 and section 5. SMAC's paper prints ``min`` for ``max``;
the original paper and its code have ``max``. As in that code, values of uniform actions are not bounded, and those of
the policy's actions at ``s'`` are bounded by the return from ``s``, because they are evaluated at ``s``. Deviations:
those of :mod:`smac_jax.algorithms.cql`; the original code does not normalize observations.
"""

from __future__ import annotations

import dataclasses

from smac_jax.algorithms import cql, sac
from smac_jax.algorithms.contracts import OfflineAlgorithm
from smac_jax.config import switch


@dataclasses.dataclass(frozen=True)
class CalQLConfig(cql.CQLConfig):
    """The hyperparameters of CQL. Cal-QL's authors back up the best of ``num_actions`` samples."""

    max_target_backup: bool = switch(True)


def cal_ql(config: CalQLConfig) -> OfflineAlgorithm[sac.State]:
    """Builds Cal-QL from its config."""
    return cql.build("cal_ql", config, calibrated=True)
