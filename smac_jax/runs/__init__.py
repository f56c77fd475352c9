"""What lies on disk of one run: its folder, snapshots, checkpoint, metrics, provenance. Knows no algorithm."""
