"""Is a transfer sound? What a run has logged by the time of its transfer, judged.

Pure functions from logged numbers to a verdict: sound, not sound, or unknown, each with the figure that it rests on and
with one sentence that says what to do. What each number means, and how far each threshold was found to be right:
``docs/pages/is-my-transfer-sound.md``.
"""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from smac_jax.text import count

SOUND, NOT_SOUND, UNKNOWN = "sound", "not sound", "unknown"
"""Verdicts. Sound: nothing was found against it. Unknown: what would decide was not measured, or is in between."""

IDENTITY_COSINE = 0.5
"""The least mean cosine between ``grad_a Q`` and the score for the identity to hold: 60 degrees. Even with the best
scale alpha, a gradient at this angle leaves ``1 - 0.5^2``, which is :data:`IDENTITY_RESIDUAL`, unexplained."""

IDENTITY_RESIDUAL = 0.75
"""The largest residual for the identity to hold. That of a flat Q, which knows nothing, is 1."""

RELEASED = 0.1
"""The penalty counts as released where its gradient is less than this share of the temporal differences' gradient: the
critics then follow the temporal differences, and the identity is not asked for any more."""

OPTIMISTIC = 0.25
"""Critics that promise a quarter more than the policy gets are too optimistic. Over 20 episodes the figure itself is
uncertain by some hundredths. Well-behaved critics lie within a tenth or two of zero (REDQ, Chen et al. 2021, figure
2); those of a transfer that has failed were found between 1 and 3."""

AT_LEVEL = 0.75
"""Critics whose values are less than this share of the discounted return have not reached its level yet, unless they
are pessimistic by construction (CQL). They begin at 0, and temporal differences carry rewards back step by step."""

PREFERRED = 0.1
"""The largest share of random actions that the critics may prefer to the policy's own. SMAC's preferred at most 0.02,
those of IQL and TD3+BC on half cheetah, whose returns SAC loses, 0.25 to 0.53; one half is a critic that cannot tell
the policy's actions from any others."""

CAUGHT_UP = 0.75
"""The least share of this run's offline return that the control with ``kappa = 0`` must reach. Of this project's
published transfers of SMAC to SAC the 12 below it dipped by 18 to 51 %, and 13 of the 19 above by less than 18 %."""

GROWING = 0.5
"""Temporal differences that grow by more than this, relative to the values, within a third of the training diverge."""


@dataclasses.dataclass(frozen=True, eq=False)
class Evidence:
    """What one run, of one seed, has logged by its transfer. NaN where it was not logged.

    Attributes:
      cosine: between ``grad_a Q`` and ``alpha * score``, the mean of that at the policy's and at uniform actions.
      residual: of the identity ``grad_a Q = alpha * score``, squared, over what it would be for a flat Q.
      pull: size of the penalty's gradient over that of the temporal differences (``gradient_ratio``).
      optimism: of the critics at the transfer, as a share of the discounted return (``relative_optimism``).
      level: the mean of the critics' values at the transfer over the mean discounted return.
      final_optimism: ``optimism`` at the end of fine-tuning.
      preferred: share of random actions that the critics value above the policy's own (``random_preferred``).
      share: what the control with ``kappa = 0`` earns offline over what this run does, both above a random policy.
      growth: of the temporal differences relative to the values, from the second to the last third of the offline
        training: 0.5 is half as much again.
    """

    cosine: float = math.nan
    residual: float = math.nan
    pull: float = math.nan
    optimism: float = math.nan
    level: float = math.nan
    final_optimism: float = math.nan
    preferred: float = math.nan
    share: float = math.nan
    growth: float = math.nan


class Finding(NamedTuple):
    """What one check found.

    Attributes:
      verdict: :data:`SOUND`, :data:`NOT_SOUND` or :data:`UNKNOWN`.
      figure: what it rests on; empty where nothing was logged.
      advice: what to do, a sentence; empty where there is nothing to do.
    """

    verdict: str
    figure: str = ""
    advice: str = ""


class Diagnosis(NamedTuple):
    """The verdict on one run, of one seed.

    Attributes:
      verdict: not sound where one check says so; sound where the checks of other actions and of temporal differences
        say so, and no check is against it; else unknown.
      findings: of each check, by a name of :data:`CHECKS`.
    """

    verdict: str
    findings: dict[str, Finding]


def identity(evidence: Evidence) -> Finding:
    """Does ``grad_a Q = alpha * score`` hold? Asked of SMAC, as long as its penalty is in force."""
    cosine, residual = evidence.cosine, evidence.residual
    if not math.isfinite(cosine):
        return Finding(UNKNOWN)
    if evidence.pull < RELEASED:
        return Finding(UNKNOWN, f"released ({cosine:.2f})")
    figure = f"{cosine:.2f}" + (f" / {residual:.2f}" if math.isfinite(residual) else "")
    if cosine >= IDENTITY_COSINE and not residual > IDENTITY_RESIDUAL:
        return Finding(SOUND, figure)
    return Finding(
        NOT_SOUND,
        figure,
        "The critics do not have the data's score: pre-train longer, raise smac.kappa, and see that alpha has not "
        "fallen to zero (smac.alpha_floor) and that the score model's loss has settled (smac.score_model.num_updates).",
    )


def optimism(evidence: Evidence) -> Finding:
    """Do the critics promise more than the policy gets?"""
    if not math.isfinite(evidence.optimism):
        return Finding(UNKNOWN)
    figure = percent(evidence.optimism)
    if evidence.optimism <= OPTIMISTIC:
        return Finding(SOUND, figure)
    if evidence.level < AT_LEVEL:  # of losses: where rewards are negative, critics that know little promise much
        return Finding(
            NOT_SOUND, figure, "The critics do not know yet what the policy will lose: pre-train longer, at least."
        )
    return Finding(
        NOT_SOUND,
        figure,
        "The critics promise more than the policy gets: give them a layer norm (network.critic_layer_norm), take the "
        "smallest of more of them in the backup (network.num_critics), or lower their learning rate.",
    )


def other_actions(evidence: Evidence) -> Finding:
    """Do the critics prefer other actions to the policy's, so that an online algorithm will leave it?"""
    if not math.isfinite(evidence.preferred):
        return Finding(UNKNOWN)
    figure = percent(evidence.preferred, sign=False)
    if evidence.preferred <= PREFERRED:
        return Finding(SOUND, figure)
    return Finding(
        NOT_SOUND,
        figure,
        "The critics prefer many random actions to the policy's own, and SAC or TD3 will follow them: pre-train "
        "longer or with SMAC's penalty, or fine-tune with what holds on to the policy (td3_bc, awr).",
    )


def caught_up(evidence: Evidence) -> Finding:
    """Have temporal differences caught up with the policy, so that it stands on its own when the penalty is gone?"""
    if evidence.growth > GROWING:
        return Finding(
            NOT_SOUND,
            f"TD error {percent(evidence.growth)}",
            "Temporal differences grow faster than the values, as before a divergence: give the critics a layer norm "
            "(network.critic_layer_norm), or lower their learning rate.",
        )
    if math.isfinite(evidence.share):
        figure = f"kappa 0: {percent(evidence.share, sign=False)}"
        if evidence.share >= CAUGHT_UP:
            return Finding(SOUND, figure)
        return Finding(
            NOT_SOUND,
            figure,
            "Temporal differences alone do not earn what this policy does, and it will fall towards what they earn: "
            "pre-train longer, or lower the penalty or release it before the transfer "
            '(smac.kappa_adaptation="decay"), and carry the optimizers over (sac.optimizer_start="carried").',
        )
    if not math.isfinite(evidence.level):
        return Finding(UNKNOWN)
    figure = f"level: {percent(evidence.level, sign=False)}"
    if evidence.level >= AT_LEVEL:
        return Finding(SOUND, figure)
    low = "The critics' values have not reached the level of what the policy gets: pre-train longer"
    if not math.isfinite(evidence.pull):
        return Finding(UNKNOWN, figure, f"{low}.")
    return Finding(
        UNKNOWN,
        figure,
        f"{low}, or train the same without the penalty beside it (--vary=smac.kappa=0.001,5.0): its return says how "
        "far temporal differences are.",
    )


def after(evidence: Evidence) -> Finding:
    """Do the critics promise more than the policy gets once it was fine-tuned?"""
    if not math.isfinite(evidence.final_optimism):
        return Finding(UNKNOWN)
    figure = percent(evidence.final_optimism)
    if evidence.final_optimism <= OPTIMISTIC:
        return Finding(SOUND, figure)
    return Finding(
        NOT_SOUND,
        figure,
        "After fine-tuning the critics promise more than the policy gets: lower the temperature "
        '(sac.initial_temperature), carry the optimizers over (sac.optimizer_start="carried"), or give the critics a '
        "layer norm offline (network.critic_layer_norm).",
    )


CHECKS = {
    "cosine / residual": identity,
    "optimism": optimism,
    "random preferred": other_actions,
    "caught up": caught_up,
    "optimism at the end": after,
}
"""By what tables call them, in their order."""


def diagnose(evidence: Evidence) -> Diagnosis:
    """The verdict on a run of one seed."""
    findings = {name: check(evidence) for name, check in CHECKS.items()}
    verdicts = {name: finding.verdict for name, finding in findings.items()}
    if NOT_SOUND in verdicts.values():
        return Diagnosis(NOT_SOUND, findings)
    sound = verdicts["random preferred"] == verdicts["caught up"] == SOUND
    return Diagnosis(SOUND if sound else UNKNOWN, findings)


def gather(
    offline: Mapping[str, np.ndarray],
    at_transfer: Mapping[str, np.ndarray],
    at_end: Mapping[str, np.ndarray] | None = None,
    share: Float[np.ndarray, " seed"] | None = None,
) -> list[Evidence]:
    """The evidence of every seed of a run.

    Args:
      offline: metrics of pre-training, ``[point, seed]``, with ``phase`` ``[point]``: ``pretrain(...).metrics``.
      at_transfer: what evaluations of pre-training measured, ``[seed, evaluation]``:
        ``pretrain(...).evaluations.metrics``. The last one counts.
      at_end: the same of fine-tuning, where it is done.
      share: see :class:`Evidence`, where there was a control with ``kappa = 0``.
    """
    main = np.asarray(offline["phase"]) == "offline"
    columns = {name: np.asarray(values, float)[main] for name, values in offline.items() if np.ndim(values) == 2}
    # of a run whose metrics are all those of its evaluations, too
    seeds = next((len(of_seeds) for of_seeds in (*at_transfer.values(), *(x.T for x in columns.values()))), 0)

    def last(name: str, seed: int) -> float:
        found = columns[name][:, seed] if name in columns else np.zeros(0)
        found = found[np.isfinite(found)]
        return float(found[-1]) if found.size else math.nan

    def last_of(evaluations: Mapping[str, np.ndarray] | None, name: str, seed: int) -> float:
        values = (evaluations or {}).get(name)
        return float(values[seed][-1]) if values is not None and np.size(values[seed]) else math.nan

    def level(seed: int) -> float:
        got = last_of(at_transfer, "discounted_return", seed)
        return last_of(at_transfer, "value", seed) / got if got else math.nan

    def growth(seed: int) -> float:
        if not {"td_loss", "q"} <= columns.keys():
            return math.nan
        with np.errstate(divide="ignore", invalid="ignore"):
            return growth_of(np.sqrt(columns["td_loss"][:, seed]) / np.abs(columns["q"][:, seed]))

    return [
        Evidence(
            cosine=(last("cosine_policy", seed) + last("cosine_uniform", seed)) / 2,
            residual=last("relative_residual", seed),
            pull=last("gradient_ratio", seed),
            optimism=last_of(at_transfer, "relative_optimism", seed),
            level=level(seed),
            final_optimism=last_of(at_end, "relative_optimism", seed),
            preferred=last_of(at_transfer, "random_preferred", seed),
            share=math.nan if share is None else float(share[seed]),
            growth=growth(seed),
        )
        for seed in range(seeds)
    ]


def growth_of(values: Float[np.ndarray, " point"]) -> float:
    """How much larger the mean of the last third is than that of the second: 0 for a level. NaN for fewer than 3."""
    values = np.asarray(values, float)
    values = values[np.isfinite(values)]
    if len(values) < 3:
        return math.nan
    third = len(values) // 3
    before = values[-2 * third : -third].mean()
    return float(values[-third:].mean() / before - 1.0) if before > 0 else math.nan


def share_of(
    returns: Float[np.ndarray, " seed"], control: Float[np.ndarray, " control_seed"], random_return: float
) -> Float[np.ndarray, " seed"]:
    """What a control earns over what each seed does, both above a random policy; NaN for seeds no better than that.

    Args:
      returns: of each seed, at the end of pre-training.
      control: the same of the control with ``kappa = 0``; its mean counts.
      random_return: of a random policy.
    """
    above = np.asarray(returns, float) - random_return
    finite = np.asarray(control, float)
    finite = finite[np.isfinite(finite)]
    if not finite.size:
        return np.full(len(above), np.nan)
    return np.where(above > 0, (finite.mean() - random_return) / np.where(above > 0, above, 1.0), np.nan)


class Summary(NamedTuple):
    """The diagnoses of all seeds of a pair, together.

    Attributes:
      verdict: with the number of seeds where these do not agree.
      cells: for each check of :data:`CHECKS` the figure of the seeds' mean, ``(!)`` behind it where a seed is not
        sound, ``(?)`` where one could not be decided.
      advice: of checks that have any, with how many seeds it is for.
      seeds: the diagnosis of each.
    """

    verdict: str
    cells: dict[str, str]
    advice: list[str]
    seeds: list[Diagnosis]


def summarize(evidence: Sequence[Evidence]) -> Summary:
    """Judges every seed of a pair. One seed that is not sound makes the pair so: it may be the one that is deployed."""
    seeds = [diagnose(one) for one in evidence]
    together = diagnose(mean_evidence(evidence))
    cells = {
        name: marked(finding.figure, [seed.findings[name] for seed in seeds])
        for name, finding in together.findings.items()
    }
    verdict = worst([seed.verdict for seed in seeds])
    alike = sum(seed.verdict == verdict for seed in seeds)
    advice = Counter(finding.advice for seed in seeds for finding in seed.findings.values() if finding.advice)
    of_seeds = [
        sentence if number == len(seeds) else f"{sentence} ({number} of {count(len(seeds), 'seed')})"
        for sentence, number in advice.items()
    ]
    some = "" if alike == len(seeds) else f" ({alike} of {len(seeds)})"
    return Summary(verdict + some, cells, of_seeds, seeds)


def marked(figure: str, findings: Sequence[Finding]) -> str:
    """A figure with the mark of the worst of some findings: ``(!)`` for not sound, ``(?)`` where advice is given."""
    if not figure:
        return ""
    verdict = worst([finding.verdict for finding in findings])
    undecided = verdict == UNKNOWN and any(finding.advice for finding in findings)
    return figure + (" (!)" if verdict == NOT_SOUND else " (?)" if undecided else "")


def mean_evidence(evidence: Sequence[Evidence]) -> Evidence:
    """The mean of each number over the seeds that have it."""

    def mean(name: str) -> float:
        found = [value for one in evidence if math.isfinite(value := getattr(one, name))]
        return sum(found) / len(found) if found else math.nan

    return Evidence(**{field.name: mean(field.name) for field in dataclasses.fields(Evidence)})


def worst(verdicts: Sequence[str]) -> str:
    """Not sound before unknown before sound; of nothing, unknown."""
    return next((verdict for verdict in (NOT_SOUND, UNKNOWN, SOUND) if verdict in verdicts), UNKNOWN)


def percent(share: float, sign: bool = True) -> str:
    """``+12 %``, or without its sign."""
    return f"{round(100 * share):{'+' if sign else ''}d} %"
