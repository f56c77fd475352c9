"""Compiled programs: notifies listeners of compilations, and sets up JAX's persistent compilation cache."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax

from smac_jax.files import cache_folder, local_path

SWITCH = "SMAC_JAX_CACHE"
"""Environment variable: ``off`` disables the cache; any other value is the folder of the cache."""
MIN_SECONDS = 0.5
"""Programs that compile in less time are not cached."""

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


def _notify(begins: bool) -> None:
    for listener in [*_listeners]:
        listener(begins)


class Program:
    """A jitted function that notifies listeners (:func:`listening`) when it compiles.

    Args:
      function: the function to compile.
      donate: indices of the arguments whose memory may be reused.
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
                _notify(True)
                try:
                    self._jitted.lower(*arguments).compile()  # JAX caches it for the call below
                finally:
                    _notify(False)
                self._compiled.add(signature)
        return self._jitted(*arguments)

    def trace(self, *arguments: Any) -> Any:
        """Does the same as ``jax.jit(function).trace``."""
        return self._jitted.trace(*arguments)

    def lower(self, *arguments: Any) -> Any:
        """As ``jax.jit(function).lower``."""
        return self._jitted.lower(*arguments)


def use_cache(folder: str | Path | None = None) -> None:
    """Turns on JAX's persistent compilation cache, unless the user has configured it or switched it off.

    The folder is the first of these that is set: JAX's own setting (``jax_compilation_cache_dir``,
    ``$JAX_COMPILATION_CACHE_DIR``), ``$SMAC_JAX_CACHE``, ``folder``, :func:`smac_jax.files.cache_folder`. The first two
    may also be URLs that JAX can write, such as gs://. With ``SMAC_JAX_CACHE=off`` this does nothing. If the folder
    cannot be written, programs are not cached.

    JAX 0.10 does not cache programs with a host callback, so they compile in every process. These are programs with
    Gymnasium's environments, and the online loop with the C engine on machines without a C++ compiler.
    """
    global _cache_is_set
    if _cache_is_set and folder is None:
        return
    _cache_is_set = True
    setting = os.environ.get(SWITCH, "").strip()
    config: Any = jax.config  # only some versions of JAX declare its fields
    configured = config.jax_compilation_cache_dir
    if configured is not None or setting.lower() == "off":
        if configured is not None and configured.startswith("~"):  # JAX does not expand it
            jax.config.update("jax_compilation_cache_dir", str(local_path(configured)))
        return
    place = setting if "://" in setting else local_path(setting or folder or cache_folder())
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
    reset_cache()  # JAX reads the folder only at its first compilation, which may already have happened
