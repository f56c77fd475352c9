"""A policy outside training: in NumPy alone, as StableHLO, as ONNX.

Nothing here imports JAX before it is needed, and acting never needs it.
"""
