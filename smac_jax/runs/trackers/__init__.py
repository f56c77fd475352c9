"""Trackers show the metrics of a run during training."""
