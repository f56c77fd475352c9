"""Sweeps: every seed of every pair of algorithms on every data set, in jobs that can be stopped and resumed."""

import os

from smac_jax.files import cache_folder, in_home

if (_home := in_home()) is None or _home not in cache_folder().parents:
    # Matplotlib uses the same home directory and prints a warning where it cannot write there
    os.environ.setdefault("MPLCONFIGDIR", str(cache_folder() / "matplotlib"))
