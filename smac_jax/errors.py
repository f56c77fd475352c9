"""The errors that this package raises. Each message says what was wrong, where, and what to do about it."""

from __future__ import annotations


class SmacError(Exception):
    """The base class of all errors that this package raises on purpose."""


class ConfigError(SmacError, ValueError):
    """A field of a configuration does not exist, or a value is not valid."""


class DatasetError(SmacError, ValueError):
    """A data set cannot be read, or its arrays are not valid."""


class CheckpointError(SmacError):
    """A checkpoint does not exist, is damaged, belongs to another run, or could not be written."""


class ObservationError(SmacError, ValueError):
    """A policy cannot act on an observation, because it has another size or values that are not numbers."""


class UnknownNameError(SmacError, KeyError):
    """A name of a task, an algorithm, a data set or the like is not known."""

    def __init__(self, kind: str, name: str, known: list[str] | tuple[str, ...]):
        self.kind, self.name, self.known = kind, name, tuple(known)
        super().__init__(f"Unknown {kind} {name!r}. Known: {', '.join(sorted(self.known))}.")

    def __str__(self) -> str:  # KeyError would print the repr of the message
        return str(self.args[0])


class RegistrationError(SmacError, ValueError):
    """A name is already registered, or a thing does not satisfy the contract for its registration."""


class TrackerError(SmacError):
    """A tracker raised an error during a run. It causes a warning, and the run continues."""
