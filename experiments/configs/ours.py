"""SMAC on the base of this project, at a moderate length; variants and sources: :mod:`experiments.configs.bases`."""

from __future__ import annotations

from ml_collections import ConfigDict

from experiments.configs.bases import get_base


def get_config(variant: str = "") -> ConfigDict:
    """``""``, ``"paper"``, ``"+random2"``, ``"paper+random2+utd"``, ..."""
    return get_base("ours", variant)
