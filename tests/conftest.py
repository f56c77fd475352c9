"""Fixtures and settings of all tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jaxtyping
import pytest
from absl import flags

# the shapes and types of arrays are checked at run time, in this process only
jaxtyping.install_import_hook("smac_jax", "typechecking.check")

from small_data import noise_of_hopper  # noqa: E402

import smac_jax  # noqa: E402
from smac_jax.data.readers.d4rl import write_d4rl  # noqa: E402

# All tests, both workers and later runs share compiled programs. Tests of caching have folders of their own.
jax.config.update("jax_compilation_cache_dir", str(Path.home() / ".cache" / "smac_jax" / "tests"))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)
jax.config.update("jax_persistent_cache_enable_xla_caches", "none")

_define = flags.FlagValues.__setitem__


def _define_again(self: flags.FlagValues, name: str, flag: Any) -> None:
    """Defines a flag again: programs, which normally are separate processes, use the same names of flags."""
    if name in self:
        delattr(self, name)
    _define(self, name, flag)


flags.FlagValues.__setitem__ = _define_again  # type: ignore[method-assign]


@pytest.fixture
def arrays_unchecked():
    """Disables the checks of arrays, so that the function itself gets arrays of wrong shapes."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture(scope="session")
def data() -> smac_jax.Dataset:
    """Returns a data set of noise with the shapes of hopper."""
    return noise_of_hopper()


@pytest.fixture(scope="session")
def hopper_file(data, tmp_path_factory) -> Path:
    """Writes the same noise as a file in D4RL's layout."""
    path = tmp_path_factory.mktemp("data") / "hopper-tiny.hdf5"
    write_d4rl(path, data)
    return path
