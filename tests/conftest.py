"""What all tests share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jaxtyping
import numpy as np
import pytest
from absl import flags

# shapes and types of everything that is called are checked, in this process alone
jaxtyping.install_import_hook("smac_jax", "typechecking.check")

import smac_jax  # noqa: E402
from smac_jax.data.readers.d4rl import write_d4rl  # noqa: E402

# a program that several tests, both workers or an earlier run compile is compiled once; tests of caching take their own
jax.config.update("jax_compilation_cache_dir", str(Path.home() / ".cache" / "smac_jax" / "tests"))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)
jax.config.update("jax_persistent_cache_enable_xla_caches", "none")

_define = flags.FlagValues.__setitem__


def _define_again(self: flags.FlagValues, name: str, flag: Any) -> None:
    """Programs, which have a process each, share names of flags; the one that was imported last has the flag."""
    if name in self:
        delattr(self, name)
    _define(self, name, flag)


flags.FlagValues.__setitem__ = _define_again  # type: ignore[method-assign]


@pytest.fixture
def arrays_unchecked():
    """Lets arrays of wrong shapes through to the function, whose own refusal is tested."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture(scope="session")
def data() -> smac_jax.Dataset:
    """Noise in Hopper's shapes."""
    rng = np.random.default_rng(0)
    rows = 500
    return smac_jax.Dataset.from_arrays(
        rng.normal(size=(rows, 11)),
        rng.uniform(-1, 1, (rows, 3)),
        rng.normal(size=rows),
        np.arange(rows) % 50 == 49,
        next_observations=rng.normal(size=(rows, 11)),
        task="hopper",
    )


@pytest.fixture(scope="session")
def hopper_file(data, tmp_path_factory) -> Path:
    """The same noise as a file in D4RL's layout."""
    path = tmp_path_factory.mktemp("data") / "hopper-tiny.hdf5"
    write_d4rl(path, data)
    return path
