"""The gradient of the penalty against the plain double gradient, finite differences and a closed form."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smac_jax.networks import Critic, init_ensemble
from smac_jax.scores.penalty import MatchingPoints, action_gradient, member_penalty, score_matching_penalty


def problem(members: int, batch: int, observations: int, actions: int, activation: str = "tanh", seed: int = 0):
    critic = Critic((16, 16), activation)
    keys = jax.random.split(jax.random.key(seed), 5)
    params = init_ensemble(critic, keys[0], members, observations, actions)
    observation = jax.random.normal(keys[1], (batch, observations))
    action = jax.random.uniform(keys[2], (batch, actions), minval=-1, maxval=1)
    target = jax.random.normal(keys[3], (batch, actions))
    weight = jax.random.uniform(keys[4], (batch, actions))
    return critic, params, MatchingPoints(observation, action, target, weight)


def double_backward(q, params, points):
    """Computes the penalty for one sample and one member at a time, for reverse over reverse mode."""

    def one(member, s, a, t, w):
        return jnp.sum((w * jax.grad(lambda x: q(member, s, x))(a) - t) ** 2)

    samples = jax.vmap(one, in_axes=(None, 0, 0, 0, 0))
    return jax.vmap(samples, in_axes=(0, None, None, None, None))(params, *points).mean(1).sum()


def reverse_over_reverse(q, params, points):
    """Computes the same for whole batches, in the usual way."""

    def of_member(params):
        gradient = action_gradient(q, params, points.observation, points.action)
        return jnp.mean(jnp.sum((points.weight * gradient - points.target) ** 2, axis=-1))

    return jax.vmap(of_member)(params).sum()


@settings(max_examples=6, deadline=None)
@given(
    members=st.integers(1, 5),
    batch=st.integers(1, 7),
    observations=st.integers(1, 6),
    actions=st.integers(1, 4),
    activation=st.sampled_from(["tanh", "silu", "gelu", "relu"]),
    seed=st.integers(0, 1000),
)
def test_penalty_and_its_gradient_equal_the_double_backward(members, batch, observations, actions, activation, seed):
    critic, params, points = problem(members, batch, observations, actions, activation, seed)

    def both(penalty):
        of_target = lambda params, target: penalty(critic.apply, params, points._replace(target=target))  # noqa: E731
        return jax.jit(jax.value_and_grad(of_target, argnums=(0, 1)))(params, points.target)

    (value, gradients), (expected, expected_gradients) = both(score_matching_penalty), both(double_backward)
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    for got, want in zip(jax.tree.leaves(gradients), jax.tree.leaves(expected_gradients), strict=True):
        np.testing.assert_allclose(got, want, atol=1e-5 * max(1.0, float(jnp.abs(want).max())))


def test_penalty_gradient_against_finite_differences():
    critic, params, points = problem(1, 4, 3, 2)
    member = jax.tree.map(lambda x: x[0].astype(jnp.float32), params)

    def penalty(p):
        return member_penalty(critic.apply, p, points)

    direction = jax.tree.map(lambda x: jax.random.normal(jax.random.key(7), x.shape), member)
    along = sum(
        jnp.vdot(g, d) for g, d in zip(*map(jax.tree.leaves, (jax.grad(penalty)(member), direction)), strict=True)
    )
    step = 1e-2

    def at(t):
        return float(penalty(jax.tree.map(lambda x, d: x + t * d, member, direction)))

    # fourth-order central difference
    numeric = (8 * (at(step) - at(-step)) - (at(2 * step) - at(-2 * step))) / (12 * step)
    np.testing.assert_allclose(along, numeric, rtol=2e-3)


def test_penalty_of_a_quadratic_q_has_its_closed_form():
    # Q = a' M a / 2 + s' b a  =>  grad_a Q = sym(M) a + b' s
    matrix = jnp.array([[1.0, 2.0], [0.0, -3.0]])
    params = {"matrix": matrix[None]}
    observation, action = jnp.array([[2.0], [0.5]]), jnp.array([[0.5, -0.25], [1.0, 0.0]])
    coupling = jnp.array([1.0, -1.0])

    def q(p, s, a):
        return 0.5 * jnp.einsum("bi,ij,bj->b", a, p["matrix"], a) + s[:, 0] * (a @ coupling)

    symmetric = 0.5 * (matrix + matrix.T)
    gradient = action @ symmetric + observation * coupling
    target = jnp.array([[0.1, 0.2], [0.3, -0.4]])
    residual = gradient - target

    points = MatchingPoints(observation, action, target, jnp.ones_like(action))
    value, got = jax.value_and_grad(lambda p: score_matching_penalty(q, p, points))(params)
    np.testing.assert_allclose(value, jnp.mean(jnp.sum(residual**2, -1)), rtol=1e-6)
    # d/dM of |sym(M) a + c|^2 = r a' + a r'  (symmetrized)
    expected = jnp.mean(jnp.einsum("bi,bj->bij", residual, action) + jnp.einsum("bi,bj->bij", action, residual), axis=0)
    np.testing.assert_allclose(got["matrix"][0], expected, rtol=1e-5, atol=1e-6)


def test_each_member_has_an_independent_penalty():
    critic, params, points = problem(4, 6, 3, 2)

    def penalty(p):
        return score_matching_penalty(critic.apply, p, points)

    together = jax.grad(penalty)(params)
    for i in range(4):
        alone = jax.grad(penalty)(jax.tree.map(lambda x, i=i: x[i : i + 1], params))
        jax.tree.map(lambda a, b, i=i: np.testing.assert_allclose(a[0], b[i], rtol=1e-4, atol=1e-6), alone, together)
    # a change of one member does not change the gradients of the others
    changed = jax.grad(penalty)(jax.tree.map(lambda x: x.at[0].mul(1.5), params))
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(a[1:], b[1:]), changed, together)


def test_no_gradient_reaches_the_actions_the_observations_or_the_weights():
    critic, params, points = problem(2, 5, 3, 2)
    gradient = jax.grad(lambda points: score_matching_penalty(critic.apply, params, points))(points)
    assert np.any(gradient.target)
    assert not any(np.any(x) for x in gradient._replace(target=jnp.zeros(())))


def test_penalty_is_the_same_plain_jitted_and_under_a_seed_axis():
    critic, params, points = problem(2, 5, 3, 2)

    def gradient(params, points):
        return jax.grad(partial(score_matching_penalty, critic.apply))(params, points)

    plain = gradient(params, points)
    seeds = jax.tree.map(lambda x: jnp.stack([x, 2 * x, x]), (params, points))
    batched = jax.jit(jax.vmap(gradient))(*seeds)
    for i in (0, 2):
        jax.tree.map(lambda a, b, i=i: np.testing.assert_allclose(a, b[i], rtol=2e-5, atol=1e-6), plain, batched)


@pytest.mark.parametrize(("members", "batch"), [(2, 64), (10, 64), (2, 256)])
def test_forward_over_reverse_needs_the_operations_of_reverse_over_reverse(members, batch):
    """All operations are counted. Matrix products, which take most of the time, are equal in number.

    Which of the two has fewer other operations depends on the version of JAX, and on the size.
    """
    critic, params, points = problem(members, batch, 11, 3)

    def cost(penalty):
        lowered = jax.jit(jax.grad(partial(penalty, critic.apply))).lower(params, points)
        return lowered.compile().cost_analysis()["flops"], lowered.as_text().count("dot_general")

    (ours, our_products), (plain, plain_products) = cost(score_matching_penalty), cost(reverse_over_reverse)
    assert our_products == plain_products
    # a product of a hidden layer costs 2 * batch * 16 * 16 operations, and the difference is less than one of them
    assert abs(plain - ours) < members * 2 * batch * 16 * 16


def test_action_gradient_is_the_derivative_in_the_action():
    critic, params, (observation, action, _, _) = problem(1, 4, 3, 2)
    member = jax.tree.map(lambda x: x[0], params)
    got = action_gradient(critic.apply, member, observation, action)
    step = 1e-2
    for j in range(2):
        delta = jnp.zeros(2).at[j].set(step)
        numeric = (
            critic.apply(member, observation, action + delta) - critic.apply(member, observation, action - delta)
        ) / (2 * step)
        np.testing.assert_allclose(got[:, j], numeric, atol=2e-4)


def test_arrays_with_different_shapes_are_refused_while_tracing():
    critic, params, points = problem(2, 5, 3, 2)
    for wrong in (points._replace(weight=jnp.ones((5, 1))), points._replace(target=points.target[0])):
        with pytest.raises(AssertionError):
            jax.eval_shape(partial(score_matching_penalty, critic.apply), params, wrong)
