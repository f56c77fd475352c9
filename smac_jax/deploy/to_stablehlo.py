"""Exports a policy as StableHLO, serialized by ``jax.export``, which JAX can run without this package."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from smac_jax.deploy.flax_policy import FlaxPolicy
from smac_jax.deploy.policy import NumpyPolicy, act
from smac_jax.errors import ConfigError

PLATFORMS = ("cpu", "cuda", "tpu")


def to_stablehlo(policy: NumpyPolicy | FlaxPolicy, batch: int | None = None, sample: bool = False) -> bytes:
    """The content of the file; ``jax.jit(jax.export.deserialize(content).call)`` takes observations (and noise).

    JAX guarantees that it can be read for at least six months after the release of the current version of JAX.

    Raises:
      ConfigError: JAX cannot export a user's own network, or its policy cannot be sampled.
    """
    import jax
    import jax.numpy as jnp
    from jax import export

    def policy_action(*inputs: Any) -> Any:
        # by default, accelerators round the factors of a product to fewer bits
        with jax.default_matmul_precision("highest"):
            if isinstance(policy, FlaxPolicy):
                return policy.act(*inputs)
            parameters = {name: jnp.asarray(array) for name, array in policy.parameters.items()}
            return act(jnp, policy.architecture, parameters, *inputs)

    rows = export.symbolic_shape("batch")[0] if batch is None else batch
    sizes = (policy.observation_size, *((policy.action_size,) if sample else ()))
    shapes = [jax.ShapeDtypeStruct((rows, size), jnp.float32) for size in sizes]
    try:
        with _no_source_paths():
            return bytes(export.export(jax.jit(policy_action), platforms=PLATFORMS)(*shapes).serialize())
    except Exception as error:  # any: a user's module may raise anything while it is traced
        if isinstance(policy, NumpyPolicy) or isinstance(error, ConfigError):
            raise
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        advice = " Try a fixed batch size." if batch is None else ""
        raise ConfigError(f"The policy's network cannot be exported ({reason}).{advice}") from error


@contextlib.contextmanager
def _no_source_paths() -> Iterator[None]:
    """Leaves paths of this machine out of the file, so that the same policy also gives the same file elsewhere."""
    import jax

    config: Any = jax.config  # only some versions of JAX declare its fields
    before = config.jax_traceback_in_locations_limit
    config.update("jax_traceback_in_locations_limit", 0)
    try:
        yield
    finally:
        config.update("jax_traceback_in_locations_limit", before)
