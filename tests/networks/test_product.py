"""The product of dense layers against ``x @ kernel``: values, first and second derivatives, under all kinds of vmap."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from smac_jax.networks.product import product

KEY = jax.random.key(0)


def draw(*shape):
    return jax.random.normal(jax.random.fold_in(KEY, sum(shape)), shape)


# the shapes of x and kernel, and the axes of each vmap, from the outermost one on
STACKS = {
    "plain": ((5, 3), (3, 4), ()),
    "one row": ((3,), (3, 4), ()),
    "rows of rows": ((2, 5, 3), (3, 4), ()),
    "ensemble, its own x each": ((6, 5, 3), (6, 3, 4), ((0, 0),)),
    "ensemble, one x": ((5, 3), (6, 3, 4), ((None, 0),)),
    "one kernel, many x": ((7, 5, 3), (3, 4), ((0, None),)),
    "x stacked last": ((5, 3, 7), (3, 4), ((2, None),)),
    "kernels stacked last": ((5, 3), (3, 4, 6), ((None, 2),)),
    "seeds of ensembles": ((2, 5, 3), (2, 6, 3, 4), ((0, 0), (None, 0))),
    "ensembles of seeds' rows": ((2, 7, 5, 3), (2, 3, 4), ((0, 0), (0, None))),
    "seeds share x": ((5, 3), (2, 6, 3, 4), ((None, 0), (None, 0))),
    "stack, then more rows": ((7, 5, 3), (6, 3, 4), ((0, None), (None, 0))),
}


@pytest.fixture(params=STACKS)
def stacked(request):
    x_shape, kernel_shape, axes = STACKS[request.param]
    ours, plain = product, jnp.matmul
    for axis in reversed(axes):
        ours, plain = jax.vmap(ours, in_axes=axis), jax.vmap(plain, in_axes=axis)
    return ours, plain, draw(*x_shape), draw(*kernel_shape)


def test_product_and_its_derivatives_equal_matmul(stacked):
    ours, plain, x, kernel = stacked

    def first(f):
        return jax.grad(lambda x, kernel: jnp.sum(jnp.sin(f(x, kernel))), argnums=(0, 1))

    def along(f):  # forward over reverse, as in the gradient of the penalty
        return jax.jvp(first(f), (x, kernel), (jnp.cos(x), jnp.sin(kernel)))

    def again(f):  # reverse over reverse
        return jax.grad(lambda x, kernel: sum(jnp.sum(jnp.cos(g)) for g in first(f)(x, kernel)), argnums=(0, 1))

    for of in (lambda f: f(x, kernel), lambda f: first(f)(x, kernel), along, lambda f: again(f)(x, kernel)):
        found, expected = jax.jit(lambda of=of: of(ours))(), of(plain)
        for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
            assert a.shape == b.shape
            np.testing.assert_allclose(a, b, rtol=2e-5, atol=1e-4)


@pytest.mark.parametrize("layer_product", [product, None])
def test_the_gradient_of_the_kernel_needs_no_transposition(layer_product):
    """The primitive exists for that. JAX alone still transposes, so it is still needed."""
    layer = nn.Dense(4, dot_general=layer_product)
    params = jax.vmap(lambda key: layer.init(key, jnp.zeros(3)))(jax.random.split(KEY, 6))

    def loss(params):
        return jnp.sum(jax.vmap(layer.apply, in_axes=(0, 0))(params, draw(6, 5, 3)) ** 2)

    assert ("transpose[" in str(jax.make_jaxpr(jax.grad(loss))(params))) == (layer_product is None)


def test_product_can_be_switched_off(monkeypatch):
    x, kernel = draw(5, 3), draw(3, 4)
    assert "product" in str(jax.make_jaxpr(lambda x, kernel: product(x, kernel))(x, kernel))
    monkeypatch.setenv("SMAC_JAX_PLAIN_PRODUCTS", "1")
    assert "dot_general" in str(jax.make_jaxpr(lambda x, kernel: product(x, kernel))(x, kernel))
    np.testing.assert_allclose(product(x, kernel), x @ kernel, rtol=1e-6)
