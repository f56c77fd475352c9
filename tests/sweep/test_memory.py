"""The number of seeds that fit in memory is computed from the compiler's figures."""

from __future__ import annotations

from pathlib import Path

import jax
import pytest
from test_grid import jobs

from smac_jax.errors import ConfigError
from smac_jax.sweep import memory


@pytest.fixture(scope="module")
def job():
    return jobs(Path("results"), offline=("td3_bc",), online=("sac",), seeds=range(8), size=8)[0]


def test_all_seeds_run_together_if_memory_suffices(job, data):
    assert memory.seeds_that_fit(job, data) == 8


def test_the_number_of_parallel_seeds_is_proportional_to_memory(job, data, monkeypatch):
    each = memory.compiled_estimate(job, data) + 2 * memory.buffer_bytes(job, data)
    # parameters, targets and Adam's moments are a lower bound of the estimate
    built = memory.make_offline("td3_bc", job.offline.config)
    state = jax.eval_shape(lambda: built.init(jax.random.key(0), built.prepare(data)))
    assert each > memory.nbytes(state)
    for seeds in (1, 3):
        room = (each * (seeds + 0.5) + memory.nbytes(data)) / memory.SHARE
        monkeypatch.setattr(memory, "memory_of", lambda device, room=room: room)
        assert memory.seeds_that_fit(job, data) == seeds
    monkeypatch.setattr(memory, "memory_of", lambda device: each / 2)
    with pytest.raises(ConfigError, match=r"one seed needs .* GB"):
        memory.seeds_that_fit(job, data)


@pytest.mark.parametrize("offline", ["rebrac", "cal_ql"])
def test_columns_that_an_algorithm_adds_are_computed_on_the_host(offline, data):
    """Of a job whose seeds fit without a look at the compiled program."""
    (job,) = jobs(Path("results"), offline=(offline,), online=("sac",), seeds=range(1), size=1)
    assert memory.seeds_that_fit(job, data) == 1
