"""The guides' own code runs, block after block, as a reader would type it in."""

import re
from pathlib import Path

import numpy as np

from smac_jax.algorithms import OFFLINE, make_offline
from smac_jax.presets.bases import ADDITIONS, DIFFERENCES

PAGES = Path(__file__).parents[2] / "docs" / "pages"


def test_the_algorithm_of_the_guide_trains(capsys):
    known, names = dict(OFFLINE), {"__name__": "guide"}
    try:
        for block in re.findall(r"```python\n(.*?)```", (PAGES / "add-an-algorithm.md").read_text(), re.DOTALL):
            exec(block, names)
        default = make_offline("selective").config
    finally:
        OFFLINE.clear()
        OFFLINE.update(known)
    assert default.sharpness == 2.0
    losses = names["off"].metrics["policy_loss"]
    assert losses.shape[1:] == (2,)  # seeds
    assert np.isfinite(losses).all()
    assert np.ptp(losses[-1]) > 0
    assert "[" in capsys.readouterr().out


def test_the_page_of_the_bases_has_every_difference():
    page = (PAGES / "bases.md").read_text(encoding="utf-8")
    for name, fields in DIFFERENCES.items():
        assert f"| `{name}` |" in page
        assert all(f"| `{field}` |" in page for field in fields)
    assert all(f"+{name}" in page for name in ADDITIONS)
