"""Programs: ``python -m experiments.sweep --help``."""
