"""Frozen dataclass configurations whose fields know their own range, and the numbers that users give.

A field is declared with :func:`number` or :func:`choice`; :func:`resolve` turns what a user gives (nothing, a
mapping, an ``ml_collections.ConfigDict`` or the dataclass itself) into a checked instance, and refuses what it does
not know. Arguments that are no fields of a configuration go through :func:`whole_number`, :func:`real_number` and
:func:`true_or_false`. Whatever kind of number comes in (Python's, NumPy's, JAX's), a plain Python number goes on, so
that what is recorded of a run can be written as JSON.
"""

from __future__ import annotations

import dataclasses
import math
import numbers
import operator
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from smac_jax.errors import ConfigError

C = TypeVar("C")
LARGEST_SEED = 2**32 - 1
"""Random keys are made of 32 bits: of a larger seed some would be lost, and two seeds would be the same."""


def number(default: float, low: float = -math.inf, high: float = math.inf, doc: str = "") -> Any:
    """A numeric field in ``[low, high]``."""
    return dataclasses.field(default=default, metadata={"low": low, "high": high, "doc": doc})


def choice(default: str, *options: str, doc: str = "") -> Any:
    """A field that takes one of a few names."""
    return dataclasses.field(default=default, metadata={"options": (default, *options), "doc": doc})


def choice_from(known: Mapping[str, Any], default: str, doc: str = "") -> Any:
    """A field that takes a name that is registered in ``known``, then when the field is checked."""
    return dataclasses.field(default=default, metadata={"options": known, "doc": doc})


def sizes(*default: int, doc: str = "") -> Any:
    """A tuple of positive layer widths."""
    return dataclasses.field(default=tuple(default), metadata={"sizes": True, "doc": doc})


def switch(default: bool, doc: str = "") -> Any:
    """An on/off field."""
    return dataclasses.field(default=default, metadata={"switch": True, "doc": doc})


def whole_number(name: str, value: Any, low: float = -math.inf, high: float = math.inf) -> int:
    """A count as a Python int.

    Args:
      name: of the argument, for the error.
      value: whatever is a whole number: Python's, NumPy's or JAX's, an array without axes, and a float such as 1e4.
      low, high: the range that it must be in, ends included.

    Raises:
      ConfigError: it is no whole number, or outside the range.
    """
    found = _plain_number(value)
    if found is None or not math.isfinite(found) or found != int(found):
        raise ConfigError(f"{name} = {value!r}: must be a whole number.")
    _check_range(name, value, found, low, high)
    return int(found)


def real_number(name: str, value: Any, low: float = -math.inf, high: float = math.inf) -> float:
    """The same for a number that need not be whole, as a Python float. NaN is refused, infinity is in no finite range.

    Raises:
      ConfigError: it is no number, or outside the range.
    """
    found = _plain_number(value)
    try:
        found = None if found is None else float(found)
    except OverflowError:
        found = None
    if found is None:
        raise ConfigError(f"{name} = {value!r}: must be a number.")
    _check_range(name, value, found, low, high)
    return found


def true_or_false(name: str, value: Any) -> bool:
    """An on/off argument as a Python bool; NumPy's and JAX's are taken, 0 and 1 are not.

    Raises:
      ConfigError: it is neither True nor False.
    """
    if isinstance(value, bool):
        return value
    if _kind(value) == "b" and getattr(value, "shape", None) == ():
        return bool(value)
    raise ConfigError(f"{name} = {value!r}: must be True or False.")


def plain(value: Any) -> Any:
    """A NumPy or JAX number as Python's, for what is handed on to the programs of others; all else as it is."""
    is_number = _kind(value) in tuple("biuf") and getattr(value, "shape", None) == () and hasattr(value, "item")
    return value.item() if is_number else value


def seed_number(name: str, value: Any) -> int:
    """A seed of random numbers as a Python int.

    Raises:
      ConfigError: it is no whole number between 0 and :data:`LARGEST_SEED`.
    """
    found = whole_number(name, value)
    if not 0 <= found <= LARGEST_SEED:
        raise ConfigError(f"{name} = {value!r}: must be in [0, {LARGEST_SEED}], a number of 32 bits.")
    return found


def _kind(value: Any) -> str:
    """The kind of a NumPy or JAX number (``"f"``, ``"i"``, ``"b"``, ...); empty for Python's."""
    return str(getattr(getattr(value, "dtype", None), "kind", ""))


def _plain_number(value: Any) -> int | float | None:
    """A number as Python's int or float; None for what is no number: text, True and False, dates, arrays with axes."""
    if isinstance(value, bool) or _kind(value) not in ("", "i", "u", "f", "V"):
        return None
    try:
        return operator.index(value)
    except TypeError:
        pass
    # an array without axes is a number to everybody but Python; bfloat16 (kind "V") is no Real to Python either
    if not isinstance(value, numbers.Real) and getattr(value, "shape", None) != ():
        return None
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):  # a number that is only known when the compiled program runs
        return None


def _check_range(name: str, value: Any, found: float, low: float, high: float) -> None:
    if low <= found <= high:  # also refuses NaN
        return
    if high == math.inf and not math.isnan(found) and isinstance(found, int):
        raise ConfigError(f"{name} = {value!r}: must be at least {low:g}.")
    raise ConfigError(f"{name} = {value!r}: must be in [{low:g}, {high:g}].")


def _layer_widths(name: str, value: Any) -> tuple[int, ...]:
    text_or_unordered = isinstance(value, (str, bytes, Mapping, set, frozenset))
    try:
        widths = tuple(whole_number(name, width, 1) for width in value)
    except (TypeError, ConfigError):  # not iterable, or not of such numbers
        widths = ()
    if text_or_unordered or not widths or not isinstance(value, Iterable):
        raise ConfigError(f"{name} = {value!r}: must be a non-empty sequence of positive layer widths.")
    return widths


def _checked(field: dataclasses.Field[Any], name: str, value: Any) -> Any:
    """A field's value in plain Python.

    Raises:
      ConfigError: it is not what the field takes.
    """
    rule = field.metadata
    if "options" in rule:
        if not isinstance(value, str) or value not in rule["options"]:
            raise ConfigError(f"{name} = {value!r}: must be one of {', '.join(map(repr, rule['options']))}.")
        return str(value)
    if "low" in rule:
        take = whole_number if isinstance(field.default, int) else real_number
        return take(name, value, rule["low"], rule["high"])
    if "switch" in rule:
        return true_or_false(name, value)
    if "sizes" in rule:
        return _layer_widths(name, value)
    return value


def _as_mapping(config: Any, where: str) -> dict[str, Any]:
    config = config.to_dict() if hasattr(config, "to_dict") else config
    if not isinstance(config, Mapping):
        raise ConfigError(f"{where}: expected a mapping of fields, got {type(config).__name__}.")
    return dict(config)


def resolve(cls: type[C], config: Any = None, **overrides: Any) -> C:
    """Turns ``config`` into a checked instance of the frozen dataclass ``cls``, all of whose values are plain Python.

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
    unknown = sorted(set(values) - set(fields), key=str)
    if unknown:
        raise ConfigError(f"{cls.__name__} has no field {unknown[0]!r}. It has: {', '.join(sorted(fields))}.")
    for name, value in values.items():
        factory = fields[name].default_factory
        if factory is not dataclasses.MISSING:  # a nested config: what is not given keeps this owner's default
            default = factory()
            given = value if not isinstance(value, type(default)) else dataclasses.asdict(value)
            values[name] = resolve(type(default), {**dataclasses.asdict(default), **_as_mapping(given, name)})
        else:
            values[name] = _checked(fields[name], f"{cls.__name__}.{name}", value)
    return cls(**values)
