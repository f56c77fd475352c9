"""The figure of transfers after several numbers of offline updates."""

from __future__ import annotations

import numpy as np

from smac_jax.analysis.curves import TransferCurve
from smac_jax.analysis.length import length_figure, lengths, plot_length
from smac_jax.tasks import task_info


def transfer(
    updates: int, start: float, lowest: float, checkpoint: bool = True, offline: str = "smac"
) -> TransferCurve:
    returns = np.array([[start, start, lowest, 900.0, 950.0, 10.0]] * 2)
    return TransferCurve(
        task="hopper",
        offline=offline,
        online="sac",
        offline_updates=np.array([0, updates]),
        offline_returns=np.array([[0.0, start]] * 2),
        online_steps=np.array([0, 100, 120, 160, 300, 500]),
        online_returns=returns,
        warm_start=100,
        control_steps=np.array([0, 50]),
        control_returns=np.array([[start, start / 2]] * 2),
        checkpoint=updates if checkpoint else None,
    )


SHORT, LONG = transfer(1000, 500.0, 100.0), transfer(9000, 800.0, 700.0, checkpoint=False)


def test_curves_are_in_the_order_of_their_lengths():
    alone = transfer(1000, 500.0, 100.0, offline="iql")
    assert lengths([LONG, alone, SHORT]) == {("smac", "sac"): [SHORT, LONG], ("iql", "sac"): [alone]}
    assert lengths([LONG, alone]) == {}


def test_returns_and_dips_are_those_of_the_first_quarter():
    left, right = length_figure([LONG, SHORT]).axes
    at_transfer, lowest = (line.get_ydata() for line in left.lines)
    np.testing.assert_allclose(at_transfer, [500, 800])
    np.testing.assert_allclose(lowest, [100, 700])  # not 10, which is later than step 200
    dip, control = (np.asarray(line.get_ydata()) for line in right.lines)
    above_random = np.array([500.0, 800.0]) - task_info("hopper").random_return
    np.testing.assert_allclose(dip, 100.0 * np.array([400.0, 100.0]) / above_random)
    np.testing.assert_allclose(control, 100.0 * np.array([250.0, 400.0]) / above_random)
    np.testing.assert_array_equal(right.lines[0].get_xdata(), [1000, 9000])
    assert left.get_xscale() == "log"


def test_a_pair_of_one_length_is_a_point():
    left, right = length_figure([LONG, SHORT, transfer(9500, 300.0, 200.0, offline="iql")]).axes
    assert [container[0].get_xydata().tolist() for container in left.containers] == [[[9500.0, 300.0]]]
    assert len(right.containers) == 1
    assert left.get_xticks().tolist() == [1000.0, 9000.0]  # the label of 9,500 would overlap


def test_nothing_is_drawn_without_several_lengths(tmp_path):
    assert plot_length([SHORT, transfer(9000, 1.0, 1.0, offline="iql")], tmp_path / "length") == []
    written = plot_length([SHORT, LONG], tmp_path / "length", title="title", caption="caption")
    assert sorted(path.name for path in written) == ["length.pdf", "length.png"]
    assert all(path.stat().st_size > 5000 for path in written)
