"""Contact margins as the models' authors meant them, whatever MuJoCo is installed.

A geom's ``margin`` says from how far away it is in contact. For a contact of two geoms MuJoCo took the *larger* of
their margins until release 3.4; since 3.5 it takes the *sum*, and since 3.9 ``gap`` widens the margin where it
narrowed it (MuJoCo's changelog). D4RL's data were logged, and Gymnasium's models written, under the larger one. With
the sum hopper, ant, the Adroit hand and the kitchen, whose geoms have margins, feel what they touch from twice as far:
stepping from the logged rows of others, 75 % of hopper's rows whose state is known are reproduced and 46 % of ant's,
where all should be, and all are with the larger one (``tests/envs/test_logged_rows.py``).

Here a compiled model is changed so that each contact again has the larger margin. Every geom gets half of the largest
margin that any of its contacts should have, which is exact where both geoms of a contact have the same margin
(locomotion, pen, door, relocate), and where one without a margin touches only geoms that have one (the hammer's board).
What remains are contacts whose halves do not add up, such as two links of the kitchen's robot, which have no margin
and touch things that do: these become explicit contact pairs, whose margin MuJoCo takes as it is.

How the installed MuJoCo combines margins is measured (:func:`installed_rule`), not looked up by version.
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
    """How a MuJoCo combines what two geoms have.

    Attributes:
      combine: "max" or "sum".
      gap_widens: a contact is detected from ``margin + gap`` and acts from ``margin``; else from ``margin``, and acts
        from ``margin - gap``.
    """

    combine: str
    gap_widens: bool


@functools.cache
def installed_rule() -> Rule:
    """How the installed MuJoCo combines the margins and gaps of two geoms, measured on two spheres.

    Raises:
      ConfigError: in a way that is not known here.
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
        f"gaps of 0.02 and 0.05, act from {acts_from:g}; known: {', '.join(map(str, known))}), so the robots would not "
        "be those of the data. Install mujoco==3.17.0."
    )


def compile_with_margins(spec: mujoco.MjSpec, margins: str = "max") -> mujoco.MjModel:
    """A compiled model in which the margins of two geoms combine by the rule asked for.

    Args:
      spec: what to compile; it may gain contact pairs and names of geoms.
      margins: "max", as in MuJoCo until 3.4, in which the data were logged; or "sum", as MuJoCo 3.17 does by itself, to
        be equal to Gymnasium as it is installed today.

    Raises:
      ConfigError: another rule; or "sum" under a MuJoCo that takes the larger one.
    """
    if margins not in RULES:
        raise ConfigError(f"margins must be one of {', '.join(RULES)}; got {margins!r}.")
    rule = installed_rule()
    if margins == "sum" and rule.combine != "sum":
        raise ConfigError(f"margins='sum' needs MuJoCo 3.5 or later; {mujoco.__version__} takes the larger margin.")
    model = spec.compile()
    if margins == rule.combine:
        return model
    wanted = _wanted_by_contact(model, rule)
    shares = _shares(model, wanted)
    apart = [pair for pair, contact in wanted.items() if not np.allclose(shares[list(pair)].sum(0), contact, 0, 1e-12)]
    declared = [pair for pair in spec.pairs if pair.gap and rule.gap_widens]
    for pair in declared:
        pair.margin -= pair.gap
    if apart or declared:
        _add_pairs(spec, model, {pair: wanted[pair] for pair in apart})
        model = spec.compile()
    model.geom_margin[:], model.geom_gap[:] = shares.T
    reach = model.geom_margin + model.geom_gap if rule.gap_widens else model.geom_margin
    model.body_margin[:] = 0.0  # what the middle phase of collision detection goes by
    np.maximum.at(model.body_margin, model.geom_bodyid, reach)
    return model


def _wanted_by_contact(model: mujoco.MjModel, rule: Rule) -> dict[tuple[int, int], Float[np.ndarray, " 2"]]:
    """For each two geoms that can touch, the margin and gap that their contact should have."""
    wanted = {}
    for i, j in itertools.combinations(range(model.ngeom), 2):
        if _can_touch(model, i, j):
            margin, gap = max(model.geom_margin[[i, j]]), max(model.geom_gap[[i, j]])
            wanted[i, j] = np.array([margin - gap if rule.gap_widens else margin, gap])
    return wanted


def _can_touch(model: mujoco.MjModel, i: int, j: int) -> bool:
    """Whether MuJoCo itself would look for a contact of two geoms (documentation, "Collision detection: Selection")."""
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


def _shares(
    model: mujoco.MjModel, wanted: dict[tuple[int, int], Float[np.ndarray, " 2"]]
) -> Float[np.ndarray, "geom 2"]:
    """Margin and gap of each geom: half of the largest that its contacts should have; as it was where it has none."""
    most = np.full((model.ngeom, 2), -np.inf)
    for pair, contact in wanted.items():
        most[list(pair)] = np.maximum(most[list(pair)], contact)
    return np.where(np.isfinite(most), 0.5 * most, np.stack([model.geom_margin, model.geom_gap], -1))


def _add_pairs(
    spec: mujoco.MjSpec, model: mujoco.MjModel, contacts: dict[tuple[int, int], Float[np.ndarray, " 2"]]
) -> None:
    """Makes contacts explicit pairs of given margins and gaps, in all else the contacts that MuJoCo would make."""
    declared = {frozenset((pair.geomname1, pair.geomname2)) for pair in spec.pairs}
    geoms = {geom.id: geom for geom in spec.geoms}
    for (i, j), (margin, gap) in contacts.items():
        for geom in (i, j):
            geoms[geom].name = geoms[geom].name or f"smac_jax geom {geom}"
        names = geoms[i].name, geoms[j].name
        if frozenset(names) in declared:
            continue  # MuJoCo goes by the author's pair already
        pair = spec.add_pair(geomname1=names[0], geomname2=names[1], margin=margin, gap=gap)
        pair.condim, pair.friction[:], pair.solref[:], pair.solimp[:] = _contact_parameters(model, i, j)


def _contact_parameters(
    model: mujoco.MjModel, i: int, j: int
) -> tuple[int, Float[np.ndarray, " 5"], Float[np.ndarray, " 2"], Float[np.ndarray, " 5"]]:
    """Dimension, friction, reference and impedance of a contact, as MuJoCo's ``mj_contactParam`` combines them."""
    priority = model.geom_priority[[i, j]]
    if priority[0] != priority[1]:
        i = j = (i, j)[int(np.argmax(priority))]  # of the one alone
    weights = model.geom_solmix[[i, j]]
    mix = weights[0] / weights.sum() if weights.sum() >= mujoco.mjMINVAL else 0.5
    reference = model.geom_solref[[i, j]]
    by_time = (reference[:, 0] > 0).all()  # else stiffness and damping, as negative numbers
    sliding, spinning, rolling = model.geom_friction[[i, j]].max(0)
    return (
        int(model.geom_condim[[i, j]].max()),
        np.array([sliding, sliding, spinning, rolling, rolling]),
        mix * reference[0] + (1 - mix) * reference[1] if by_time else reference.min(0),
        mix * model.geom_solimp[i] + (1 - mix) * model.geom_solimp[j],
    )
