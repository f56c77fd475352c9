"""Counts the operations in the matrix products of a program, and measures how many this machine does in a second."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.interpreters import partial_eval as pe


def product_rate(rows: int, width: int) -> float:
    """Measures the FLOP/s of successive products ``[rows, width] x [width, width]``, which bounds those of a layer."""
    # a loop over tiny products takes microseconds for each of them, however few operations they have
    repeats = min(max(1, round(2e10 / (2.0 * rows * width**2))), 20_000)

    @jax.jit
    def products(x: jax.Array, w: jax.Array) -> jax.Array:
        return jax.lax.fori_loop(0, repeats, lambda _, x: x @ w, x)

    seconds = fastest_seconds(products, jnp.ones((rows, width)), jnp.full((width, width), 1.0 / width))
    return 2.0 * rows * width**2 * repeats / seconds


def fastest_seconds(run: Callable[..., Any], *arguments: Any, times: int = 7) -> float:
    """Returns the seconds of the fastest of several calls, after one call that compiles."""
    jax.block_until_ready(run(*arguments))
    found = []
    for _ in range(times):
        started = time.perf_counter()
        jax.block_until_ready(run(*arguments))
        found.append(time.perf_counter() - started)
    return min(found)


def product_flops(function: Callable[..., Any], *arguments: Any) -> float:
    """Returns the number of multiplications and additions in the matrix products that a call of ``function`` needs.

    The body of a loop is counted as often as it runs. A conditional counts as the mean of its branches, because TD3
    takes a policy step in every second update.
    """
    return product_flops_of(jax.make_jaxpr(function)(*arguments))


def product_flops_of(closed: Any) -> float:
    """The same of a program that is traced already (``jax.make_jaxpr``)."""
    needed, _ = pe.dce_jaxpr(closed.jaxpr, [True] * len(closed.jaxpr.outvars))
    return _count(needed)


def _count(jaxpr: Any) -> float:
    total = 0.0
    for equation in jaxpr.eqns:
        name, parameters = equation.primitive.name, equation.params
        if name == "dot_general":
            (contracted, _), _ = parameters["dimension_numbers"]
            left, out = equation.invars[0].aval, equation.outvars[0].aval
            total += 2.0 * math.prod(out.shape) * math.prod(left.shape[axis] for axis in contracted)
        elif name == "product":  # smac_jax/networks/product.py
            x, kernel = (variable.aval for variable in equation.invars)
            total += 2.0 * math.prod(x.shape) * kernel.shape[-1]
        elif name == "scan":
            total += parameters["length"] * _count(parameters["jaxpr"].jaxpr)
        elif name == "cond" and not parameters.get("branches_platforms"):
            total += statistics.fmean(_count(branch.jaxpr) for branch in parameters["branches"])
        else:
            total += sum(_count(inner) for inner in inner_jaxprs(parameters))
    return total


def inner_jaxprs(parameters: dict[str, Any]) -> list[Any]:
    """The programs inside an equation: bodies of loops, branches, and functions.

    Of branches for different kinds of devices (``jax.lax.platform_dependent``) only the first, as one of them runs.
    """
    if parameters.get("branches_platforms"):
        return [parameters["branches"][0].jaxpr]
    found = []
    for value in parameters.values():
        for item in value if isinstance(value, (tuple, list)) else (value,):
            if hasattr(item, "eqns"):
                found.append(item)
            elif hasattr(item, "jaxpr") and hasattr(item.jaxpr, "eqns"):
                found.append(item.jaxpr)
    return found
