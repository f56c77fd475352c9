"""SMAC with the choices of this project, at a moderate length. Variants and sources: :mod:`smac_jax.presets.bases`."""

from __future__ import annotations

from ml_collections import ConfigDict

from smac_jax.presets.bases import get_base


def get_config(variant: str = "") -> ConfigDict:
    """Returns a variant, such as ``""``, ``"paper"``, ``"+random2"`` or ``"paper+random2+utd"``."""
    return get_base("ours", variant)
