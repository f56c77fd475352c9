"""SMAC on the base of WSRL's code, at a moderate length; variants and sources: :mod:`smac_jax.presets.bases`."""

from __future__ import annotations

from ml_collections import ConfigDict

from smac_jax.presets.bases import get_base


def get_config(variant: str = "") -> ConfigDict:
    """``""``, ``"paper"``, ``"-random2"``, ``"paper-random2-utd"``, ..."""
    return get_base("wsrl_base", variant)
