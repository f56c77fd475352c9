"""Optimizers: Adam, and Muon with the right matrix axes for stacked ensembles."""

from smac_jax.optim.factory import OPTIMIZERS, make_optimizer
from smac_jax.optim.muon import muon
from smac_jax.optim.newton_schulz import orthogonalize

__all__ = ["OPTIMIZERS", "make_optimizer", "muon", "orthogonalize"]
