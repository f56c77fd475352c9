"""Throughput, measured: each module is a program, ``python -m benchmarks.NAME [--json FILE]``."""
