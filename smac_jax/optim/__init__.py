"""Optimizers: Adam, and Muon with the right matrix axes for stacked ensembles."""

from smac_jax.optim.factory import OPTIMIZERS, make_optimizer
from smac_jax.optim.muon import matrix_axes, muon, muon_optax
from smac_jax.optim.newton_schulz import orthogonalize

__all__ = ["OPTIMIZERS", "make_optimizer", "matrix_axes", "muon", "muon_optax", "orthogonalize"]
