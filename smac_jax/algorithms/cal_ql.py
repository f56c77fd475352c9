"""Cal-QL: CQL whose critics are not pushed below what the data are known to have earned.

    In CQL's log-sum-exp, at actions of the policy:  Q_i(s, a)  ->  max(Q_i(s, a), V_MC(s))       (equation 5.1)

``V_MC`` is the discounted return-to-go of the trajectory that the transition belongs to
(:func:`smac_jax.data.dataset.returns_to_go` says what it is where the trajectory was cut, or never earned anything).

Source: Nakamoto et al. 2023 (arXiv 2303.05479), equation 5.1 and section 5. SMAC's text prints ``min`` for ``max``; the
original paper and its code have ``max``. As in that code, uniform actions are not calibrated, and the policy's actions
at ``s'`` are bounded by the return from ``s``, where they are valued. Deviations: those of
:mod:`smac_jax.algorithms.cql`; the code does not normalize observations.
"""

from __future__ import annotations

import dataclasses

from smac_jax.algorithms import cql, sac
from smac_jax.algorithms.contracts import OfflineAlgorithm
from smac_jax.config import switch


@dataclasses.dataclass(frozen=True)
class CalQLConfig(cql.CQLConfig):
    """CQL's hyper-parameters; Cal-QL's authors back up the best of ``num_actions`` draws."""

    max_target_backup: bool = switch(True)


def cal_ql(config: CalQLConfig) -> OfflineAlgorithm[sac.State]:
    """Builds Cal-QL from its config."""
    return cql.build("cal_ql", config, calibrated=True)
