"""What all tests share."""

from __future__ import annotations

from pathlib import Path

import jax

# a program that several tests, both workers or an earlier run compile is compiled once; tests of caching take their own
jax.config.update("jax_compilation_cache_dir", str(Path.home() / ".cache" / "smac_jax" / "tests"))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)
jax.config.update("jax_persistent_cache_enable_xla_caches", "none")
