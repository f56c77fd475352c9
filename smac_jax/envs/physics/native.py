"""The C engine's step as a function that the compiled program calls itself, where there is a C++ compiler.

A Python callback costs some 80 microseconds a step (``benchmarks/NOTES.md``), and older versions of JAX (0.10) do not
cache programs that hold one; this costs neither. ``native.cc`` is compiled on first use, in seconds, and kept under
``~/.cache/smac_jax/native`` (``$XDG_CACHE_HOME``; without a home directory in a temporary folder). Without a compiler,
or where anything goes wrong, there is the callback: the same numbers, later.
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
from typing import Any, NamedTuple

import jax
import mujoco
import numpy as np
from jaxtyping import Float, Int32, UInt32

from smac_jax.files import cache_folder, local_path
from smac_jax.types import Array

TARGET = "smac_jax_mujoco_step"
SOURCE = Path(__file__).with_suffix(".cc")
FLAGS = ("-O2", "-std=c++17", "-ffp-contract=off", "-shared", "-fPIC")


class NativeError(Exception):
    """Why there is no native step."""


@lru_cache(maxsize=1)
def library() -> ctypes.CDLL | NativeError:
    """The compiled library, its step known to JAX; or why there is none."""
    try:
        found = ctypes.CDLL(str(_build()))
        number, pointer = ctypes.c_int, ctypes.c_void_p
        lists: list[Any] = [number, pointer, number, pointer]
        control: list[Any] = [number, ctypes.c_double, pointer]
        found.smac_jax_register.argtypes = [ctypes.c_int64, pointer, *[number] * 4, *lists, *control]
        found.smac_jax_register.restype = None
        jax.ffi.register_ffi_target(TARGET, jax.ffi.pycapsule(found.smac_jax_mujoco_step), platform="cpu")
    except NativeError as error:
        return error
    except Exception as error:  # any: a compiler that $CXX names can be anything, and fail in any way
        return NativeError(f"{type(error).__name__}: {error}")
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
    given = os.environ.get("XDG_CACHE_HOME")
    folder = (local_path(given) / "smac_jax" if given else cache_folder()) / "native"
    built = folder / f"{digest}.so"
    if built.exists():
        return built
    includes = [f"-I{jax.ffi.include_dir()}", f"-I{package / 'include'}"]
    linked = [str(libraries[0]), f"-Wl,-rpath,{package}"]
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        made = Path(scratch) / "native.so"
        command = [*compiler, *FLAGS, *includes, str(SOURCE), *linked, "-o", str(made)]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=300)
        if done.returncode or not made.exists():
            said = done.stderr.decode("utf-8", errors="replace")
            raise NativeError(f"{' '.join(command)}\nended with {done.returncode}\n{said[-2000:]}")
        ctypes.CDLL(str(made))  # raises where it is no library, before it is kept
        os.replace(made, built)  # other processes see all of it or nothing
    return built


class Extra(NamedTuple):
    """What not every model asks for; see :class:`smac_jax.envs.base.Model`.

    Attributes:
      scene: for each number of the scene which field of the model it is in, and where.
      reads: places in ``sensordata`` to report.
      control: 0 direct, 1 centred, 2 velocities.
      gain: speed at an action of 1.
      numbers: for each motor four numbers: ``[centre, half range, 0, 0]``, or bounds of velocity and position.
    """

    scene: Int32[np.ndarray, "scene 2"] = np.zeros((0, 2), np.int32)
    reads: Int32[np.ndarray, " reads"] = np.zeros(0, np.int32)
    control: int = 0
    gain: float = 1.0
    numbers: Float[np.ndarray, "motor 4"] = np.zeros((0, 4))


def register(
    model: mujoco.MjModel, frame_skip: int, body: int | None, forces: bool, threads: int, extra: Extra | None = None
) -> int:
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
    extra = extra or Extra()
    scene, reads = np.ascontiguousarray(extra.scene, np.int32), np.ascontiguousarray(extra.reads, np.int32)
    numbers = np.ascontiguousarray(extra.numbers, np.float64)
    parts = (options, scene.tolist(), reads.tolist(), extra.control, extra.gain, numbers.tolist())
    digest = hashlib.sha256(content.tobytes() + repr(parts).encode()).digest()
    key = int.from_bytes(digest[:8], "little", signed=True)
    lists = (len(scene), scene.ctypes.data, len(reads), reads.ctypes.data)
    control = (extra.control, extra.gain, numbers.ctypes.data)
    found.smac_jax_register(key, model._address, *options, *lists, *control)
    return key


def step(
    message: UInt32[Array, " message"], key: int, words: int, values: int
) -> tuple[UInt32[Array, " words"], Float[Array, " values"]]:
    """What :meth:`MujocoEngine._advance` does, inside the compiled program; `vmap` makes it one call for a batch."""
    shapes = (jax.ShapeDtypeStruct((words,), np.uint32), jax.ShapeDtypeStruct((values,), np.float32))
    raw, numbers = jax.ffi.ffi_call(TARGET, shapes, vmap_method="broadcast_all")(message, key=np.int64(key))
    return raw, numbers
