"""The policy in NumPy against the Flax actor, for every kind of actor; and its errors about invalid observations."""

from __future__ import annotations

import dataclasses
import itertools
import warnings

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smac_jax.deploy.policy import ACTIVATIONS, DISTRIBUTIONS, Architecture, NumpyPolicy
from smac_jax.errors import CheckpointError, ConfigError, ObservationError
from smac_jax.networks import Actor
from smac_jax.networks.mlp import ACTIVATIONS as FLAX_ACTIVATIONS

GAUSSIANS = [name for name in DISTRIBUTIONS if name != "one_step_flow"]
KINDS = [
    {"distribution": policy, "state_dependent_std": dependent, "actor_activation": activation}
    for policy, dependent, activation in itertools.product(GAUSSIANS, (True, False), ACTIVATIONS)
]
KINDS.append({"distribution": "tanh_gaussian", "state_dependent_std": True, "actor_layer_norm": True})
AFTER = {"actor_layer_norm": True, "layer_norm_position": "after_activation"}
KINDS.append({"distribution": "box_gaussian", "state_dependent_std": True, **AFTER})
KINDS += [{"distribution": "one_step_flow", "actor_activation": activation} for activation in ACTIVATIONS]
KINDS += [{"distribution": "one_step_flow", "actor_layer_norm": True}, {"distribution": "one_step_flow", **AFTER}]
# of float32 for actions in [-1, 1], because products are summed in another order
TOLERANCE = {"rtol": 1e-5, "atol": 1e-5}


@pytest.fixture(scope="module")
def policy(stacked) -> NumpyPolicy:
    return NumpyPolicy.of(stacked).select(1)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: "-".join(map(str, kind.values())))
def test_modes_and_samples_in_numpy_equal_the_flax_actor(kind, make_actor_critic, flax_policies, observations):
    actor_critic = make_actor_critic(**kind)
    policy, flax = NumpyPolicy.of(actor_critic), flax_policies(actor_critic, observations)
    got = policy(observations)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, flax.mode(), **TOLERANCE)

    noise = np.random.default_rng(7).standard_normal((3, 2 * 3, 3), np.float32).reshape(3, 2, 3, 3)
    sample = policy(observations, rng=np.random.default_rng(7))
    np.testing.assert_allclose(sample, flax.sampled(noise), **TOLERANCE)
    assert np.abs(sample - got).max() > 0.1
    if kind["distribution"] != "one_step_flow":
        assert {-5.0, 2.0} <= set(np.unique(flax.log_std))  # both limits of the standard deviation occur


@pytest.mark.parametrize("hidden", [(1,), (7,), (3, 4, 5)])
def test_depth_and_width_do_not_matter(hidden, make_actor_critic, flax_policies, observations):
    actor_critic = make_actor_critic(seeds=None, actor_hidden=hidden)
    got = NumpyPolicy.of(actor_critic)(observations)
    np.testing.assert_allclose(got, actor_critic.policy(observations).mode(), **TOLERANCE)


def test_the_numpy_policy_knows_every_option_of_the_actor():
    options = {field.name for field in dataclasses.fields(Actor)} - {"parent", "name"}
    carried = {field.name for field in dataclasses.fields(Architecture)} - {"observation_size"}
    start = {
        "initial_std",
        "initializer",
        "last_hidden_scale",
    }  # these fields change the initial parameters and not the computation
    assert options == carried | start, "what a policy computes must travel with it"
    assert set(ACTIVATIONS) == set(FLAX_ACTIVATIONS)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_are_exact_for_large_inputs_without_a_warning(name):
    x = np.concatenate([-np.logspace(-6, 8, 200), [0.0], np.logspace(-6, 8, 200)]).astype(np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        got = ACTIVATIONS[name](np, x)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, FLAX_ACTIVATIONS[name](x), rtol=2e-6, atol=1e-6)


@settings(deadline=None, max_examples=30)
@given(shape=st.lists(st.integers(0, 3), max_size=3), seed=st.sampled_from([0, 2, "all"]))
def test_leading_axes_are_kept_and_rows_do_not_mix(stacked, shape, seed):
    policy = NumpyPolicy.of(stacked).select(seed)
    batch = np.random.default_rng(0).normal(size=(*shape, 5))
    together = policy(batch)
    leading = (3,) if seed == "all" else ()
    assert together.shape == (*leading, *shape, 3)
    for at in np.ndindex(*shape):
        np.testing.assert_allclose(policy(batch[at]), together[(..., *at, slice(None))], **TOLERANCE)


def test_all_seeds_together_equal_each_seed_alone(stacked, observations):
    policy = NumpyPolicy.of(stacked, [4, 5, 9])
    together = policy.select("all")(observations)
    for i, seed in enumerate((4, 5, 9)):
        alone = policy.select(seed)
        assert alone.seeds == seed
        np.testing.assert_allclose(alone(observations), together[i], **TOLERANCE)
        np.testing.assert_array_equal(alone.select("all")(observations), alone(observations)[None])
    assert policy.select().seeds == 4
    assert np.abs(np.diff(together, axis=0)).max(axis=(1, 2, 3)).min() > 0.1


def test_samples_are_repeatable_and_differ_between_seeds(stacked):
    policy = NumpyPolicy.of(jax.tree.map(lambda x: x[np.array([0, 0])], stacked))
    first, second = (policy(np.zeros(5), rng=np.random.default_rng(3)) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert (first[0] != first[1]).any()  # two equal policies have different samples


def test_samples_of_a_box_are_clipped_to_it(make_actor_critic):
    policy = NumpyPolicy.of(make_actor_critic(distribution="box_gaussian"))
    draws = policy(np.zeros((200, 5)), rng=np.random.default_rng(0))
    assert draws.min() == -1.0
    assert draws.max() == 1.0


@pytest.mark.parametrize("kind", [list, lambda x: x.astype(np.float32), jax.numpy.asarray, lambda x: x[::-1][::-1]])
def test_observations_may_be_any_array_of_numbers(policy, kind):
    observation = np.linspace(-1, 1, 5)
    np.testing.assert_allclose(policy(kind(observation)), policy(observation), **TOLERANCE)
    np.testing.assert_array_equal(policy([1, 0, 1, 0, 2]), policy([1.0, 0.0, 1.0, 0.0, 2.0]))


@pytest.mark.parametrize(
    ("observation", "words"),
    [
        (np.zeros(4), r"shape \(4,\), but this policy needs 5 numbers, in an array of shape \(5,\), or \(\.\.\., 5\)"),
        (np.zeros((5, 1)), r"shape \(5, 1\)"),
        (1.0, r"shape \(\)"),
        (np.array([0, 1, np.nan, 2, 3]), r"observation\[2\] is nan: 1 of 5 numbers"),
        (np.where(np.eye(2, 5) > 0, -np.inf, 0.0), r"observation\[0, 0\] is -inf: 2 of 10"),
        (np.full(5, 1e39), r"observation\[0\] is 1e\+39: 5 of 5 numbers are not finite in float32"),
        (["a"] * 5, "type <U1: it must be an array of real numbers"),
        (np.zeros(5, complex), "type complex128"),
        (None, "type object"),
        ([[1.0], [1.0, 2.0]], "not an array of numbers"),
        (np.full(5, 3e38), r"so large \(up to 3e\+38\) that the policy overflows"),
    ],
)
def test_invalid_observations_are_refused(policy, observation, words):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ObservationError, match=words):
            policy(observation)


def test_an_unknown_seed_is_refused_with_the_known_ones(stacked, policy):
    with pytest.raises(ConfigError, match=r"seed = 3: must be one of 0, 1, 2, or 'all'"):
        NumpyPolicy.of(stacked).select(3)
    with pytest.raises(ConfigError, match=r"seed = 0: must be one of 1, or 'all'"):
        policy.select(0)


def test_parameters_with_nan_or_infinity_are_refused(stacked):
    broken = stacked.replace(observation_mean=stacked.observation_mean.at[1, 2].set(np.nan))
    policy = NumpyPolicy.of(broken)
    policy.select(0)
    for seed in (1, "all"):
        with pytest.raises(CheckpointError, match=f"observation_mean of seed {seed} is not finite"):
            policy.select(seed)


def test_arrays_of_another_architecture_are_refused(stacked, policy, make_actor_critic):
    with pytest.raises(CheckpointError, match=r"shape \(1, .*\(2,\) seeds need"):
        NumpyPolicy.of(make_actor_critic(seeds=None), [0, 1])
    assert NumpyPolicy.of(make_actor_critic(seeds=None), [7]).seeds == 7
    with pytest.raises(CheckpointError, match=r"hidden_0_bias has shape \(3, 16\), .* \(2,\) seeds need \(2, 16\)"):
        NumpyPolicy.of(stacked, [0, 1])
    without = {name: array for name, array in policy.arrays.items() if name != "mean_bias"}
    with pytest.raises(CheckpointError, match="mean_bias has shape None"):
        NumpyPolicy(policy.architecture, without, 0)
