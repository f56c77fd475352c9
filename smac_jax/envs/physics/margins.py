"""Gives contacts the margins that the authors of the models intended, with any release of MuJoCo.

The ``margin`` of a geom is the distance at which its contacts begin. Until release 3.4, MuJoCo gave a contact of two
geoms the *larger* of their margins. Since 3.5 it takes the *sum*, and since 3.9 ``gap`` widens the margin, which it
narrowed before (MuJoCo's changelog). D4RL's data were logged, and Gymnasium's models were written, with the larger one.
With the sum, contacts of hopper, ant, the Adroit hand and the kitchen, whose geoms have margins, begin at twice the
distance. Then one step from the states of public data reproduces 75 % of hopper's rows and 46 % of ant's. With the
larger margin it reproduces all of them (``tests/envs/test_logged_rows.py``).

This module changes a compiled model so that each contact has the larger margin again. Every geom gets half of the
largest margin that any of its contacts should have. That is exact if both geoms of a contact have the same margin
(locomotion, pen, door, relocate), and if a geom without a margin touches only geoms with one (the hammer's board). For
other contacts the halves do not add up. For example, the links of the kitchen's robot have no margin, and touch each
other as well as objects with one. Such contacts become explicit contact pairs, whose margin MuJoCo uses unchanged.

The rule of the installed MuJoCo is measured (:func:`installed_rule`), and does not depend on a list of versions.
"""

from __future__ import annotations

import functools
import itertools
from typing import NamedTuple

import mujoco
import numpy as np
from jaxtyping import Float

from smac_jax.errors import ConfigError

RULES = ("max", "sum")

# Two spheres 5 cm apart, with margins of 10 and 30 cm and gaps of 2 and 5 cm.
_PROBE = """
<mujoco>
  <worldbody>
    <geom type="sphere" size="0.1" margin="0.1" gap="0.02"/>
    <body pos="0 0 0.25"><freejoint/><geom type="sphere" size="0.1" margin="0.3" gap="0.05"/></body>
  </worldbody>
</mujoco>
"""
_PLANES = (mujoco.mjtGeom.mjGEOM_PLANE, mujoco.mjtGeom.mjGEOM_HFIELD)


class Rule(NamedTuple):
    """How a release of MuJoCo combines the margins and gaps of two geoms.

    Attributes:
      combine: "max" or "sum".
      gap_widens: if True, a contact is detected at a distance of ``margin + gap`` and acts at ``margin``. If False, it
        is detected at ``margin`` and acts at ``margin - gap``.
    """

    combine: str
    gap_widens: bool


@functools.cache
def installed_rule() -> Rule:
    """Returns how the installed MuJoCo combines the margins and gaps of two geoms, measured with two spheres.

    Raises:
      ConfigError: it combines them in an unknown way.
    """
    model = mujoco.MjModel.from_xml_string(_PROBE)
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    acts_from = float(data.contact.includemargin[0]) if data.ncon else float("nan")
    known = {0.25: Rule("max", False), 0.33: Rule("sum", False), 0.4: Rule("sum", True)}
    for expected, rule in known.items():
        if abs(acts_from - expected) < 1e-9:
            return rule
    raise ConfigError(
        f"MuJoCo {mujoco.__version__} combines contact margins in a way that smac_jax does not know (0.1 and 0.3, with "
        f"gaps of 0.02 and 0.05, act at {acts_from:g}; known: {', '.join(map(str, known))}), so the robots would "
        "differ from those of the data. Install mujoco==3.17.0."
    )


def compile_with_margins(spec: mujoco.MjSpec, margins: str = "max") -> mujoco.MjModel:
    """Compiles a model in which the margins of two geoms combine by the given rule.

    Args:
      spec: the specification of the model. Contact pairs and names of geoms may be added to it.
      margins: "max" is the rule of MuJoCo until 3.4, with which the data were logged. "sum" is the rule of MuJoCo 3.17,
        for equality with Gymnasium on the installed MuJoCo.

    Raises:
      ConfigError: the rule is not known, or it is "sum" and the installed MuJoCo takes the larger margin.
    """
    if margins not in RULES:
        raise ConfigError(f"margins must be one of {', '.join(RULES)}; got {margins!r}.")
    rule = installed_rule()
    if margins == "sum" and rule.combine != "sum":
        raise ConfigError(f"margins='sum' needs MuJoCo 3.5 or later; {mujoco.__version__} takes the larger margin.")
    model = spec.compile()
    if margins == rule.combine:
        return model
    targets = _contact_targets(model, rule)
    halves = _halves(model, targets)
    inexact = [pair for pair, target in targets.items() if not np.allclose(halves[list(pair)].sum(0), target, 0, 1e-12)]
    declared = [pair for pair in spec.pairs if pair.gap and rule.gap_widens]
    for pair in declared:
        pair.margin -= pair.gap
    if inexact or declared:
        _add_pairs(spec, model, {pair: targets[pair] for pair in inexact})
        model = spec.compile()
    model.geom_margin[:], model.geom_gap[:] = halves.T
    reach = model.geom_margin + model.geom_gap if rule.gap_widens else model.geom_margin
    model.body_margin[:] = 0.0  # the middle phase of collision detection uses these
    np.maximum.at(model.body_margin, model.geom_bodyid, reach)
    return model


def _contact_targets(model: mujoco.MjModel, rule: Rule) -> dict[tuple[int, int], Float[np.ndarray, " 2"]]:
    """Returns the margin and gap that the contact of each two geoms should have."""
    targets = {}
    for i, j in itertools.combinations(range(model.ngeom), 2):
        if _can_touch(model, i, j):
            margin, gap = max(model.geom_margin[[i, j]]), max(model.geom_gap[[i, j]])
            targets[i, j] = np.array([margin - gap if rule.gap_widens else margin, gap])
    return targets


def _can_touch(model: mujoco.MjModel, i: int, j: int) -> bool:
    """Returns whether MuJoCo tests two geoms for a contact (documentation, "Collision detection: Selection")."""
    types, bits = (model.geom_contype[[i, j]], model.geom_conaffinity[[i, j]])
    if not (types[0] & bits[1] or types[1] & bits[0]):
        return False
    if model.geom_type[i] in _PLANES and model.geom_type[j] in _PLANES:
        return False
    bodies = np.sort(model.geom_bodyid[[i, j]])
    if (int(bodies[0]) << 16) + int(bodies[1]) in model.exclude_signature:
        return False
    fused = model.body_weldid[bodies]
    if fused[0] == fused[1]:
        return False
    parents = model.body_weldid[model.body_parentid[fused]]
    related = fused.all() and (fused[0] == parents[1] or fused[1] == parents[0])
    return not related or bool(model.opt.disableflags & mujoco.mjtDisableBit.mjDSBL_FILTERPARENT)


def _halves(
    model: mujoco.MjModel, targets: dict[tuple[int, int], Float[np.ndarray, " 2"]]
) -> Float[np.ndarray, "geom 2"]:
    """Returns for each geom half of the largest margin and gap of its contacts. Geoms without contacts keep theirs."""
    largest = np.full((model.ngeom, 2), -np.inf)
    for pair, target in targets.items():
        largest[list(pair)] = np.maximum(largest[list(pair)], target)
    return np.where(np.isfinite(largest), 0.5 * largest, np.stack([model.geom_margin, model.geom_gap], -1))


def _add_pairs(
    spec: mujoco.MjSpec, model: mujoco.MjModel, contacts: dict[tuple[int, int], Float[np.ndarray, " 2"]]
) -> None:
    """Adds explicit contact pairs with given margins and gaps. All other parameters are those that MuJoCo would use."""
    declared = {frozenset((pair.geomname1, pair.geomname2)) for pair in spec.pairs}
    geoms = {geom.id: geom for geom in spec.geoms}
    for (i, j), (margin, gap) in contacts.items():
        for geom in (i, j):
            geoms[geom].name = geoms[geom].name or f"smac_jax geom {geom}"
        names = geoms[i].name, geoms[j].name
        if frozenset(names) in declared:
            continue  # MuJoCo uses the pair that the author of the model declared
        pair = spec.add_pair(geomname1=names[0], geomname2=names[1], margin=margin, gap=gap)
        pair.condim, pair.friction[:], pair.solref[:], pair.solimp[:] = _contact_parameters(model, i, j)


def _contact_parameters(
    model: mujoco.MjModel, i: int, j: int
) -> tuple[int, Float[np.ndarray, " 5"], Float[np.ndarray, " 2"], Float[np.ndarray, " 5"]]:
    """Returns dimension, friction, reference and impedance of a contact, combined as in ``mj_contactParam``."""
    priority = model.geom_priority[[i, j]]
    if priority[0] != priority[1]:
        i = j = (i, j)[int(np.argmax(priority))]  # only the geom with the higher priority counts
    weights = model.geom_solmix[[i, j]]
    mix = weights[0] / weights.sum() if weights.sum() >= mujoco.mjMINVAL else 0.5
    reference = model.geom_solref[[i, j]]
    by_time = (reference[:, 0] > 0).all()  # negative numbers are stiffness and damping
    sliding, spinning, rolling = model.geom_friction[[i, j]].max(0)
    return (
        int(model.geom_condim[[i, j]].max()),
        np.array([sliding, sliding, spinning, rolling, rolling]),
        mix * reference[0] + (1 - mix) * reference[1] if by_time else reference.min(0),
        mix * model.geom_solimp[i] + (1 - mix) * model.geom_solimp[j],
    )
