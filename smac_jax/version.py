"""The version of this package. The build and the record of each run read it here."""

__version__ = "0.2.0"
