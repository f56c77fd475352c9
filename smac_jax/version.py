"""The version of this package, written in this place alone: the build reads it, and so does every record of a run."""

__version__ = "0.2.0"
