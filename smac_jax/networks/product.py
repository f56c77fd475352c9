"""The matrix product of dense layers, whose gradient with respect to the kernel has the memory layout of the kernel.

JAX derives the gradient of ``x @ kernel`` as ``transpose(ct^T x)``. For a single matrix, XLA computes the product in
the right layout. For a stack of matrices (an ensemble, or several seeds), its CPU backend does not: it reads the
gradient column by column wherever it is used, which is in both moments of Adam and in every norm. At the paper's size
that took longer than all products together (``benchmarks/NOTES.md``). Therefore the product is a separate primitive
here, whose rule for the kernel is ``x^T ct``. The rules consist of JAX's products, so they can be differentiated again.

Flax gets it by ``nn.Dense(..., dot_general=product)``. The environment variable ``SMAC_JAX_PLAIN_PRODUCTS=1`` replaces
it by JAX's own product, for comparisons.
"""

from __future__ import annotations

import os
from typing import Any

import jax
import jax.numpy as jnp
from jax.core import ShapedArray
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir
from jaxtyping import Float

from smac_jax.types import Array

product_p = Primitive("product")
"""The primitive ``x[*stack, rows, input], kernel[*stack, input, output] -> [*stack, rows, output]``.

Its parameter ``stack`` is the number of leading axes.
"""


def product(
    x: Float[Array, "*batch input"], kernel: Float[Array, "input output"], *dot_general_arguments: Any, **options: Any
) -> Float[Array, "*batch output"]:
    """Returns ``x @ kernel``. The other arguments are those of Flax's dense layer, which define the same product."""
    del dot_general_arguments, options
    if os.environ.get("SMAC_JAX_PLAIN_PRODUCTS", "0") == "1":
        return x @ kernel
    flat = product_p.bind(x.reshape(-1, x.shape[-1]), kernel, stack=0)
    return flat.reshape(*x.shape[:-1], kernel.shape[-1])


def _product(x: Array, kernel: Array, *, stack: int) -> Array:
    leading = tuple(range(stack))
    return jax.lax.dot_general(x, kernel, (((stack + 1,), (stack,)), (leading, leading)))


def _gradient_of_x(cotangent: Array, x: Any, kernel: Array, *, stack: int) -> Array:
    del x
    leading = tuple(range(stack))
    return jax.lax.dot_general(cotangent, kernel, (((stack + 1,), (stack + 1,)), (leading, leading)))


def _gradient_of_kernel(cotangent: Array, x: Array, kernel: Any, *, stack: int) -> Array:
    del kernel
    leading = tuple(range(stack))
    return jax.lax.dot_general(x, cotangent, (((stack,), (stack,)), (leading, leading)))


def _batch(arguments: tuple[Array, Array], axes: tuple[Any, Any], *, stack: int) -> tuple[Array, int]:
    (x, kernel), (x_axis, kernel_axis) = arguments, axes
    if kernel_axis is None:  # the mapped axis only adds rows
        x = jnp.moveaxis(x, x_axis, stack)
        out = product_p.bind(x.reshape(*x.shape[:stack], -1, x.shape[-1]), kernel, stack=stack)
        return out.reshape(*x.shape[:-1], out.shape[-1]), stack
    kernel = jnp.moveaxis(kernel, kernel_axis, 0)
    x = jnp.broadcast_to(x, (kernel.shape[0], *x.shape)) if x_axis is None else jnp.moveaxis(x, x_axis, 0)
    return product_p.bind(x, kernel, stack=stack + 1), 0


product_p.def_impl(_product)
product_p.def_abstract_eval(lambda x, kernel, *, stack: ShapedArray((*x.shape[:-1], kernel.shape[-1]), x.dtype))
ad.defbilinear(product_p, _gradient_of_x, _gradient_of_kernel)
batching.primitive_batchers[product_p] = _batch
mlir.register_lowering(product_p, mlir.lower_fun(_product, multiple_results=False))
