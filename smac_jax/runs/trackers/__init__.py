"""Where a run's metrics are shown while it trains: one small interface, a file for each tracker."""
