"""Deployment of policies: in NumPy without JAX, as StableHLO, and as ONNX.

These modules import JAX only where it is needed. Acting with NumPy never needs it.
"""
