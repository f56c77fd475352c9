"""Names of action chunks, of data sets and environments alike: ``chunks:5:hopper-medium-replay``."""

from __future__ import annotations

from smac_jax.errors import ConfigError

PREFIX = "chunks"
DISCOUNT = 0.99
"""Of a single step, inside the chunks that a name stands for: the default of every algorithm, and of Q-chunking."""


def chunks_name(length: int, name: str) -> str:
    """``chunks:LENGTH:NAME``."""
    return f"{PREFIX}:{length}:{name}"


def parse_chunks(rest: str) -> tuple[int, str]:
    """The length and the name in ``LENGTH:NAME``.

    Raises:
      ConfigError: it has another form.
    """
    length, _, name = rest.partition(":")
    if not (length.isdecimal() and int(length) > 0 and name):
        raise ConfigError(f"'{PREFIX}:{rest}': expected {PREFIX}:LENGTH:NAME, such as {PREFIX}:5:{name or 'NAME'}.")
    return int(length), name


def without_chunks(name: str) -> str:
    """The name of what is in the chunks; another name as it is."""
    prefix, _, rest = name.partition(":")
    return rest.partition(":")[2] if prefix == PREFIX else name
