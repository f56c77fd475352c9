"""The optimizers: Adam, and a Muon that knows which axes of a stacked ensemble are the matrices."""

from smac_jax.optim.factory import OPTIMIZERS, make_optimizer
from smac_jax.optim.muon import muon
from smac_jax.optim.newton_schulz import orthogonalize

__all__ = ["OPTIMIZERS", "make_optimizer", "muon", "orthogonalize"]
