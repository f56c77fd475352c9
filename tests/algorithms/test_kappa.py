"""Kappa as a dual variable, and with a schedule."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_algorithms import dataset, smac_case

from smac_jax.algorithms import make_offline, smac
from smac_jax.algorithms.kappa import KAPPA_RANGE, KappaConfig, continue_kappa, init_kappa, kappa_of, update_kappa
from smac_jax.errors import ConfigError

SMALL = {
    "network": {"actor_hidden": (16,), "critic_hidden": (16,), "num_critics": 2},
    "alpha_hidden": (8,),
    "batch_size": 32,
    "score_model": {"num_updates": 200, "hidden": 16, "num_blocks": 1, "embedding": 8, "condition_hidden": (8,)},
}


def every_step(num_updates: int, **fields) -> dict[str, np.ndarray]:
    """Returns the metrics of each update of the main phase, ``{name: [update]}``, after training the score model."""
    built = make_offline("smac", {**SMALL, "kappa_learning_rate": 1e-2, **fields})
    data = dataset()
    state = jax.jit(built.init)(jax.random.key(0), data)
    for phase in built.phases:

        def one(state, key, phase=phase):
            batch_key, update_key = jax.random.split(key)
            return phase.update(state, data.sample(batch_key, phase.batch_size), update_key)

        keys = jax.random.split(jax.random.key(1), phase.num_updates or num_updates)
        state, metrics = jax.jit(lambda state, keys, one=one: jax.lax.scan(one, state, keys))(state, keys)
    return jax.tree.map(np.asarray, metrics)


@pytest.mark.parametrize("target", [0.5, 2.0])
def test_kappa_keeps_the_gradient_ratio_at_its_target(target):
    ratio = every_step(1000, kappa_adaptation="gradient_ratio", kappa_target=target)["gradient_ratio"]
    # the geometric mean is controlled; the second half begins long after kappa has converged
    np.testing.assert_allclose(np.exp(np.log(ratio[-500:]).mean()), target, rtol=0.1)


def test_a_fixed_kappa_stays_and_does_not_control_the_ratio():
    metrics = every_step(1000)
    np.testing.assert_array_equal(metrics["kappa"], 5.0)
    held = np.exp(np.log(metrics["gradient_ratio"][-500:]).mean())
    assert all(abs(np.log(held / target)) > np.log(1.3) for target in (0.5, 2.0)), held


def adapted(num_updates, residual=1.0, ratio=1.0, **fields):
    """Returns kappa before the first and after each update, with the same measurements in each update."""
    config = KappaConfig(**{"kappa_learning_rate": 1e-2, **fields})

    def one(state, _):
        state = update_kappa(config, state, jnp.float32(residual), jnp.float32(ratio))
        return state, kappa_of(config, state)

    start = init_kappa(config)
    return np.append(kappa_of(config, start), jax.lax.scan(one, start, length=num_updates)[1])


def test_kappa_rises_while_the_residual_is_above_its_target_and_falls_while_it_is_below():
    for residual, direction in ((0.5, 1), (0.1, -1)):
        kappa = adapted(20, residual, kappa_adaptation="residual", kappa_target=0.3)
        assert (np.sign(np.diff(kappa)) == direction).all()
    np.testing.assert_allclose(adapted(20, 0.3, kappa_adaptation="residual", kappa_target=0.3), 5.0, rtol=1e-3)


def test_kappa_falls_while_the_gradient_of_the_penalty_is_too_large_and_rises_while_it_is_small():
    for ratio, direction in ((2.0, -1), (0.5, 1)):
        kappa = adapted(20, ratio=ratio, kappa_adaptation="gradient_ratio", kappa_target=1.0)
        assert (np.sign(np.diff(kappa)) == direction).all()


def test_kappa_stays_in_its_range():
    fast = {"kappa_adaptation": "residual", "kappa_target": 1.0, "kappa_learning_rate": 1.0}
    np.testing.assert_allclose(adapted(40, 1e-3, **fast)[-1], KAPPA_RANGE[0], rtol=1e-5)
    np.testing.assert_allclose(adapted(40, 1e3, **fast)[-1], KAPPA_RANGE[1], rtol=1e-5)
    with pytest.raises(
        ConfigError, match=r"SMACConfig.kappa = 0.0: a kappa that adapts must start in \[0.001, 1000.0\]"
    ):
        make_offline("smac", {"kappa_adaptation": "residual", "kappa": 0.0})


def test_kappa_halves_every_half_life_down_to_its_lower_bound():
    kappa = adapted(1000, kappa_adaptation="decay", kappa=8.0, kappa_half_life=50.0)
    np.testing.assert_allclose(kappa, np.maximum(8.0 * 2.0 ** (-np.arange(1001) / 50), KAPPA_RANGE[0]), rtol=1e-3)


def test_an_update_of_smac_uses_the_kappa_from_before_the_update(batch):
    config, score, state = smac_case(kappa=8.0, kappa_adaptation="decay", kappa_half_life=10.0)
    update = jax.jit(partial(smac.update, config, score))
    for i in range(2):
        state, metrics = update(state, batch, jax.random.key(i))
        np.testing.assert_allclose(metrics["kappa"], 8.0 * 2.0 ** (-i / 10), rtol=1e-5)


def continued_kappa(offline, online, updates):
    """Returns kappa before the first and after each online update, after ten offline updates."""
    offline, online = KappaConfig(**offline), KappaConfig(**{**offline, **online})
    state = init_kappa(offline)
    for _ in range(10):
        state = update_kappa(offline, state, jnp.float32(0.1), jnp.float32(1.0))
    state, found = continue_kappa(offline, online, state), []
    for _ in range(updates + 1):
        found.append(float(kappa_of(online, state)))
        state = update_kappa(online, state, jnp.float32(0.1), jnp.float32(1.0))
    return np.array(found)


def test_a_fixed_kappa_is_released_after_the_transfer_on_a_schedule():
    found = continued_kappa({"kappa": 5.0}, {"kappa_adaptation": "decay", "kappa_half_life": 4.0}, 8)
    np.testing.assert_allclose(found, 5.0 * 0.5 ** (np.arange(9) / 4), rtol=1e-5)


def test_kappa_as_a_dual_variable_decreases_online_at_the_rate_of_its_logarithm():
    """The penalty is a tenth of that of a flat critic.

    Adam's steps for a constant gradient have the length of its rate.
    """
    online = {"kappa_adaptation": "residual", "kappa_target": 1.0, "kappa_learning_rate": 0.01}
    np.testing.assert_allclose(
        continued_kappa({"kappa": 5.0}, online, 8), 5.0 * np.exp(-0.01 * np.arange(9)), rtol=1e-4
    )


def test_kappa_continues_online_from_its_last_value_or_from_a_new_one():
    decay = {"kappa": 8.0, "kappa_adaptation": "decay", "kappa_half_life": 5.0}  # kappa is 2 after ten updates
    assert continued_kappa(decay, {}, 0) == pytest.approx(2.0, rel=1e-5)
    assert continued_kappa(decay, {"kappa_adaptation": "residual"}, 0) == pytest.approx(2.0, rel=1e-5)
    assert continued_kappa(decay, {"kappa": 3.0}, 0) == pytest.approx(3.0, rel=1e-5)
    assert continued_kappa({"kappa": 5.0}, {"kappa": 0.0}, 3) == pytest.approx(np.zeros(4))
