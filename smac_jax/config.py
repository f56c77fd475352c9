"""Checks of users' values: of configurations (frozen dataclasses whose fields have ranges), and of single arguments.

Fields are declared with :func:`number`, :func:`choice`, :func:`sizes` and :func:`switch`. :func:`resolve` makes a
checked instance from nothing, a mapping, an ``ml_collections.ConfigDict`` or an instance, and refuses unknown fields.
Arguments that are not fields are checked by :func:`whole_number`, :func:`real_number` and :func:`true_or_false`. They
accept numbers of Python, NumPy and JAX, and return plain Python numbers, which can be written as JSON.
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
"""Random keys are made from 32 bits. Larger seeds would lose bits, so that two of them could give the same key."""


def number(default: float, low: float = -math.inf, high: float = math.inf, doc: str = "") -> Any:
    """Returns a field for a number in ``[low, high]``. It is a whole number if the default is one."""
    return dataclasses.field(default=default, metadata={"low": low, "high": high, "doc": doc})


def choice(default: str, *options: str, doc: str = "") -> Any:
    """Returns a field for one of a few names."""
    return dataclasses.field(default=default, metadata={"options": (default, *options), "doc": doc})


def choice_from(known: Mapping[str, Any], default: str, doc: str = "") -> Any:
    """Returns a field for a name in ``known``, which may grow until the field is checked."""
    return dataclasses.field(default=default, metadata={"options": known, "doc": doc})


def sizes(*default: int, doc: str = "") -> Any:
    """Returns a field for a tuple of positive layer widths."""
    return dataclasses.field(default=tuple(default), metadata={"sizes": True, "doc": doc})


def switch(default: bool, doc: str = "") -> Any:
    """Returns a field for True or False."""
    return dataclasses.field(default=default, metadata={"switch": True, "doc": doc})


def whole_number(name: str, value: Any, low: float = -math.inf, high: float = math.inf) -> int:
    """Converts a whole number to a Python int.

    Args:
      name: the name of the argument in error messages.
      value: a number of Python, NumPy or JAX, or an array without axes. A float such as 1e4 is accepted.
      low, high: the range of the number, including both ends.

    Raises:
      ConfigError: the value is not a whole number, or is outside the range.
    """
    found = _plain_number(value)
    if found is None or not math.isfinite(found) or found != int(found):
        raise ConfigError(f"{name} = {value!r}: must be a whole number.")
    _check_range(name, value, found, low, high)
    return int(found)


def real_number(name: str, value: Any, low: float = -math.inf, high: float = math.inf) -> float:
    """Converts a number to a Python float. NaN is refused. Arguments are those of :func:`whole_number`.

    Raises:
      ConfigError: the value is not a number, or is outside the range.
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
    """Converts True or False of Python, NumPy or JAX to a Python bool. 0 and 1 are refused.

    Raises:
      ConfigError: the value is neither True nor False.
    """
    if isinstance(value, bool):
        return value
    if _kind(value) == "b" and getattr(value, "shape", None) == ():
        return bool(value)
    raise ConfigError(f"{name} = {value!r}: must be True or False.")


def plain(value: Any) -> Any:
    """Converts a number of NumPy or JAX to one of Python, for other libraries. Other values are returned unchanged."""
    is_number = _kind(value) in tuple("biuf") and getattr(value, "shape", None) == () and hasattr(value, "item")
    return value.item() if is_number else value


def seed_number(name: str, value: Any) -> int:
    """Converts the seed of a random number generator to a Python int.

    Raises:
      ConfigError: the value is not a whole number between 0 and :data:`LARGEST_SEED`.
    """
    found = whole_number(name, value)
    if not 0 <= found <= LARGEST_SEED:
        raise ConfigError(f"{name} = {value!r}: must be in [0, {LARGEST_SEED}], a number of 32 bits.")
    return found


def _kind(value: Any) -> str:
    """Returns the kind of a number of NumPy or JAX (``"f"``, ``"i"``, ``"b"``, ...); empty for other values."""
    return str(getattr(getattr(value, "dtype", None), "kind", ""))


def _plain_number(value: Any) -> int | float | None:
    """Converts a number to Python's int or float. Returns None for text, True, False, dates and arrays with axes."""
    if isinstance(value, bool) or _kind(value) not in ("", "i", "u", "f", "V"):
        return None
    try:
        return operator.index(value)
    except TypeError:
        pass
    # Arrays without axes, and bfloat16 (kind "V"), are numbers, but not instances of Real.
    if not isinstance(value, numbers.Real) and getattr(value, "shape", None) != ():
        return None
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):  # such as a traced number, which is not known yet
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
    except (TypeError, ConfigError):  # it is not iterable, or an element is not a positive whole number
        widths = ()
    if text_or_unordered or not widths or not isinstance(value, Iterable):
        raise ConfigError(f"{name} = {value!r}: must be a non-empty sequence of positive layer widths.")
    return widths


def _checked(field: dataclasses.Field[Any], name: str, value: Any) -> Any:
    """Returns the value of a field in plain Python.

    Raises:
      ConfigError: the field does not accept the value.
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
    """Makes a checked instance of the frozen dataclass ``cls``. All of its values are plain Python.

    Args:
      cls: the class of the configuration.
      config: None for the defaults, a mapping (or ConfigDict) of the fields that differ, or an instance of ``cls``.
      **overrides: fields that take precedence over ``config``.

    Raises:
      ConfigError: ``cls`` does not have one of the fields, or a value is outside the range of its field.
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
        if factory is not dataclasses.MISSING:  # a nested config, whose defaults are those of this field
            default = factory()
            given = value if not isinstance(value, type(default)) else dataclasses.asdict(value)
            values[name] = resolve(type(default), {**dataclasses.asdict(default), **_as_mapping(given, name)})
        else:
            values[name] = _checked(fields[name], f"{cls.__name__}.{name}", value)
    return cls(**values)
