"""The product's programs, compiled for GPUs and TPUs that are described: rules and budgets.

Skipped where a compiler is not installed (extra ``devices``). A program takes half a minute to some minutes.
"""

from __future__ import annotations

import jax
import pytest
from jax.experimental.compilation_cache.compilation_cache import reset_cache

from benchmarks.devices import budgets, targets
from benchmarks.devices.__main__ import line
from benchmarks.devices.facts import compile_program
from benchmarks.devices.model import Constants
from benchmarks.devices.programs import programs
from smac_jax.errors import ConfigError

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def compiled_anew():
    """What is compiled for a described device cannot be read back from the cache."""
    jax.config.update("jax_enable_compilation_cache", False)
    reset_cache()
    yield
    jax.config.update("jax_enable_compilation_cache", True)
    reset_cache()


def record(target_name: str, name: str, size: str, seeds: int) -> dict:
    """What the command writes of a program."""
    targets.look_for_no_device()
    try:
        target = targets.find_target(target_name)
    except ConfigError as missing:
        pytest.skip(str(missing))
    program = next(iter(programs([name], [size], [seeds])))
    return line(program, compile_program(program, target), target, Constants(), None)


@pytest.mark.parametrize("key", budgets.BUDGETS, ids=lambda key: "-".join(map(str, key)))
def test_programs_keep_to_the_rules_and_their_budgets(key):
    found = record(*key)
    assert budgets.violations(key[0], [found]) == []
    budget = budgets.BUDGETS[key]
    assert found["kernels"][0] > 0.7 * budget.kernels, "the program became better: lower its budget"
    least, most = found["predicted_rate"]
    assert 0 < least <= most


def test_seeds_over_four_chips_cost_what_one_costs():
    found = record("v5e:2x2", "td3_bc", "field", 4)
    assert found["collectives"] == {}
    assert budgets.violations("v5e:2x2", [found]) == []
    alone = record("v5e:1x1", "td3_bc", "field", 1)
    assert found["predicted_seconds"][1] == pytest.approx(alone["predicted_seconds"][1], rel=0.05)


def test_a_gpu_multiplies_physics_at_the_highest_precision():
    found = record("h100", "online:mjx", "field", 1)
    assert found["products"]["physics highest"] > 10
    assert budgets.violations("h100", [found]) == []
