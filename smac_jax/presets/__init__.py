"""Configurations: ``--config=experiments/configs/NAME.py``, single fields by ``--config.smac.kappa=20``."""
