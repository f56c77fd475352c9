"""The small pure functions of the losses, against numbers computed by hand: plain, compiled and under a seed axis."""

from __future__ import annotations

from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from absl.testing import parameterized

from smac_jax.algorithms import cql, critic, iql, temperature
from smac_jax.networks import TanhGaussian, aggregate
from smac_jax.scores import MatchingPoints, damped_policy_score, score_matching_penalty
from smac_jax.types import Transition


def rewards(reward, terminal):
    """Returns a batch in which only rewards and terminals matter."""
    nothing = jnp.zeros((len(reward), 1))
    return Transition(
        nothing, nothing, jnp.asarray(reward), nothing, jnp.asarray(terminal), nothing[:, 0], nothing[:, 0]
    )


def quadratic(params, observation, action):
    """Returns ``Q = -c a^2 / 2``, whose action-gradient is ``-c a``."""
    return -0.5 * params * jnp.sum(action**2, axis=-1) + 0.0 * observation.sum(axis=-1)


def penalty(slopes, action):
    """Returns the penalty of an ensemble of :func:`quadratic` whose target gradient is -2."""
    points = MatchingPoints(action, action, jnp.full_like(action, -2.0), jnp.ones_like(action))
    return score_matching_penalty(quadratic, slopes, points)


EXP, SOFTPLUS = (temperature.TemperatureConfig(temperature_parameterization=name) for name in ("exp", "softplus"))
KEY = jax.random.key(0)
VALUES = [[2.0, 1.0], [4.0, 5.0]]
NARROW = TanhGaussian(jnp.array([0.5]), jnp.log(jnp.array([0.5])))
# name, function, arguments, result
CASES = (
    # r + gamma V; the second row is a terminal
    (
        "bootstrap",
        lambda *a: critic.bootstrap(rewards(*a[:2]), 0.5, a[2]),
        ([1.0, 2.0], [0.0, 1.0], [4.0, 4.0]),
        [3, 2],
    ),
    # the errors of the members are (1, -1) and (3, 3), with mean squares 1 and 9
    ("sum_of_squares", lambda *a: critic.squared_error(*a)[0], (VALUES, [1.0, 2.0]), 10.0),
    ("mean_of_squares", lambda *a: critic.squared_error(*a, "mean")[0], (VALUES, [1.0, 2.0]), 5.0),
    # 0.9 * 2^2 and 0.1 * 1^2, halved
    ("expectile_loss", partial(iql.expectile_loss, expectile=0.9), ([2.0, -1.0],), 1.85),
    # the temperature is 0.5; the entropy 1 is 3 above the target of two actions, -1 each
    ("temperature_loss", lambda *a: temperature.temperature_loss(EXP, *a, 2), (np.log(0.5), 1.0), 1.5),
    ("log_temperature_loss", lambda *a: cql.temperature_loss(EXP, *a, 2), (np.log(0.5), 1.0), 3 * np.log(0.5)),
    ("softplus", partial(temperature.temperature_of, SOFTPLUS), (np.log(np.expm1(0.3)),), 0.3),
    ("inverse_of_softplus", partial(temperature.parameter_of, SOFTPLUS), (0.3,), np.log(np.expm1(0.3))),
    ("smallest_value", lambda values: aggregate(values, "min", KEY), (VALUES,), [2.0, 1.0]),
    # 2 a - (atanh a - mu) / sigma^2 at a = tanh(1)
    ("policy_score", lambda a: damped_policy_score(NARROW, a).score, ([np.tanh(1.0)],), [2 * np.tanh(1.0) - 2.0]),
    # gradients are -2 and -6 at a = 2, and the target is -2: squares 0 and 16
    ("penalty", penalty, ([1.0, 3.0], [[2.0]]), 16.0),
)


def as_arrays(tree):
    return jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), tree, is_leaf=lambda x: isinstance(x, list))


class PureFunctions(chex.TestCase):
    @chex.variants(with_jit=True, without_jit=True)
    @parameterized.named_parameters(*CASES)
    def test_results_equal_numbers_computed_by_hand(self, function, args, want):
        chex.assert_trees_all_close(self.variant(function)(*as_arrays(args)), as_arrays(want), rtol=1e-5)

    @chex.variants(with_jit=True, without_jit=True)
    @parameterized.named_parameters(*CASES)
    def test_a_seed_axis_changes_nothing(self, function, args, want):
        seeds = jax.tree.map(lambda x: jnp.stack([x, 0.5 * x, x]), as_arrays(args))
        got = self.variant(jax.vmap(function))(*seeds)
        for seed in (0, 2):
            chex.assert_trees_all_close(got[seed], as_arrays(want), rtol=1e-5)


@pytest.mark.parametrize(
    ("function", "args"),
    [
        (critic.bootstrap, (rewards([1.0, 2.0], [0.0, 1.0]), 0.9, jnp.zeros((2, 1)))),
        (critic.squared_error, (jnp.zeros((3, 2)), jnp.zeros((2, 1)))),
        (critic.squared_error, (jnp.zeros((3, 2)), jnp.zeros(3))),
        (iql.expectile_loss, (jnp.zeros((2, 1)), 0.7)),
    ],
    ids=["bootstrap", "a column", "another batch", "expectile"],
)
def test_shapes_that_would_broadcast_are_refused_when_a_loss_is_traced(function, args):
    # by chex, or by the check of annotations
    with pytest.raises((AssertionError, TypeError)):
        jax.eval_shape(lambda: function(*args))
