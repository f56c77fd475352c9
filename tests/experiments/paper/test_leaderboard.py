"""The leaderboard has published scores as in their sources, and this project's scores as they were measured."""

from __future__ import annotations

import csv
import html.parser
import io
import re

import numpy as np
import pytest

from experiments import reproduce as program
from experiments.paper import leaderboard, tasks
from experiments.paper.leaderboard import board, over_all, scores_of
from experiments.paper.published import Score, is_same, peers_of, published
from smac_jax.analysis.curves import TransferCurve
from smac_jax.data.readers.d4rl_files import d4rl_files
from smac_jax.tasks import normalized_score

ALGORITHMS = ("bc", "td3_bc", "awac", "cql", "iql", "rebrac")
CORL_MEANS = {
    "locomotion": (50.40, 76.45, 67.72, 78.28, 81.63, 89.74),
    "maze2d": (1.13, 61.99, 114.89, 33.65, 46.23, 96.77),
    "antmaze": (17.21, 19.33, 19.29, 50.71, 57.17, 78.42),
    "adroit": (48.18, 10.40, 56.75, 1.53, 53.43, 59.39),
}
"""The averages that CORL prints below each of its tables, of :data:`ALGORITHMS`; scores and averages are rounded."""
CORL_ONLINE_MEANS = {
    "antmaze": {"awac": (18.12, 16.46), "cql": (48.38, 95.58), "iql": (56.29, 78.50), "cal_ql": (53.04, 97.33)},
    "adroit": {"awac": (22.84, 21.76), "cql": (-0.72, 0.22), "iql": (21.69, 44.99), "cal_ql": (-0.76, -0.79)},
}


def of_family(family: str, source: str, algorithm: str) -> list:
    prefix = {"locomotion": ("halfcheetah", "hopper", "walker2d"), "adroit": ("pen", "door", "hammer", "relocate")}
    names = prefix.get(family, (family,))
    return [
        found
        for found in published()
        if found.source.name == source and found.algorithm == algorithm and found.data.startswith(names)
    ]


@pytest.mark.parametrize("family", CORL_MEANS)
def test_the_averages_of_published_scores_are_those_of_their_source(family):
    for algorithm, mean in zip(ALGORITHMS, CORL_MEANS[family], strict=True):
        found = of_family(family, "corl", algorithm)
        assert np.mean([score.offline.mean for score in found]) == pytest.approx(mean, abs=0.0101), algorithm
        assert all(score.online is None for score in found)


@pytest.mark.parametrize("family", CORL_ONLINE_MEANS)
def test_the_averages_of_published_fine_tuning_scores_are_those_of_their_source(family):
    for algorithm, (before, after) in CORL_ONLINE_MEANS[family].items():
        found = of_family(family, "corl-online", algorithm)
        assert np.mean([score.offline.mean for score in found]) == pytest.approx(before, abs=0.0101), algorithm
        assert np.mean([score.online.mean for score in found]) == pytest.approx(after, abs=0.0101), algorithm


def test_every_published_score_is_of_a_d4rl_data_set_and_cited_once():
    assert {found.data for found in published()} <= set(d4rl_files())
    keys = [(found.data, found.algorithm, found.source.name) for found in published()]
    assert len(keys) == len(set(keys))
    for source in {found.source for found in published()}:
        assert re.search(r"\b20\d\d, ", source.citation)
        assert re.fullmatch(r"https://github\.com/\S+/[0-9a-f]{40}/\S+", source.address)
        assert re.search(r"\d seeds", source.protocol)


def test_published_scores_are_matched_to_data_sets_by_task_and_kind():
    (iql,) = [x for x in peers_of("hopper_medium_replay-v2") if x.algorithm == "iql"]
    assert (iql.data, iql.offline, iql.online) == ("hopper-medium-replay-v2", Score(97.43, 6.39), None)
    assert peers_of("hopper-medium-replay") == peers_of("hopper-medium-replay-v2")
    assert {found.source.name for found in peers_of("antmaze-large-play-v0")} == {"corl", "corl-online"}
    assert peers_of("pen-binary-v0") == peers_of("my-robot") == peers_of("hopper-lab") == []
    assert is_same("hopper_medium-v2", "hopper-medium-v2")
    assert not is_same("hopper-medium-v0", "hopper-medium-v2")


def curve(task: str, offline: str, online: str, before: float, after: float) -> TransferCurve:
    """Returns a curve of four seeds with a distance of ten. In both phases, the last evaluation is on another level."""
    spread = 10.0 * np.arange(4)[:, None]
    levels = np.array([[before - 500.0, before]])
    return TransferCurve(
        task=task,
        offline=offline,
        online=online,
        offline_updates=np.array([0.0, 10.0]),
        offline_returns=levels + spread,
        online_steps=np.array([0.0, 5.0, 10.0]),
        online_returns=np.array([[before + 77.0, 0.0, after]]) + spread,
        warm_start=0,
    )


@pytest.fixture
def by_title():
    hopper = [curve("hopper", "smac", "sac", 1500.0, 3000.0), curve("hopper", "smac", "td3", 1500.0, 2000.0)]
    hopper += [curve("hopper", "iql", "sac", 2000.0, 2500.0)]
    cheetah = [curve("halfcheetah", "smac", "sac", 4000.0, 9000.0), curve("halfcheetah", "iql", "sac", 5000.0, 5000.0)]
    return {"hopper-medium-replay-v2": scores_of(hopper), "halfcheetah-lab": scores_of(cheetah)}


@pytest.fixture
def boards(by_title):
    names = list(by_title)
    made = [board(name, f"{name} (some data)", name, by_title[name]) for name in names]
    return [over_all(by_title), *made]


ABOUT = {
    **{"scale": "tiny", "command": "python -m x --a='<b>'", "seeds": [0, 1, 2, 3], "device": "none", "commit": "none"},
    **{"versions": {}, "date": "2026-01-01", "platform": "none"},
    "data": {"a": "hopper-medium-replay-v2 (some data)", "b": "halfcheetah-lab (some data)"},
}


def test_scores_are_those_of_the_last_evaluations(boards):
    _, hopper, _ = boards
    smac = hopper.rows[0]
    expected = normalized_score("hopper", np.array([1500.0, 3000.0, 2000.0]) + 15.0)
    assert [smac.measured[c].estimate for c in ("offline", "sac", "td3")] == pytest.approx(list(expected))
    assert smac.measured["sac"].low < expected[1] < smac.measured["sac"].high


def test_rows_are_ordered_by_fine_tuned_score_with_published_ones_last(boards):
    _, hopper, cheetah = boards
    assert [row.algorithm for row in hopper.rows[:2]] == ["smac", "iql"]
    assert {row.algorithm for row in hopper.rows[2:]} == {"bc", "td3_bc", "awac", "cql", "rebrac"}
    assert not any(row.measured for row in hopper.rows[2:])
    assert [row.algorithm for row in cheetah.rows] == ["smac", "iql"]
    assert leaderboard.best_rows(hopper, ["offline", "sac", "td3"]) == {"offline": 1, "sac": 0}


def test_the_note_names_the_data_of_the_published_scores(by_title):
    scores = by_title["hopper-medium-replay-v2"]
    same = board("x", "", "hopper-medium-replay-v2", scores).note
    assert same == "Published scores are of hopper-medium-replay-v2."
    for other in ("hopper-medium-replay", "hopper-medium-replay-v0"):
        assert board("x", "", other, scores).note == f"{same} The data here are another data set ({other})."
    assert board("x", "", "halfcheetah-lab", scores).note == "No published scores of these data are known."


def test_means_are_over_the_data_sets_with_all_algorithms(by_title):
    mean = over_all(by_title)
    assert mean.title == "Mean over 2 data sets"
    assert [row.algorithm for row in mean.rows] == ["smac", "iql"]
    assert list(mean.rows[0].measured) == ["offline", "sac"]  # only one of them has td3
    expected = (normalized_score("hopper", 3015.0) + normalized_score("halfcheetah", 9015.0)) / 2
    assert mean.rows[0].measured["sac"].estimate == pytest.approx(expected)
    assert over_all({"one": by_title["halfcheetah-lab"]}) is None


def test_every_form_of_the_table_has_every_number(boards):
    written = list(csv.DictReader(io.StringIO(leaderboard.comma_separated(boards))))
    hopper = boards[1].rows[0].measured["sac"]
    (row,) = [
        r for r in written if (r["data"], r["algorithm"], r["fine_tuned_with"]) == (boards[1].title, "smac", "sac")
    ]
    assert [float(row[name]) for name in ("score", "low", "high")] == pytest.approx(list(hopper), rel=1e-5)
    (peer,) = [r for r in written if (r["algorithm"], r["source"]) == ("iql", "corl")]
    assert (peer["score"], peer["std"], peer["published_on"]) == ("97.43", "6.39", "hopper-medium-replay-v2")
    text = leaderboard.markdown(boards, ABOUT | {"data": "some"})
    number = f"{hopper.estimate:.1f} [{hopper.low:.1f}, {hopper.high:.1f}]"
    assert f"| SMAC | {boards[1].rows[0].measured['offline'].estimate:.1f}" in text
    assert f"| **{number}** |" in text
    assert "| 97.4 ± 6.4 (1) |" in text
    assert "1. Tarasov et al. 2022, CORL" in text
    page = leaderboard.page(boards, ABOUT)
    assert f"<td><b>{number}</b></td>" in page
    assert "<td>97.4 ± 6.4 (1)</td>" in page
    assert "--a=&#39;&lt;b&gt;&#39;" in page
    assert "<script" not in page


def test_the_page_is_valid_html_with_a_row_for_each_algorithm(boards):
    class Counting(html.parser.HTMLParser):
        def __init__(self):
            super().__init__()
            self.open, self.rows = [], 0

        def handle_starttag(self, tag, attrs):
            if tag not in ("meta", "link"):
                self.open.append(tag)
            self.rows += tag == "tr"

        def handle_endtag(self, tag):
            assert self.open.pop() == tag

    reader = Counting()
    reader.feed(leaderboard.page(boards, ABOUT))
    assert reader.open == []
    assert reader.rows == sum(1 + len(shown.rows) for shown in boards)


def test_fine_tuned_published_scores_show_their_start():
    shown = board("x", "", "antmaze-large-play-v2", {})
    (row,) = [row for row in shown.rows if row.algorithm == "cal_ql"]
    cells = leaderboard.cells(row, ["offline"], leaderboard.sources_of([shown]), published=True)
    assert cells == ["Cal-QL", "–", "–", "31.8 ± 8.9 → 97.2 ± 1.8 (2)"]


def test_the_terminal_has_the_means_within_its_width(boards, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "100")
    leaderboard.print_boards(boards, "leaderboard.md")
    said = capsys.readouterr().out
    assert max(map(len, said.splitlines())) <= 100
    assert f"{boards[1].rows[0].measured['sac'].estimate:.1f}" in said
    assert "97.4 (1)" in said


def test_the_leaderboard_has_all_algorithms_or_the_selected_ones():
    from smac_jax.errors import UnknownNameError

    pairs = program.leaderboard_pairs([], [])
    assert {"smac", "td3_bc", "iql", "cql", "cal_ql", "awac", "bc"} <= set(pairs.offline)
    assert set(pairs.online) >= {*tasks.ONLINE, "same"}
    assert program.leaderboard_pairs(["iql"], ["td3", "same"]) == (("iql",), ("td3", "same"))
    with pytest.raises(UnknownNameError, match="offline algorithm 'sac'"):
        program.leaderboard_pairs(["sac"], [])
