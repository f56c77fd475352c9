"""A policy as StableHLO, serialized by ``jax.export``: runs where JAX runs, without this package."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from smac_jax.deploy.policy import NumpyPolicy, act

PLATFORMS = ("cpu", "cuda", "tpu")


def to_stablehlo(policy: NumpyPolicy, batch: int | None = None, sample: bool = False) -> bytes:
    """The file's content; ``jax.jit(jax.export.deserialize(content).call)`` takes observations, and noise.

    JAX promises that it can be read for at least six months after this version of JAX came out.
    """
    import jax
    import jax.numpy as jnp
    from jax import export

    built = policy.architecture

    def policy_action(*inputs: Any) -> Any:
        parameters = {name: jnp.asarray(array) for name, array in policy.parameters.items()}
        # accelerators would round the factors of a product to fewer bits
        with jax.default_matmul_precision("highest"):
            return act(jnp, built, parameters, *inputs)

    rows = export.symbolic_shape("batch")[0] if batch is None else batch
    sizes = (built.observation_size, *((built.action_size,) if sample else ()))
    shapes = [jax.ShapeDtypeStruct((rows, size), jnp.float32) for size in sizes]
    with _no_source_paths():
        return bytes(export.export(jax.jit(policy_action), platforms=PLATFORMS)(*shapes).serialize())


@contextlib.contextmanager
def _no_source_paths() -> Iterator[None]:
    """A file for others does not say where things lie on this machine; so the same policy makes the same file, too."""
    import jax

    before = jax.config.jax_traceback_in_locations_limit  # type: ignore[attr-defined]
    jax.config.update("jax_traceback_in_locations_limit", 0)
    try:
        yield
    finally:
        jax.config.update("jax_traceback_in_locations_limit", before)
