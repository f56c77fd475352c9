"""Verdicts on made-up cases: sound ones, unsound ones and unknown ones, and the recommended actions."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from smac_jax.analysis.diagnosis import (
    CHECKS,
    NOT_SOUND,
    SOUND,
    UNKNOWN,
    Evidence,
    diagnose,
    gather,
    growth_of,
    mean_evidence,
    share_of,
    summarize,
)

GOOD = Evidence(
    cosine=0.7,
    residual=0.4,
    pull=0.5,
    optimism=-0.1,
    level=0.9,
    final_optimism=0.0,
    preferred=0.01,
    share=0.9,
    growth=-0.1,
)


def changed(**what: float) -> Evidence:
    return dataclasses.replace(GOOD, **what)


def test_a_run_without_faults_is_sound_and_needs_no_action():
    found = diagnose(GOOD)
    assert found.verdict == SOUND
    assert {finding.verdict for finding in found.findings.values()} == {SOUND}
    assert not any(finding.advice for finding in found.findings.values())
    assert [finding.figure for finding in found.findings.values()] == [
        "0.70 / 0.40",
        "-10 %",
        "1 %",
        "kappa 0: 90 %",
        "+0 %",
    ]


@pytest.mark.parametrize(
    ("change", "check", "advice"),
    [
        ({"cosine": 0.4}, "cosine / residual", "increase smac.kappa"),
        ({"residual": 0.9}, "cosine / residual", "alpha has not decreased to zero"),
        ({"optimism": 0.4, "level": 1.4}, "optimism", "critic_layer_norm"),
        # the values are 20 although the returns are -100
        ({"optimism": 0.8, "level": 0.2}, "optimism", "pre-train longer"),
        ({"preferred": 0.3}, "random preferred", "td3_bc, awr"),
        ({"share": 0.57}, "caught up", 'kappa_adaptation="decay"'),
        ({"growth": 0.8}, "caught up", "divergence"),
        ({"final_optimism": 2.3}, "optimism at the end", 'optimizer_start="carried"'),
    ],
)
def test_each_fault_is_found_by_exactly_one_check(change, check, advice):
    found = diagnose(changed(**change))
    assert found.verdict == NOT_SOUND
    assert [name for name, finding in found.findings.items() if finding.verdict == NOT_SOUND] == [check]
    assert advice in found.findings[check].advice
    assert found.findings[check].advice.endswith(".")


def test_the_identity_is_not_checked_if_the_penalty_was_released():
    found = diagnose(changed(cosine=0.2, residual=1.4, pull=0.001))
    assert found.verdict == SOUND
    assert found.findings["cosine / residual"].figure == "released (0.20)"


def test_without_a_control_low_values_leave_the_verdict_open():
    at_level, low = (diagnose(changed(share=math.nan, level=x)) for x in (0.8, 0.3))
    assert at_level.verdict == SOUND
    assert at_level.findings["caught up"].figure == "level: 80 %"
    assert low.verdict == low.findings["caught up"].verdict == UNKNOWN
    assert low.findings["caught up"].figure == "level: 30 %"
    assert "--vary=smac.kappa=0.001,5.0" in low.findings["caught up"].advice
    # an algorithm without a penalty has no control without penalty
    no_penalty = diagnose(changed(share=math.nan, level=0.3, pull=math.nan, cosine=math.nan, residual=math.nan))
    assert no_penalty.verdict == UNKNOWN
    assert "kappa" not in no_penalty.findings["caught up"].advice
    # with a control, low values alone are not a fault
    assert diagnose(changed(optimism=-0.7, level=0.3)).verdict == SOUND


def test_a_run_without_logs_has_unknown_verdicts():
    found = diagnose(Evidence())
    assert found.verdict == UNKNOWN
    assert set(found.findings) == set(CHECKS)
    assert {(finding.verdict, finding.figure, finding.advice) for finding in found.findings.values()} == {
        (UNKNOWN, "", "")
    }


def test_one_unsound_seed_makes_the_pair_unsound():
    summary = summarize([GOOD, changed(share=0.5), changed(share=0.7, optimism=-0.3)])
    assert summary.verdict == "not sound (2 of 3)"
    assert summary.cells["caught up"] == "kappa 0: 70 % (!)"
    assert summary.cells["optimism"] == "-17 %"
    (sentence,) = summary.advice
    assert sentence.endswith("(2 of 3 seeds)")
    assert [seed.verdict for seed in summary.seeds] == [SOUND, NOT_SOUND, NOT_SOUND]
    assert summarize([GOOD, GOOD]).verdict == "sound"
    assert summarize([GOOD, changed(preferred=math.nan)]).verdict == "unknown (1 of 2)"
    assert summarize([changed(share=math.nan, level=0.3)]).cells["caught up"] == "level: 30 % (?)"


def test_means_are_over_the_seeds_that_have_a_number():
    mean = mean_evidence([changed(optimism=0.2), changed(optimism=math.nan), changed(optimism=0.4)])
    assert mean.optimism == pytest.approx(0.3)
    assert math.isnan(mean_evidence([Evidence()]).optimism)


def test_the_share_of_the_control_equals_numbers_computed_by_hand():
    found = share_of(np.array([1000.0, 500.0, 20.0]), np.array([400.0, 600.0, np.nan]), random_return=20.0)
    np.testing.assert_allclose(found[:2], [480 / 980, 1.0])
    assert np.isnan(found[2])  # the control is not better than random, so there is nothing to compare
    assert np.isnan(share_of(np.array([1.0]), np.zeros(0), 0.0)).all()


def test_growth_is_the_ratio_of_the_last_third_to_the_third_before():
    assert growth_of(np.array([9.0, 9.0, 1.0, 3.0, 3.0, 5.0])) == pytest.approx(1.0)
    assert growth_of(np.array([np.nan, 2.0, 2.0, 2.0])) == 0.0
    assert math.isnan(growth_of(np.array([1.0, 2.0])))


def test_evidence_has_the_last_values_of_pretraining_for_each_seed():
    missing = [np.nan, np.nan]
    offline = {
        "phase": np.array(["score model", "offline", "offline", "offline", "offline"]),
        "step": np.array([10, 0, 5, 10, 15]),
        "cosine_policy": np.array([missing, [0.0, 0.0], [0.1, 0.2], [0.3, 0.5], [0.4, 0.6]]),
        "cosine_uniform": np.array([missing, [0.0, 0.0], [0.1, 0.2], [0.3, 0.5], [0.6, 1.0]]),
        "relative_residual": np.array([missing, missing, [0.9, 0.8], [0.5, 0.4], [0.3, 0.2]]),
        "gradient_ratio": np.array([missing, missing, [2.0, 2.0], [1.0, 1.0], [0.5, 0.25]]),
        # relative to q, the differences are 1, 1, 1 for the first seed and 1, 1, 2 for the second
        "td_loss": np.array([missing, missing, [1.0, 1.0], [4.0, 4.0], [9.0, 36.0]]),
        "q": np.array([missing, missing, [-1.0, 1.0], [2.0, 2.0], [3.0, 3.0]]),
    }
    at_transfer = {
        "relative_optimism": np.array([[1.0, -0.4], [1.0, -0.2]]),
        "value": np.array([[0.0, 60.0], [0.0, -80.0]]),
        "discounted_return": np.array([[1.0, 100.0], [1.0, -100.0]]),
        "random_preferred": np.array([[0.5, 0.1], [0.5, 0.0]]),
    }
    first, second = gather(offline, at_transfer, {"relative_optimism": np.array([[0.1], [2.0]])}, np.array([0.5, 1.0]))
    assert dataclasses.astuple(first) == pytest.approx((0.5, 0.3, 0.5, -0.4, 0.6, 0.1, 0.1, 0.5, 0.0, False))
    assert dataclasses.astuple(second) == pytest.approx((0.8, 0.2, 0.25, -0.2, 0.8, 2.0, 0.0, 1.0, 1.0, False))
    # an algorithm without a score, before fine-tuning
    (alone,) = gather({"phase": offline["phase"]}, {"relative_optimism": np.array([[0.0, 0.1]])})
    assert alone.optimism == 0.1
    assert math.isnan(alone.cosine)
    assert math.isnan(alone.final_optimism)
    assert gather({"phase": np.zeros(0, str)}, {}) == []
