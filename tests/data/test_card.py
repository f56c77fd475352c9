"""The card of a data set, against numbers that were counted by hand."""

from __future__ import annotations

import numpy as np
import pytest
from fake_logs import make_log

from smac_jax.data.card import Statistics, constant_columns, count_duplicate_rows, make_card, statistics
from smac_jax.data.dataset import Dataset
from smac_jax.tasks import normalized_score


def test_a_card_counts_rows_episodes_and_ends():
    log = make_log([4, 3, 5], ["terminal", "timeout", "cut"], next_observations=True)
    log["rewards"] = np.arange(12.0)
    log["actions"][:, 1] = 0.25
    log["actions"][:3, 0] = (1.0, -1.0, 0.995)
    log["actions"][3:, 0] = 0.5
    log["actions"][:, 2] = np.linspace(-0.5, 0.5, 12)
    card = make_card(Dataset.from_arrays(**log, name="mine", task="hopper"))
    assert (card.name, card.task, card.rows, card.episodes) == ("mine", "hopper", 12, 3)
    assert (card.observation_size, card.action_size) == (2, 3)
    assert (card.terminals, card.timeouts) == (1, 2)
    assert card.returns == Statistics(6.0, 22.0, 45.0, pytest.approx(np.std([6, 15, 45])))
    assert card.lengths == Statistics(3.0, 4.0, 5.0, pytest.approx(np.std([4, 3, 5])))
    assert card.score == pytest.approx(float(normalized_score("hopper", 22.0)))
    assert card.rewards == statistics(np.arange(12.0))
    assert card.at_the_edge == pytest.approx(3 / 36)
    assert card.constant_actions == ((1, 0.25),)
    assert card.constant_observations == ()
    assert card.successes is None
    assert card.duplicates == 0


def test_the_card_of_a_binary_task_has_the_share_of_successes():
    rewards, terminals = [-1, 0, -1, -1, -1, 0], [0, 1, 0, 0, 0, 1]
    timeouts = [0, 0, 0, 1, 0, 0]
    rows = np.zeros((6, 39))
    data = Dataset.from_arrays(rows, rows[:, :28], rewards, terminals, timeouts, rows, task="door-binary")
    card = make_card(data)
    assert card.successes == pytest.approx(2 / 3)
    assert card.score == pytest.approx(200 / 3)


def test_duplicates_are_exact_copies_in_all_columns():
    observations = np.array([[1, 2], [1, 2], [1, 2], [3, 0.0], [3, -0.0], [3, 1e-30]], np.float32)
    actions = np.array([[5], [5], [6], [7], [7], [7]], np.float32)
    assert count_duplicate_rows(observations) == 3
    assert count_duplicate_rows(observations, actions) == 2


def test_constant_columns_are_returned_with_index_and_value():
    values = np.array([[1, 2, 0], [1, 3, 0], [1, 2, 0]], np.float32)
    assert constant_columns(values) == ((0, 1.0), (2, 0.0))
