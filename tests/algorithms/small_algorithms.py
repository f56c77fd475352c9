"""Settings with which any offline algorithm trains in a moment."""

from typing import Any

NETWORK = {"actor_hidden": (8,), "critic_hidden": (8,)}
_MORE = {
    "smac": {"alpha_hidden": (8,), "score_model": {"num_updates": 5, "hidden": 8, "num_blocks": 1, "embedding": 4}},
    "iql": {"value_hidden": (8,)},
    "cql": {"num_actions": 2},
    "cal_ql": {"num_actions": 2},
}


def small(name: str) -> dict[str, Any]:
    """Of one algorithm."""
    return {"batch_size": 16, "network": NETWORK, **_MORE.get(name, {})}
