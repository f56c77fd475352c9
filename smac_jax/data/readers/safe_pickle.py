"""Reads pickles of numbers without executing any code that they name.

A pickle names functions and calls them. Here every name that a pickle of arrays needs is mapped to a stand-in class of
this module, which only stores data, and every other name is refused. Even NumPy's own reconstruction functions are not
called, because they trust their arguments (a forged dtype makes them read bytes as pointers).
"""

from __future__ import annotations

import collections
import io
import math
import pickle
import re
from typing import Any

import numpy as np

from smac_jax.errors import DatasetError


class _Dtype:
    """The stand-in for ``numpy.dtype``."""

    __slots__ = ("spec",)

    def __init__(self, spec: Any, *_: Any):
        spec = spec.decode("latin1") if isinstance(spec, bytes) else spec
        if not (isinstance(spec, str) and re.fullmatch(r"[<>=|]?([fiu][1248]|b1|O8?|[US]\d{1,6})", spec)):
            kind = repr(spec[:40]) if isinstance(spec, str) else type(spec).__name__
            raise pickle.UnpicklingError(f"it holds an array of {kind}, which is neither numbers nor text")
        self.spec = np.dtype(spec.rstrip("8") if "O" in spec else spec)

    def __setstate__(self, state: Any) -> None:
        order = state[1].decode("latin1") if isinstance(state[1], bytes) else state[1]
        if isinstance(order, str) and order in ("<", ">"):
            self.spec = self.spec.newbyteorder("<" if order == "<" else ">")


class _Array:
    """The stand-in for an array. ``value`` is None until the state of the array has been read."""

    __slots__ = ("value",)

    def __init__(self, *_: Any):
        self.value: np.ndarray | None = None

    def __setstate__(self, state: Any) -> None:
        _, shape, dtype, fortran, data = state
        self.value = _array(data, dtype, shape, "F" if fortran else "C")


class _FromBuffer:
    """The stand-in for ``numpy._core.numeric._frombuffer``, which protocol 5 calls."""

    __slots__ = ()

    def __new__(cls, data: Any, dtype: Any, shape: Any, order: Any, *_: Any) -> Any:
        return _array(data, dtype, shape, "F" if order == "F" else "C")

    def __setstate__(self, state: Any) -> None:
        raise pickle.UnpicklingError("it forges an array")


class _Scalar:
    """The stand-in for ``numpy.core.multiarray.scalar``."""

    __slots__ = ()

    def __new__(cls, dtype: Any, data: Any) -> Any:
        return _array(data, dtype, (), "C")[()]

    def __setstate__(self, state: Any) -> None:
        raise pickle.UnpicklingError("it forges a number")


class _Encode:
    """The stand-in for ``_codecs.encode``, with which protocols below 3 write bytes."""

    __slots__ = ()

    def __new__(cls, text: Any, encoding: Any = "latin1") -> Any:
        if not isinstance(text, str) or not isinstance(encoding, str) or encoding not in ("latin1", "latin-1"):
            raise pickle.UnpicklingError("it encodes text in a way that NumPy does not use")
        return text.encode("latin1")

    def __setstate__(self, state: Any) -> None:
        raise pickle.UnpicklingError("it forges bytes")


def _array(data: Any, dtype: Any, shape: Any, order: Any) -> np.ndarray:
    shape = tuple(shape)
    if not isinstance(dtype, _Dtype) or not all(type(n) is int and n >= 0 for n in shape):
        raise pickle.UnpicklingError("it forges an array")
    if dtype.spec.hasobject:
        if not isinstance(data, list) or len(data) != math.prod(shape):
            raise pickle.UnpicklingError("the shape of an array of objects does not match their number")
        array = np.empty(len(data), object)
        for row, item in enumerate(data):
            array[row] = item
        return array.reshape(shape, order=order)
    data = data.encode("latin1") if isinstance(data, str) else data  # Python 2 wrote bytes as text
    if not isinstance(data, bytes | bytearray) or len(data) != math.prod(shape) * dtype.spec.itemsize:
        raise pickle.UnpicklingError("the shape of an array does not match its number of bytes")
    return np.frombuffer(bytes(data), dtype.spec).reshape(shape, order=order)


_NUMPY = {
    ("multiarray", "_reconstruct"): _Array,
    ("multiarray", "scalar"): _Scalar,
    ("numeric", "_frombuffer"): _FromBuffer,
}
ALLOWED: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Dtype,
    ("_codecs", "encode"): _Encode,
    ("collections", "OrderedDict"): collections.OrderedDict,
    **{(f"numpy.{core}.{module}", name): it for (module, name), it in _NUMPY.items() for core in ("core", "_core")},
    # sets become lists: hashing nested tuples, each of which refers to the next one twice, would take exponential time
    **{
        (module, name): it
        for name, it in {"list": list, "dict": dict, "tuple": tuple, "set": list, "frozenset": tuple}.items()
        for module in ("builtins", "__builtin__")
    },
}
"""The names that a pickle may contain, as ``(module, name)``, and their stand-ins."""


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in ALLOWED:
            printable = "".join(c if c.isprintable() else "?" for c in f"{module}.{name}"[:80])
            raise pickle.UnpicklingError(f"it refers to {printable}, which is neither numbers nor a container")
        return ALLOWED[module, name]

    def persistent_load(self, pid: Any) -> Any:
        raise pickle.UnpicklingError("it refers to objects outside the file")


def load_pickle(content: bytes, where: str) -> Any:
    """Reads a pickle of numbers, text, arrays of these, and containers. :func:`unwrap` returns an array inside it.

    Args:
      content: the bytes of the pickle.
      where: the name of the file in error messages.

    Raises:
      DatasetError: the pickle is damaged, or refers to anything else. No code in it was executed.
    """
    try:
        return _Unpickler(io.BytesIO(content), encoding="latin1").load()
    except pickle.UnpicklingError as error:
        raise DatasetError(f"{where} was not read: {error}. No code in it was executed.") from error
    except Exception as error:  # any exception: it depends on where the pickle is damaged or forged
        raise DatasetError(
            f"{where} is not a pickle of numbers, or it is damaged ({type(error).__name__}: {error}). "
            "No code in it was executed."
        ) from error


def unwrap(value: Any) -> Any:
    """Returns the array that a stand-in holds, and any other value as it is."""
    return value.value if isinstance(value, _Array) else value
