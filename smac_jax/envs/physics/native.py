"""The C engine's step as a function that the compiled program calls itself, where there is a C++ compiler.

A Python callback costs some 100 microseconds a step and makes programs uncacheable; this costs neither. ``native.cc``
is compiled on first use, in seconds, and kept under ``~/.cache/smac_jax/native`` (``$XDG_CACHE_HOME``). Without a
compiler, or where anything goes wrong, there is the callback: the same numbers, later.
"""

from __future__ import annotations

import ctypes
import hashlib
import importlib.metadata
import os
import shlex
import shutil
import subprocess
import tempfile
from functools import lru_cache
from pathlib import Path

import jax
import mujoco
import numpy as np
from jaxtyping import Float, UInt32

from smac_jax.types import Array

TARGET = "smac_jax_mujoco_step"
SOURCE = Path(__file__).with_suffix(".cc")
FLAGS = ("-O2", "-std=c++17", "-shared", "-fPIC")


class NativeError(Exception):
    """Why there is no native step."""


@lru_cache(maxsize=1)
def library() -> ctypes.CDLL | NativeError:
    """The compiled library, its step known to JAX; or why there is none."""
    try:
        found = ctypes.CDLL(str(_build()))
        found.smac_jax_register.argtypes = [ctypes.c_int64, ctypes.c_void_p, *[ctypes.c_int] * 4]
        found.smac_jax_register.restype = None
        jax.ffi.register_ffi_target(TARGET, jax.ffi.pycapsule(found.smac_jax_mujoco_step), platform="cpu")
    except (NativeError, OSError, AttributeError) as error:
        return error if isinstance(error, NativeError) else NativeError(str(error))
    return found


def _build() -> Path:
    compiler = shlex.split(os.environ.get("CXX", "")) or [next(filter(shutil.which, ("c++", "g++", "clang++")), "")]
    if not shutil.which(compiler[0]):
        raise NativeError("no C++ compiler (c++, g++, clang++, or $CXX)")
    package = Path(mujoco.__file__).parent
    libraries = [*package.glob("libmujoco.so*"), *package.glob("libmujoco*.dylib")]
    if not libraries:
        raise NativeError(f"no MuJoCo library in {package}")
    parts = (SOURCE.read_bytes(), str(package), *(importlib.metadata.version(p) for p in ("mujoco", "jaxlib")), *FLAGS)
    digest = hashlib.sha256(repr((parts, compiler)).encode()).hexdigest()[:16]
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "smac_jax" / "native"
    built = folder / f"{digest}.so"
    if built.exists():
        return built
    includes = [f"-I{jax.ffi.include_dir()}", f"-I{package / 'include'}"]
    linked = [str(libraries[0]), f"-Wl,-rpath,{package}"]
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        made = Path(scratch) / "native.so"
        command = [*compiler, *FLAGS, *includes, str(SOURCE), *linked, "-o", str(made)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
        if done.returncode:
            raise NativeError(f"{' '.join(command)}\n{done.stderr[-2000:]}")
        os.replace(made, built)  # other processes see all of it or nothing
    return built


def register(model: mujoco.MjModel, frame_skip: int, body: int | None, forces: bool, threads: int) -> int:
    """Makes a model known to the library: its key, which is the same in every process.

    Raises:
      NativeError: there is no library.
    """
    found = library()
    if isinstance(found, NativeError):
        raise found
    content = np.empty(mujoco.mj_sizeModel(model), np.uint8)
    mujoco.mj_saveModel(model, None, content)
    options = (frame_skip, -1 if body is None else body, int(forces), threads)
    digest = hashlib.sha256(content.tobytes() + repr(options).encode()).digest()
    key = int.from_bytes(digest[:8], "little", signed=True)
    found.smac_jax_register(key, model._address, *options)
    return key


def step(
    message: UInt32[Array, " words+action"], key: int, words: int, values: int
) -> tuple[UInt32[Array, " words"], Float[Array, " values"]]:
    """What :meth:`MujocoEngine._advance` does, inside the compiled program; `vmap` makes it one call for a batch."""
    shapes = (jax.ShapeDtypeStruct((words,), np.uint32), jax.ShapeDtypeStruct((values,), np.float32))
    raw, numbers = jax.ffi.ffi_call(TARGET, shapes, vmap_method="broadcast_all")(message, key=np.int64(key))
    return raw, numbers
