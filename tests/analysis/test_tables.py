"""Tables have the right numbers in every format."""

from __future__ import annotations

import csv
import dataclasses
import io
import re

import numpy as np
import pytest
from rich.console import Console

from smac_jax.analysis import tables
from smac_jax.analysis.statistics import bootstrap_interval
from smac_jax.errors import DatasetError

PROVENANCE = {
    "command": "smac-jax sweep --seeds=2",
    "versions": {"python": "3.11.9", "jax": "0.10.2"},
    "device": "1 x cpu",
    "date": "2026-11-23",
    "seeds": [0, 1],
    "data": "hopper-medium-replay (200,000 transitions)",
}


def test_a_row_has_the_numbers_computed_by_hand(make_curve):
    (row,) = tables.rows([make_curve()], random_return=0.0)
    np.testing.assert_allclose(row.at_transfer, [100.0, 200.0])
    np.testing.assert_allclose(row.dip, [0.4, 0.0])
    assert row.control_dip is not None
    assert row.excess_dip is not None
    np.testing.assert_allclose(row.control_dip, [0.1, 0.1])
    np.testing.assert_allclose(row.excess_dip, [0.3, -0.1])
    np.testing.assert_allclose(row.final, [300.0, 300.0])
    np.testing.assert_allclose(row.regret, [(22_000 + 22_000 + 20_000) / 400, (10_000 + 15_000 + 20_000) / 400])


def test_the_best_return_is_the_maximum_over_agents_and_steps(make_curve):
    higher = make_curve("td3_bc", offline_returns=np.array([[0.0, 950.0, 100.0], [0.0, np.nan, 200.0]]))
    assert tables.best_return([make_curve(), higher]) == 950.0
    smac, _ = tables.rows([make_curve(), higher], 0.0)
    (alone,) = tables.rows([make_curve()], 0.0, best=950.0)
    np.testing.assert_allclose(smac.regret, alone.regret)


def test_the_markdown_has_every_pair_every_quantity_and_the_provenance(make_curve):
    text = tables.markdown(tables.rows([make_curve(), make_curve("td3_bc", control=False)], 0.0), PROVENANCE)
    header, rule, smac, td3_bc = text.splitlines()[:4]
    assert header.count("|") == rule.count("|") == smac.count("|") == td3_bc.count("|") == len(tables.HEADER) + 1
    assert smac == (
        "| SMAC | SAC | 2 | 150 [100, 200] | 20.0 [0.0, 40.0] | 10.0 [10.0, 10.0] | 10.0 [-10.0, 30.0] | no "
        "| 300 [300, 300] | 136 [112, 160] |"
    )
    assert "| 20.0 [0.0, 40.0] |  |  | no |" in td3_bc
    for said in (
        "smac-jax sweep --seeds=2",
        "jax 0.10.2",
        "1 x cpu",
        "2026-11-23",
        "2 seeds (numbers 0, 1)",
        "200,000 transitions",
    ):
        assert said in text
    assert "- Commit: unknown" in text


def test_one_seed_has_intervals_over_its_episodes_if_they_are_known(make_curve):
    one = {"online_returns": np.array([[100.0, 60.0, 100.0, 300.0]]), "offline_returns": np.zeros((1, 3))}
    one |= {"control": False}
    episodes = tuple(mean + np.array([[-10.0, -5.0, 5.0, 10.0]]) for mean in one["online_returns"][0])
    (with_them,) = tables.rows([make_curve(**one, online_episodes=episodes)], 0.0)
    (without,) = tables.rows([make_curve(**one)], 0.0)
    (two,) = tables.rows([make_curve(online_episodes=tuple(np.tile(x, (2, 1)) for x in episodes))], 0.0)
    interval = bootstrap_interval(episodes[0][0])
    assert tables.cells(with_them)[3] == f"100 [{interval.low:.0f}, {interval.high:.0f}]"
    assert tables.cells(without)[3] == "100"
    assert "over its evaluation episodes" in tables.markdown([with_them], PROVENANCE)
    assert "without intervals" in tables.markdown([without], PROVENANCE)
    for row, over_episodes in ((with_them, True), (without, False), (two, False)):
        out = io.StringIO()
        Console(file=out, width=200).print(tables.terminal([row], "hopper, 1 seed"))
        assert ("hopper, 1 seed, intervals over its episodes" in out.getvalue()) is over_episodes
    # dips have intervals over seeds only, and two seeds have the same interval as without episode returns
    assert tables.cells(with_them)[4] == "40.0"
    assert tables.cells(two)[3] == "150 [100, 200]"
    (line,) = csv.DictReader(io.StringIO(tables.comma_separated([with_them])))
    assert float(line["at_transfer_low"]) == pytest.approx(interval.low)
    assert line["dip_low"] == ""


def test_the_csv_file_has_the_numbers_of_the_markdown(make_curve):
    text = tables.comma_separated(tables.rows([make_curve(), make_curve("td3_bc", control=False)], 0.0))
    smac, td3_bc = csv.DictReader(io.StringIO(text))
    assert (smac["offline"], smac["online"], smac["seeds"], smac["smooth"]) == ("smac", "sac", "2", "no")
    assert [float(smac[name]) for name in ("dip", "dip_low", "dip_high")] == [0.2, 0.0, 0.4]
    assert [float(smac[name]) for name in ("excess_dip", "excess_dip_low", "excess_dip_high")] == [0.1, -0.1, 0.3]
    assert td3_bc["control_dip"] == td3_bc["excess_dip_high"] == ""


def test_the_terminal_shows_the_same_numbers(make_curve):
    out = io.StringIO()
    console = Console(file=out, width=200)
    console.print(tables.terminal(tables.rows([make_curve()], 0.0), title="hopper"))
    shown = out.getvalue()
    assert "hopper" in shown
    assert "20.0 [0.0, 40.0]" in shown


def shown_at(width: int, made, **how) -> list[str]:
    out = io.StringIO()
    Console(file=out, width=width).print(tables.terminal(made, "hopper-medium-replay", **how))
    return out.getvalue().splitlines()


VARIANT = "smac kappa=5 score_model.condition_on_return=True"


@pytest.mark.parametrize("width", [80, 90, 100, 120, 150])
@pytest.mark.parametrize("offline", [["smac", "td3_bc"], ["smac", VARIANT, "cal_ql"]])
@pytest.mark.parametrize("scale", [1.0, 37.7])
def test_the_terminal_table_names_the_columns_that_do_not_fit(make_curve, width, offline, scale):
    curves = [make_curve(name, end) for name in offline for end in ("sac", "td3_bc")]
    curves = [dataclasses.replace(c, online_returns=scale * c.online_returns) for c in curves]
    made = tables.rows(curves, 0.0)
    lines = shown_at(width, made, elsewhere="table.md")
    text = "\n".join(lines)
    assert max(map(len, lines)) <= width
    assert text.count("[") == text.count("]") > 0
    for line in lines:
        # the numbers of a table cell are on one line
        assert line.count("[") == line.count("]")
        assert len(re.findall(r"-?[\d.]+ \[-?[\d.]+, -?[\d.]+\]", line)) == line.count("[")
    shown = text.replace("\n", " ")
    heads = {"control's": "control's dip %", "excess": "excess dip %", "regret": "regret", "smooth": "smooth"}
    left_out = text.partition("Columns left out to fit: ")[2].replace("\n", " ")
    for word, head in heads.items():
        assert word in shown
        assert (head in left_out) != (word in shown.partition("Columns left out")[0])
    assert ("(see table.md)" in " ".join(left_out.split())) == bool(left_out)
    for kept in ("offline", "online", "transfer", "dip %"):
        assert kept in shown.partition("Columns left out")[0]


def test_the_table_of_the_quickstart_fits_100_columns_without_three_quantities(make_curve):
    made = tables.rows([make_curve(), make_curve("td3_bc")], 0.0)
    assert "Columns left out" not in "".join(shown_at(150, made))
    left_out = shown_at(100, made)[-1].removeprefix("Columns left out to fit: ").rstrip(".").split(", ")
    assert set(left_out) <= {"control's dip %", "smooth", "seeds"}


def test_undefined_dips_are_counted(make_curve):
    (row,) = tables.rows([make_curve()], random_return=150.0)
    assert tables.interval_text(100.0 * row.dip) == "0.00 (1 undefined)"
    assert row.smooth == "unknown"
    (row,) = tables.rows([make_curve()], random_return=500.0)
    assert tables.cells(row)[4:8] == ["undefined", "undefined", "undefined", "unknown"]
    assert next(csv.DictReader(io.StringIO(tables.comma_separated([row]))))["undefined_dips"] == "2"


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ([1234.5], "1234"),
        ([0.5, 0.5], "0.50 [0.50, 0.50]"),
        ([-0.001, -0.001], "0.00 [0.00, 0.00]"),
        ([12.34, 12.34, np.nan], "12.3 [12.3, 12.3] (1 undefined)"),
        ([], "undefined"),
    ],
)
def test_numbers_are_shown_to_three_digits(values, text):
    assert tables.interval_text(np.array(values)) == text


def test_curves_of_two_tasks_are_refused(make_curve):
    with pytest.raises(DatasetError, match=r"\['ant', 'hopper'\]"):
        tables.rows([make_curve(), make_curve(task="ant")], 0.0)
