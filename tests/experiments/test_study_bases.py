"""The study of the bases has every difference once, and refuses unknown variants."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
from programs import run_module

from experiments.study_bases import all_variants
from smac_jax.presets.bases import DIFFERENCES

ROOT = Path(__file__).parents[2]


study = partial(run_module, "experiments.study_bases")


def test_every_difference_is_added_once_and_removed_once():
    variants = all_variants()
    assert len(variants) == len(set(variants))
    assert {f"ours+{name}" for name in DIFFERENCES} | {f"wsrl_base-{name}" for name in DIFFERENCES} <= set(variants)
    assert variants[:2] == ["ours", "wsrl_base"]


@pytest.mark.parametrize(
    ("variant", "words"), [("theirs", "must begin with ours or wsrl_base"), ("ours+x", "no variant")]
)
def test_unknown_variants_are_refused(variant, words, tmp_path):
    done = study(f"--variants={variant}", f"--results={tmp_path / 'r'}")
    assert done.returncode == 2
    assert words in done.stderr
    assert not (tmp_path / "r").exists()
