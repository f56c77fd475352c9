"""Muon on a stacked ensemble equals optax's Muon on each single matrix, and Adam on all other leaves."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from benchmarks.optax_muon import optax_muon
from smac_jax.errors import UnknownNameError
from smac_jax.networks import Critic, NoisePredictor, init_ensemble
from smac_jax.optim import make_optimizer, muon, newton_schulz, orthogonalize
from smac_jax.optim.muon import is_matrix

RATE = 1e-2
UPDATES = 4


def trajectory(optimizer, params, gradients):
    def step(carry, gradient):
        params, state = carry
        updates, state = optimizer.update(gradient, state, params)
        return (optax.apply_updates(params, updates), state), None

    stacked = jax.tree.map(lambda *x: jnp.stack(x), *gradients)
    return jax.jit(lambda: jax.lax.scan(step, (params, optimizer.init(params)), stacked)[0][0])()


def random_like(tree, seed):
    leaves, structure = jax.tree.flatten(tree)
    keys = jax.random.split(jax.random.key(seed), len(leaves))
    return structure.unflatten([jax.random.normal(k, x.shape) for k, x in zip(keys, leaves, strict=True)])


@pytest.fixture(scope="module")
def ensemble():
    params = init_ensemble(Critic((24, 16)), jax.random.key(0), 3, 5, 2)
    return params, [random_like(params, i) for i in range(UPDATES)]


@pytest.mark.parametrize("optimizer", [muon, optax_muon])
def test_every_kernel_of_every_member_has_muon_steps(optimizer, ensemble):
    params, gradients = ensemble
    ours = trajectory(optimizer(RATE), params, gradients)
    for layer, leaves in params["params"]["MLP_0"].items():
        for member in range(3):
            alone = trajectory(
                optax.contrib.muon(RATE),
                {"w": leaves["kernel"][member]},
                [{"w": g["params"]["MLP_0"][layer]["kernel"][member]} for g in gradients],
            )["w"]
            np.testing.assert_allclose(ours["params"]["MLP_0"][layer]["kernel"][member], alone, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("optimizer", [muon, optax_muon])
def test_every_bias_has_adam_steps(optimizer, ensemble):
    params, gradients = ensemble
    # optax uses Adam with Nesterov momentum for leaves that are not matrices
    ours = trajectory(optimizer(RATE), params, gradients)
    adam = trajectory(optax.adam(RATE, nesterov=True), params, gradients)
    for layer in params["params"]["MLP_0"]:
        got, want = (tree["params"]["MLP_0"][layer]["bias"] for tree in (ours, adam))
        np.testing.assert_allclose(got, want, rtol=1e-5)
    # without a mapping of axes, optax orthogonalizes biases across members, which this package avoids
    naive = trajectory(optax.contrib.muon(RATE), params, gradients)["params"]["MLP_0"]["Dense_0"]
    np.testing.assert_allclose(naive["kernel"], adam["params"]["MLP_0"]["Dense_0"]["kernel"], rtol=1e-5)
    assert not np.allclose(naive["bias"], adam["params"]["MLP_0"]["Dense_0"]["bias"], rtol=1e-2)


def test_a_seed_axis_changes_nothing(ensemble):
    params, gradients = ensemble
    stacked = jax.tree.map(lambda *x: jnp.stack(x), params, random_like(params, 9))
    stacked_gradients = [jax.tree.map(lambda x: jnp.stack([x, -2 * x]), g) for g in gradients]

    def run(params, gradients):
        return trajectory(muon(RATE), params, gradients)

    together = jax.vmap(run)(stacked, stacked_gradients)
    alone = run(params, gradients)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b[0], rtol=1e-3, atol=1e-5), alone, together)


def test_update_of_a_kernel_is_nearly_orthogonal(ensemble):
    params, gradients = ensemble
    optimizer = muon(1.0)
    updates, _ = optimizer.update(gradients[0], optimizer.init(params), params)
    singular = np.linalg.svd(np.asarray(updates["params"]["MLP_0"]["Dense_1"]["kernel"]), compute_uv=False)
    assert singular.min() > 0.4
    assert singular.max() < 1.4


@pytest.mark.parametrize("shape", [(16, 64), (64, 16), (32, 32)])
@pytest.mark.parametrize("optimizer", [muon, optax_muon])
def test_consistent_rms_does_not_depend_on_the_shape(optimizer, shape):
    params = {"kernel": jnp.zeros((2, *shape))}
    gradient = {"kernel": jax.random.normal(jax.random.key(0), (2, *shape))}
    built = optimizer(1e-3, consistent_rms=0.2)
    step, _ = built.update(gradient, built.init(params), params)
    assert np.sqrt(np.mean(np.square(step["kernel"]))) == pytest.approx(1e-3 * 0.2, rel=0.2)
    alone = optax.contrib.muon(1e-3, consistent_rms=0.2)
    one = {"w": gradient["kernel"][1]}
    want, _ = alone.update(one, alone.init(one), one)
    np.testing.assert_allclose(step["kernel"][1], want["w"], rtol=1e-3, atol=1e-7)


def test_non_matrices_of_the_noise_predictor_are_recognized():
    network = NoisePredictor(2, 8, 1, 4, 4, 4, (4,))
    params = network.init(jax.random.key(0), jnp.zeros(3), jnp.zeros(2), jnp.zeros(()), jnp.zeros(()))
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        assert is_matrix(path, leaf) == (path[-1].key == "kernel"), path


@pytest.mark.parametrize("shape", [(7, 5), (5, 7), (3, 6, 6), (2, 3, 9, 4)])
def test_a_stack_is_orthogonalized_matrix_by_matrix(shape):
    x = jax.random.normal(jax.random.key(1), shape)
    iterate = optax.contrib._muon.orthogonalize_via_newton_schulz
    coefficients = jnp.asarray(optax.contrib._muon._DEFAULT_NS_COEFFS)
    want = jnp.stack([iterate(m, coefficients) for m in x.reshape(-1, *shape[-2:])]).reshape(shape)
    np.testing.assert_allclose(orthogonalize(x), want, atol=1e-5)
    np.testing.assert_allclose(jax.jit(orthogonalize)(x), want, atol=1e-5)
    if len(shape) > 2:
        np.testing.assert_allclose(jax.vmap(orthogonalize)(x), want, atol=1e-5)
    if len(shape) > 3:
        np.testing.assert_allclose(jax.vmap(jax.vmap(orthogonalize), in_axes=1, out_axes=1)(x), want, atol=1e-5)


SHAPES = [(3, 14, 64), (3, 64, 64), (2, 64, 64), (3, 64, 1), (1, 64, 3), (1, 20, 64)]


@pytest.mark.parametrize("shapes", [SHAPES, SHAPES[:1], [(2, 1, 1), (1, 1, 9), (1, 9, 1)]])
def test_what_a_gpu_computes_together_is_what_a_cpu_computes_one_by_one(shapes):
    keys = jax.random.split(jax.random.key(2), len(shapes))
    stacks = [jax.random.normal(key, shape) for key, shape in zip(keys, shapes, strict=True)]
    stacks[0] = stacks[0].at[0].set(0.0)
    found = jax.jit(newton_schulz._grouped_by_shape, static_argnums=1)(stacks, 5)
    expected = jax.jit(newton_schulz._one_by_one, static_argnums=1)(stacks, 5)
    for got, want in zip(found, expected, strict=True):
        np.testing.assert_allclose(got, want, atol=2e-5)


def test_stacks_of_several_shapes_and_seeds_are_orthogonalized_as_alone():
    stacks = [jax.random.normal(jax.random.key(k), (2, *shape)) for k, shape in enumerate(SHAPES[:4])]
    found = jax.jit(jax.vmap(newton_schulz.orthogonalize_all))(stacks)
    for got, x in zip(found, stacks, strict=True):
        assert got.shape == x.shape
        np.testing.assert_allclose(got, orthogonalize(x), atol=1e-5)


def test_a_matrix_of_zeros_stays_zero():
    np.testing.assert_array_equal(orthogonalize(jnp.zeros((2, 3, 3))), jnp.zeros((2, 3, 3)))


def test_an_unknown_optimizer_is_refused_by_name():
    with pytest.raises(UnknownNameError, match=r"Unknown optimizer 'sgd'.*adam, muon"):
        make_optimizer("sgd", 1e-3)
