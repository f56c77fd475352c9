"""Is a transfer sound? A verdict from the metrics that a run has logged.

Pure functions from logged numbers to a verdict (sound, not sound, or unknown), with the number on which it is based and
a recommendation. ``docs/pages/is-my-transfer-sound.md`` explains each number and the evidence for each threshold.
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
"""The verdicts. Sound: no check failed. Unknown: the deciding number was not measured, or does not decide."""

IDENTITY_COSINE = 0.5
"""The least mean cosine between ``grad_a Q`` and the score for the identity to hold: an angle of 60 degrees. Even with
the best alpha, a gradient at this angle has a relative residual of ``1 - 0.5^2``, :data:`IDENTITY_RESIDUAL`."""

IDENTITY_RESIDUAL = 0.75
"""The largest relative residual for the identity to hold. A constant Q has a residual of 1."""

RELEASED = 0.1
"""The penalty counts as released if the ratio of its gradient to that of the temporal differences is less than this.
The critics then follow the temporal differences, and the identity is no longer required."""

OPTIMISTIC = 0.25
"""Critics whose values exceed the returns by more than a quarter are too optimistic. With 20 episodes, the standard
error of the optimism is a few hundredths. Good critics lie within 0.1 or 0.2 of zero (REDQ, Chen et al. 2021, figure
2); the critics of failed transfers had an optimism between 1 and 3."""

AT_LEVEL = 0.75
"""Critics whose values are less than this share of the discounted return have not reached its level yet, unless they
are pessimistic by construction (CQL). Values begin at 0 and grow as temporal differences propagate rewards back."""

PREFERRED = 0.1
"""The largest share of random actions that the critics may prefer to the policy's own. SMAC's critics preferred at most
0.02. Those of IQL and TD3+BC on half cheetah, where the returns drop under SAC, preferred 0.25 to 0.53. At one half,
the critics cannot distinguish the policy's actions from random ones."""

CAUGHT_UP = 0.75
"""The least share of this run's offline return that the control with ``kappa = 0`` must reach. Of this project's
published transfers from SMAC to SAC, the 12 below it dipped by 18 to 51 %, and 13 of the 19 above it by less than
18 %."""

GROWING = 0.5
"""Temporal differences are diverging if their ratio to the values grows by more than this share in a third of the
training."""


CONSTRAINED = ("awac", "awr", "fql", "iql", "rebrac", "td3_bc")
"""The algorithms that keep their policy close to the actions in their batches when they train online. What their
critics prefer elsewhere does not change the policy at the transfer."""


@dataclasses.dataclass(frozen=True, eq=False)
class Evidence:
    """The logged numbers of one run and one seed from which its transfer is judged. NaN if a number was not logged.

    Attributes:
      cosine: the cosine between ``grad_a Q`` and ``alpha * score``, mean over policy actions and uniform actions.
      residual: the squared residual of the identity ``grad_a Q = alpha * score``, relative to that of a constant Q.
      pull: the ratio of the penalty's gradient norm to that of the temporal differences (``gradient_ratio``).
      optimism: the optimism of the critics at the transfer, relative to the discounted return
        (``relative_optimism``).
      level: the ratio of the critics' mean value at the transfer to the mean discounted return.
      final_optimism: the relative optimism at the end of fine-tuning.
      preferred: the share of random actions that the critics value above the policy's own (``random_preferred``).
      share: the ratio of the offline return of the control with ``kappa = 0`` to that of this run, both measured from
        the return of a random policy.
      growth: the relative growth of the ratio of temporal differences to values, from the second to the last third of
        offline training.
      constrained: whether the online algorithm is one of :data:`CONSTRAINED`.
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
    constrained: bool = False


class Finding(NamedTuple):
    """The result of one check.

    Attributes:
      verdict: :data:`SOUND`, :data:`NOT_SOUND` or :data:`UNKNOWN`.
      figure: the number on which the verdict is based, as text; empty if nothing was logged.
      advice: a recommendation in one sentence; empty if there is none.
    """

    verdict: str
    figure: str = ""
    advice: str = ""


class Diagnosis(NamedTuple):
    """The verdict on one run and one seed.

    Attributes:
      verdict: not sound if one check is not sound; sound if the checks of random actions and of temporal differences
        are sound and no check is not sound; else unknown.
      findings: the result of each check, by its name in :data:`CHECKS`.
    """

    verdict: str
    findings: dict[str, Finding]


def identity(evidence: Evidence) -> Finding:
    """Checks that ``grad_a Q = alpha * score`` holds. For SMAC only, until its penalty is released."""
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
        "The critics' gradient does not match the score of the data: pre-train longer, or increase smac.kappa; and "
        "check that alpha has not decreased to zero (smac.alpha_floor) and that the loss of the score model has "
        "converged (smac.score_model.num_updates).",
    )


def optimism(evidence: Evidence) -> Finding:
    """Checks that the critics' values do not exceed the returns at the transfer."""
    if not math.isfinite(evidence.optimism):
        return Finding(UNKNOWN)
    figure = percent(evidence.optimism)
    if evidence.optimism <= OPTIMISTIC:
        return Finding(SOUND, figure)
    if evidence.level < AT_LEVEL:  # values begin at 0, which is too high for negative rewards
        return Finding(
            NOT_SOUND,
            figure,
            "The critics' values have not reached the level of the negative returns: pre-train longer.",
        )
    return Finding(
        NOT_SOUND,
        figure,
        "The critics' values exceed the returns of the policy: use layer norm in the critics "
        "(network.critic_layer_norm), use more critics, of which the backup takes the minimum (network.num_critics), "
        "or decrease their learning rate.",
    )


def other_actions(evidence: Evidence) -> Finding:
    """Checks that the critics do not prefer random actions, to which an online algorithm would move the policy.

    It always succeeds for online algorithms that keep the policy close to the data.
    """
    if not math.isfinite(evidence.preferred):
        return Finding(UNKNOWN)
    figure = percent(evidence.preferred, sign=False)
    if evidence.constrained or evidence.preferred <= PREFERRED:
        return Finding(SOUND, figure)
    return Finding(
        NOT_SOUND,
        figure,
        "The critics prefer many random actions to the policy's own, and SAC or TD3 will move the policy to them: "
        "pre-train longer or with SMAC's penalty, or fine-tune with an algorithm that keeps the policy close to its "
        "data (td3_bc, awr).",
    )


def caught_up(evidence: Evidence) -> Finding:
    """Checks that temporal differences alone, without the penalty, support the policy."""
    if evidence.growth > GROWING:
        return Finding(
            NOT_SOUND,
            f"TD error {percent(evidence.growth)}",
            "Temporal differences grow faster than the values, as before a divergence: use layer norm in the critics "
            "(network.critic_layer_norm), or decrease their learning rate.",
        )
    if math.isfinite(evidence.share):
        figure = f"kappa 0: {percent(evidence.share, sign=False)}"
        if evidence.share >= CAUGHT_UP:
            return Finding(SOUND, figure)
        return Finding(
            NOT_SOUND,
            figure,
            "Temporal differences alone do not reach the return of this policy, and fine-tuning will decrease it "
            "toward the return that they reach: pre-train longer; or decrease the penalty or release it before the "
            'transfer (smac.kappa_adaptation="decay"), and transfer the optimizers (sac.optimizer_start="carried").',
        )
    if not math.isfinite(evidence.level):
        return Finding(UNKNOWN)
    figure = f"level: {percent(evidence.level, sign=False)}"
    if evidence.level >= AT_LEVEL:
        return Finding(SOUND, figure)
    low = "The critics' values have not reached the level of the policy's returns: pre-train longer"
    if not math.isfinite(evidence.pull):
        return Finding(UNKNOWN, figure, f"{low}.")
    return Finding(
        UNKNOWN,
        figure,
        f"{low}, or add a control without the penalty (--vary=smac.kappa=0.001,5.0), whose return shows what temporal "
        "differences alone reach.",
    )


def after(evidence: Evidence) -> Finding:
    """Checks that the critics' values do not exceed the returns at the end of fine-tuning."""
    if not math.isfinite(evidence.final_optimism):
        return Finding(UNKNOWN)
    figure = percent(evidence.final_optimism)
    if evidence.final_optimism <= OPTIMISTIC:
        return Finding(SOUND, figure)
    return Finding(
        NOT_SOUND,
        figure,
        "After fine-tuning the critics' values exceed the returns of the policy: use layer norm in the critics "
        "(network.critic_layer_norm); with SAC, decrease the temperature (sac.initial_temperature) or transfer the "
        'optimizers (sac.optimizer_start="carried").',
    )


CHECKS = {
    "cosine / residual": identity,
    "optimism": optimism,
    "random preferred": other_actions,
    "caught up": caught_up,
    "optimism at the end": after,
}
"""The checks, by their names in tables."""


def diagnose(evidence: Evidence) -> Diagnosis:
    """Returns the verdict on one run and one seed."""
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
    constrained: bool = False,
) -> list[Evidence]:
    """Returns the evidence for every seed of a run.

    Args:
      offline: the metrics of pre-training, ``pretrain(...).metrics``: ``[point, seed]``, and ``phase`` ``[point]``.
      at_transfer: the metrics of the evaluations of pre-training, ``pretrain(...).evaluations.metrics``:
        ``[seed, evaluation]``. The last evaluation is used.
      at_end: the same for fine-tuning, if it is done.
      share: see :class:`Evidence`; None if there was no control with ``kappa = 0``.
      constrained: whether the online algorithm is one of :data:`CONSTRAINED`.
    """
    main = np.asarray(offline["phase"]) == "offline"
    columns = {name: np.asarray(values, float)[main] for name, values in offline.items() if np.ndim(values) == 2}
    # also if only evaluations were logged
    seeds = next((len(of_seeds) for of_seeds in (*at_transfer.values(), *(x.T for x in columns.values()))), 0)

    def last(name: str, seed: int) -> float:
        found = columns[name][:, seed] if name in columns else np.zeros(0)
        found = found[np.isfinite(found)]
        return float(found[-1]) if found.size else math.nan

    def last_of(evaluations: Mapping[str, np.ndarray] | None, name: str, seed: int) -> float:
        values = (evaluations or {}).get(name)
        return float(values[seed][-1]) if values is not None and np.size(values[seed]) else math.nan

    def level(seed: int) -> float:
        discounted = last_of(at_transfer, "discounted_return", seed)
        return last_of(at_transfer, "value", seed) / discounted if discounted else math.nan

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
            constrained=constrained,
        )
        for seed in range(seeds)
    ]


def growth_of(values: Float[np.ndarray, " point"]) -> float:
    """Returns the relative growth from the mean of the second third to that of the last third. NaN for fewer than 3
    values.
    """
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
    """Returns the ratio of a control's mean return to the return of each seed, both measured from that of a random
    policy.

    NaN for seeds that are not better than a random policy.

    Args:
      returns: the return of each seed at the end of pre-training.
      control: the same returns of the control with ``kappa = 0``, of which the mean is used.
      random_return: the return of a random policy.
    """
    above = np.asarray(returns, float) - random_return
    finite = np.asarray(control, float)
    finite = finite[np.isfinite(finite)]
    if not finite.size:
        return np.full(len(above), np.nan)
    return np.where(above > 0, (finite.mean() - random_return) / np.where(above > 0, above, 1.0), np.nan)


class Summary(NamedTuple):
    """The diagnoses of all seeds of a pair.

    Attributes:
      verdict: the worst verdict, with the number of its seeds if they do not agree.
      cells: for each check of :data:`CHECKS` the figure for the mean over seeds, followed by ``(!)`` if a seed is not
        sound, or by ``(?)`` if a seed could not be decided.
      advice: recommendations, with the number of seeds to which they apply.
      seeds: the diagnosis of each seed.
    """

    verdict: str
    cells: dict[str, str]
    advice: list[str]
    seeds: list[Diagnosis]


def summarize(evidence: Sequence[Evidence]) -> Summary:
    """Judges every seed of a pair. A pair with one seed that is not sound is not sound: any seed may be deployed."""
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
    """Returns a figure with a mark for the worst of some findings: ``(!)`` for not sound, ``(?)`` for unknown with
    advice.
    """
    if not figure:
        return ""
    verdict = worst([finding.verdict for finding in findings])
    undecided = verdict == UNKNOWN and any(finding.advice for finding in findings)
    return figure + (" (!)" if verdict == NOT_SOUND else " (?)" if undecided else "")


def mean_evidence(evidence: Sequence[Evidence]) -> Evidence:
    """Returns the mean of each number over the seeds that have it."""

    def mean(name: str) -> float:
        found = [value for one in evidence if math.isfinite(value := getattr(one, name))]
        return sum(found) / len(found) if found else math.nan

    numbers = {field.name: mean(field.name) for field in dataclasses.fields(Evidence) if field.name != "constrained"}
    return Evidence(**numbers, constrained=any(one.constrained for one in evidence))


def worst(verdicts: Sequence[str]) -> str:
    """Returns the worst verdict: not sound, then unknown, then sound. Unknown if there are no verdicts."""
    return next((verdict for verdict in (NOT_SOUND, UNKNOWN, SOUND) if verdict in verdicts), UNKNOWN)


def percent(share: float, sign: bool = True) -> str:
    """``+12 %``, or without its sign."""
    return f"{round(100 * share):{'+' if sign else ''}d} %"
