"""Frozen dataclass configurations whose fields know their own range.

A field is declared with :func:`number` or :func:`choice`; :func:`resolve` turns what a user gives (nothing, a
mapping, an ``ml_collections.ConfigDict`` or the dataclass itself) into a checked instance, and refuses what it does
not know.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, TypeVar

from smac_jax.errors import ConfigError

C = TypeVar("C")


def number(default: float, low: float = -math.inf, high: float = math.inf, doc: str = "") -> Any:
    """A numeric field in ``[low, high]``."""
    return dataclasses.field(default=default, metadata={"low": low, "high": high, "doc": doc})


def choice(default: str, *options: str, doc: str = "") -> Any:
    """A field that takes one of a few names."""
    return dataclasses.field(default=default, metadata={"options": (default, *options), "doc": doc})


def sizes(*default: int, doc: str = "") -> Any:
    """A tuple of positive layer widths."""
    return dataclasses.field(default=tuple(default), metadata={"sizes": True, "doc": doc})


def switch(default: bool, doc: str = "") -> Any:
    """An on/off field."""
    return dataclasses.field(default=default, metadata={"switch": True, "doc": doc})


def check(config: Any, where: str = "") -> None:
    """Raises ConfigError naming the first field whose value is outside its declared range."""
    where = where or type(config).__name__
    for field in dataclasses.fields(config):
        value, rule, name = getattr(config, field.name), field.metadata, f"{where}.{field.name}"
        if dataclasses.is_dataclass(value):
            check(value, name)
        elif "options" in rule and value not in rule["options"]:
            raise ConfigError(f"{name} = {value!r}: must be one of {', '.join(map(repr, rule['options']))}.")
        elif "low" in rule:
            _check_number(name, value, rule["low"], rule["high"], whole=isinstance(field.default, int))
        elif "switch" in rule and not isinstance(value, bool):
            raise ConfigError(f"{name} = {value!r}: must be True or False.")
        elif "sizes" in rule and not (
            isinstance(value, tuple) and value and all(isinstance(n, int) and n > 0 for n in value)
        ):
            raise ConfigError(f"{name} = {value!r}: must be a non-empty sequence of positive layer widths.")


def _check_number(name: str, value: Any, low: float, high: float, whole: bool) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or (whole and value != int(value)):
        raise ConfigError(f"{name} = {value!r}: must be {'a whole number' if whole else 'a number'}.")
    if not low <= value <= high:  # also refuses NaN
        raise ConfigError(f"{name} = {value!r}: must be in [{low:g}, {high:g}].")


def _as_mapping(config: Any, where: str) -> dict[str, Any]:
    config = config.to_dict() if hasattr(config, "to_dict") else config
    if not isinstance(config, Mapping):
        raise ConfigError(f"{where}: expected a mapping of fields, got {type(config).__name__}.")
    return dict(config)


def resolve(cls: type[C], config: Any = None, **overrides: Any) -> C:
    """Turns ``config`` into a checked instance of the frozen dataclass ``cls``.

    Args:
      cls: the configuration's class.
      config: None for the defaults, a mapping (or ConfigDict) of the fields that differ, or an instance of ``cls``.
      **overrides: fields that win over ``config``.

    Raises:
      ConfigError: a field that ``cls`` does not have, or a value outside the field's range.
    """
    if config is None:
        values: dict[str, Any] = {}
    elif isinstance(config, cls):
        values = {f.name: getattr(config, f.name) for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    else:
        values = _as_mapping(config, cls.__name__)
    values |= overrides
    fields = {f.name: f for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    unknown = sorted(set(values) - set(fields))
    if unknown:
        raise ConfigError(f"{cls.__name__} has no field {unknown[0]!r}. It has: {', '.join(sorted(fields))}.")
    for name, value in values.items():
        factory = fields[name].default_factory
        if factory is not dataclasses.MISSING:  # a nested config: what is not given keeps this owner's default
            default = factory()
            given = value if not isinstance(value, type(default)) else dataclasses.asdict(value)
            values[name] = resolve(type(default), {**dataclasses.asdict(default), **_as_mapping(given, name)})
        elif isinstance(value, list):
            values[name] = tuple(value)
        elif isinstance(fields[name].default, int) and isinstance(value, float) and value == int(value):
            values[name] = int(value)
    instance = cls(**values)
    check(instance)
    return instance
