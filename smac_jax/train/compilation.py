"""Compiled programs: whoever waits for one is told, and what was compiled is kept on disk for the next process."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax

from smac_jax.files import cache_folder, local_path

SWITCH = "SMAC_JAX_CACHE"
"""Environment variable: ``off`` keeps no compiled programs, anything else is the folder to keep them in."""
MIN_SECONDS = 0.5
"""Programs that compile faster are not kept."""

_listeners: list[Callable[[bool], None]] = []
_cache_is_set = False


@contextlib.contextmanager
def listening(listener: Callable[[bool], None]) -> Iterator[None]:
    """Calls ``listener(True)`` when the compilation of a program begins, and ``listener(False)`` when it ends."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)


def _tell(begins: bool) -> None:
    for listener in [*_listeners]:
        listener(begins)


class Program:
    """A jitted function that tells when it compiles.

    Args:
      function: what is compiled.
      donate: arguments whose memory may be reused.
    """

    def __init__(self, function: Callable[..., Any], donate: Sequence[int] = ()):
        self._jitted = jax.jit(function, donate_argnums=tuple(donate))
        self._compiled: set[Any] = set()

    def __call__(self, *arguments: Any) -> Any:
        leaves, structure = jax.tree.flatten(arguments)
        if not any(isinstance(leaf, jax.core.Tracer) for leaf in leaves):
            signature = structure, tuple((jax.numpy.shape(leaf), getattr(leaf, "dtype", None)) for leaf in leaves)
            if signature not in self._compiled:
                use_cache()
                _tell(True)
                try:
                    self._jitted.lower(*arguments).compile()  # the call below finds it
                finally:
                    _tell(False)
                self._compiled.add(signature)
        return self._jitted(*arguments)

    def lower(self, *arguments: Any) -> Any:
        """As ``jax.jit(function).lower``."""
        return self._jitted.lower(*arguments)


def use_cache(folder: str | Path | None = None) -> None:
    """Turns on JAX's persistent compilation cache, unless the user has configured it or switched it off.

    The folder is the one that JAX is configured with (``jax_compilation_cache_dir``, ``$JAX_COMPILATION_CACHE_DIR``),
    or else that of ``$SMAC_JAX_CACHE``, or else ``folder``, or else :func:`smac_jax.files.cache_folder`. With
    ``SMAC_JAX_CACHE=off`` this does nothing. Where the folder cannot be written, no program is kept. The first two may
    also be URLs that JAX can write, such as gs://.

    On older versions of JAX (0.10) programs that hold a host callback (Gymnasium's environments; the C engine in the
    online loop, where there is no C++ compiler) are not cached and compile in every process.
    """
    global _cache_is_set
    if _cache_is_set and folder is None:
        return
    _cache_is_set = True
    wish = os.environ.get(SWITCH, "").strip()
    config: Any = jax.config  # whose fields only some versions of JAX declare
    configured = config.jax_compilation_cache_dir
    if configured is not None or wish.lower() == "off":
        if configured is not None and configured.startswith("~"):  # which JAX takes for a name
            jax.config.update("jax_compilation_cache_dir", str(local_path(configured)))
        return
    place = wish if "://" in wish else local_path(wish or folder or cache_folder())
    if isinstance(place, Path):
        try:
            place.mkdir(parents=True, exist_ok=True)
        except OSError:
            return
        if not os.access(place, os.W_OK):
            return
    from jax.experimental.compilation_cache.compilation_cache import reset_cache

    jax.config.update("jax_compilation_cache_dir", str(place))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", MIN_SECONDS)
    jax.config.update("jax_persistent_cache_enable_xla_caches", "none")
    reset_cache()  # JAX looks for a folder once, at its first compilation, which may lie behind us
