"""Loops: offline, online, evaluation; with progress, logs and keys."""
