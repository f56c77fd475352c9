"""The identity of a run, which its folder records, and which must be the same when the run is resumed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from smac_jax.algorithms.contracts import OfflineAlgorithm, OnlineAlgorithm
from smac_jax.algorithms.make import code_behind


def run_identity(
    algorithm: OfflineAlgorithm[Any] | OnlineAlgorithm[Any],
    seeds: Sequence[int],
    *,
    eval_every: int,
    eval_episodes: int,
    final_episodes: int,
    episode_length: int,
    **fields: Any,
) -> dict[str, Any]:
    """Returns what all runs record: algorithm, seeds and evaluations; and the given fields of this kind of run.

    ``evaluation.draws`` is recorded only if it is true, so that runs of earlier versions can be resumed.

    Args:
      algorithm: the algorithm of the run.
      seeds: the numbers of the seeds.
      eval_every, eval_episodes, final_episodes, episode_length: as in :func:`smac_jax.pretrain`.
      fields: everything else on which the results depend.
    """
    code = code_behind(algorithm)
    return {
        "algorithm": algorithm.name,
        "config": algorithm.config,
        **({"code": code} if code else {}),
        "seeds": seeds,
        "evaluation": {
            "every": eval_every,
            "episodes": eval_episodes,
            "final_episodes": final_episodes,
            "length": episode_length,
            **({"draws": True} if algorithm.evaluate_draws else {}),
        },
        **fields,
    }
