"""The paper's tasks, tables and figures: what :mod:`experiments.reproduce` is made of."""
