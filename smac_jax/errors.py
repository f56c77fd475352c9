"""The errors a user can meet. Each message names what was wrong, where, and what to do about it."""

from __future__ import annotations


class SmacError(Exception):
    """Base of every error that this package raises on purpose."""


class ConfigError(SmacError, ValueError):
    """A configuration field that does not exist, or a value outside its range."""


class DatasetError(SmacError, ValueError):
    """A data set that cannot be read, or that is not what it says it is."""


class CheckpointError(SmacError):
    """A checkpoint that is not there, is damaged, or is of another run; or one that could not be written."""


class ObservationError(SmacError, ValueError):
    """An observation that a policy cannot act upon: of another size, or with what is not a number."""


class UnknownNameError(SmacError, KeyError):
    """A task, algorithm, data set or engine that is not registered."""

    def __init__(self, kind: str, name: str, known: list[str] | tuple[str, ...]):
        self.kind, self.name, self.known = kind, name, tuple(known)
        super().__init__(f"Unknown {kind} {name!r}. Known: {', '.join(sorted(self.known))}.")

    def __str__(self) -> str:  # KeyError would print the repr of the message
        return str(self.args[0])


class RegistrationError(SmacError, ValueError):
    """A name that another has already, or a thing that does not satisfy the contract of what it is registered as."""


class TrackerError(SmacError):
    """A tracker raised an error during a run. It causes a warning, and the run continues."""
