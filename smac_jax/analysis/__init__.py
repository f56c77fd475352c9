"""From curves to dips, regrets, intervals, tables and figures."""
