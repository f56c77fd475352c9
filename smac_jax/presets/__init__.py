"""Configurations by name (``--config=quickstart``). ``--config.smac.kappa=20`` overrides a single field."""
