"""Makes scores by name, and checks those that users have registered."""

from __future__ import annotations

from typing import Any

from smac_jax.errors import RegistrationError
from smac_jax.registry import SCORES
from smac_jax.scores.base import Score

NEEDED = ("init", "training", "actions", "evaluate")
"""The attributes of a :class:`~smac_jax.scores.base.Score`."""


def make_score(name: str, config: Any) -> Score[Any]:
    """Makes a score from its name and the config of the algorithm that uses it.

    Raises:
      UnknownNameError: there is no score of that name.
      RegistrationError: a score that a user has registered lacks an attribute of the contract.
    """
    score = SCORES[name](config)
    for needed in () if SCORES.is_built_in(name) else NEEDED:
        if not hasattr(score, needed):
            raise RegistrationError(
                f"The score {name!r} is of the class {type(score).__name__}, which has no {needed!r}. It needs: "
                f"{', '.join(NEEDED)} (smac_jax.extend.Score describes them)."
            )
    return score
