"""Fixtures and settings of all tests."""

from __future__ import annotations

import os
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


def pytest_configure(config: pytest.Config) -> None:
    """Makes XLA compile quickly, here and in the programs that tests start, unless slow tests are run.

    Nearly all of the time of these tests is compilation, and their programs are small. With these options the tests of
    SMAC need a third of the processor's time. The options are those of the environment, so that processes inherit them.
    Slow tests train to a score, and need fast programs, as does whoever sets ``XLA_FLAGS``.
    """
    if config.getoption("markexpr") != "not slow" or "XLA_FLAGS" in os.environ:
        return
    os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "1"
    jax.config.update("jax_disable_most_optimizations", True)
    os.environ["XLA_FLAGS"] = "--xla_cpu_parallel_codegen_split_count=1"
    if jax.version.__version_info__ < (0, 11):  # later versions do not know the flag
        os.environ["XLA_FLAGS"] += " --xla_cpu_use_fusion_emitters=false"


# All tests, both workers and later runs share compiled programs. Tests of caching have folders of their own.
jax.config.update("jax_compilation_cache_dir", str(Path.home() / ".cache" / "smac_jax" / "tests"))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
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
