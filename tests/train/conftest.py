"""Fixtures for tests of training that is stopped and resumed."""

from __future__ import annotations

import jax
import pytest
import survivor
from jax.experimental.compilation_cache.compilation_cache import reset_cache

from smac_jax.train import plan


@pytest.fixture(scope="module")
def small_chunks_compiled_once(tmp_path_factory):
    """Makes chunks of ten steps, and stores the compiled programs of a module of tests in a new cache."""
    cache = jax.config.jax_compilation_cache_dir
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan, "CHUNK", 10)
        survivor.use_cache(tmp_path_factory.mktemp("cache"))
        yield
    jax.config.update("jax_compilation_cache_dir", cache)
    reset_cache()
