"""Pickles of numbers, read without running anything that they ask for.

A pickle names functions and calls them. Here each name that one of arrays may hold leads to a stand-in of ours that
only keeps data, and every other name is refused; not even NumPy's own reconstruction is called, since it trusts what it
is given (a forged dtype makes it read bytes as pointers).
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
    """What ``numpy.dtype`` is called with."""

    __slots__ = ("spec",)

    def __init__(self, spec: Any, *_: Any):
        spec = spec.decode("latin1") if isinstance(spec, bytes) else spec
        if not (isinstance(spec, str) and re.fullmatch(r"[<>=|]?([fiu][1248]|b1|O8?|[US]\d{1,6})", spec)):
            said = repr(spec[:40]) if isinstance(spec, str) else type(spec).__name__
            raise pickle.UnpicklingError(f"it holds an array of {said}, which is neither numbers nor text")
        self.spec = np.dtype(spec.rstrip("8") if "O" in spec else spec)

    def __setstate__(self, state: Any) -> None:
        order = state[1].decode("latin1") if isinstance(state[1], bytes) else state[1]
        if isinstance(order, str) and order in ("<", ">"):
            self.spec = self.spec.newbyteorder("<" if order == "<" else ">")


class _Array:
    """An array under construction: ``value`` is there once its state is."""

    __slots__ = ("value",)

    def __init__(self, *_: Any):
        self.value: np.ndarray | None = None

    def __setstate__(self, state: Any) -> None:
        _, shape, dtype, fortran, data = state
        self.value = _array(data, dtype, shape, "F" if fortran else "C")


class _FromBuffer:
    """``numpy._core.numeric._frombuffer``: what protocol 5 calls."""

    __slots__ = ()

    def __new__(cls, data: Any, dtype: Any, shape: Any, order: Any, *_: Any) -> Any:
        return _array(data, dtype, shape, "F" if order == "F" else "C")

    def __setstate__(self, state: Any) -> None:
        raise pickle.UnpicklingError("it forges an array")


class _Scalar:
    """``numpy.core.multiarray.scalar``."""

    __slots__ = ()

    def __new__(cls, dtype: Any, data: Any) -> Any:
        return _array(data, dtype, (), "C")[()]

    def __setstate__(self, state: Any) -> None:
        raise pickle.UnpicklingError("it forges a number")


class _Encode:
    """``_codecs.encode``: bytes, as protocols below 3 write them."""

    __slots__ = ()

    def __new__(cls, text: Any, encoding: Any = "latin1") -> Any:
        if not isinstance(text, str) or not isinstance(encoding, str) or encoding not in ("latin1", "latin-1"):
            raise pickle.UnpicklingError("it encodes text in another way than NumPy does")
        return text.encode("latin1")

    def __setstate__(self, state: Any) -> None:
        raise pickle.UnpicklingError("it forges bytes")


def _array(data: Any, dtype: Any, shape: Any, order: Any) -> np.ndarray:
    shape = tuple(shape)
    if not isinstance(dtype, _Dtype) or not all(type(n) is int and n >= 0 for n in shape):
        raise pickle.UnpicklingError("it forges an array")
    if dtype.spec.hasobject:
        if not isinstance(data, list) or len(data) != math.prod(shape):
            raise pickle.UnpicklingError("an array of objects does not have as many as its shape says")
        array = np.empty(len(data), object)
        for row, item in enumerate(data):
            array[row] = item
        return array.reshape(shape, order=order)
    data = data.encode("latin1") if isinstance(data, str) else data  # Python 2 wrote bytes as text
    if not isinstance(data, bytes | bytearray) or len(data) != math.prod(shape) * dtype.spec.itemsize:
        raise pickle.UnpicklingError("an array does not have as many bytes as its shape says")
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
    # sets as lists: hashing a nest of tuples, each of which holds the next twice, would never end
    **{
        (module, name): it
        for name, it in {"list": list, "dict": dict, "tuple": tuple, "set": list, "frozenset": tuple}.items()
        for module in ("builtins", "__builtin__")
    },
}
"""What a pickle may name, as ``(module, name)``, and what it gets."""


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in ALLOWED:
            asked = "".join(c if c.isprintable() else "?" for c in f"{module}.{name}"[:80])
            raise pickle.UnpicklingError(f"it asks for {asked}, which is neither numbers nor a container")
        return ALLOWED[module, name]

    def persistent_load(self, pid: Any) -> Any:
        raise pickle.UnpicklingError("it asks for objects from outside the file")


def load_pickle(content: bytes, where: str) -> Any:
    """What a pickle holds, if that is numbers, text, arrays of them and containers. Arrays come as ``_Array`` inside.

    Args:
      content: the pickle.
      where: the file, for errors.

    Raises:
      DatasetError: it is damaged, or asks for anything else; nothing that it asks for was run.
    """
    try:
        return _Unpickler(io.BytesIO(content), encoding="latin1").load()
    except pickle.UnpicklingError as error:
        raise DatasetError(f"{where}: was not read: {error}. Nothing in it was run.") from error
    except Exception as error:  # any: what a damaged or forged pickle leads to depends on where it is wrong
        raise DatasetError(
            f"{where}: is no pickle of numbers, or is damaged ({type(error).__name__}: {error}). Nothing in it was run."
        ) from error


def settled(value: Any) -> Any:
    """The array that a stand-in holds; anything else as it is."""
    return value.value if isinstance(value, _Array) else value
