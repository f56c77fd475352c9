"""Analysis of learning curves: dip, regret, confidence intervals, tables and figures."""
