"""The step of the C engine as a C++ function that the compiled program calls directly.

A Python callback costs about 80 microseconds per step (``benchmarks/NOTES.md``), and older versions of JAX (0.10) do
not cache programs with callbacks. This module avoids both. ``native.cc`` is compiled on first use, which takes seconds,
and stored in ``~/.cache/smac_jax/native`` (``$XDG_CACHE_HOME``; a temporary folder if there is no home directory). If
there is no C++ compiler, or the compilation fails, the callback is used. It is slower and gives the same numbers.
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
    """The reason why there is no native step."""


@lru_cache(maxsize=1)
def library() -> ctypes.CDLL | NativeError:
    """Returns the compiled library, whose step is registered with JAX, or the reason why there is none."""
    try:
        loaded = ctypes.CDLL(str(_build()))
        number, pointer = ctypes.c_int, ctypes.c_void_p
        lists: list[Any] = [number, pointer, number, pointer]
        control: list[Any] = [number, ctypes.c_double, pointer]
        loaded.smac_jax_register.argtypes = [ctypes.c_int64, pointer, *[number] * 4, *lists, *control]
        loaded.smac_jax_register.restype = None
        jax.ffi.register_ffi_target(TARGET, jax.ffi.pycapsule(loaded.smac_jax_mujoco_step), platform="cpu")
    except NativeError as error:
        return error
    except Exception as error:  # any exception: the program that $CXX names can fail in any way
        return NativeError(f"{type(error).__name__}: {error}")
    return loaded


def _build() -> Path:
    compiler = shlex.split(os.environ.get("CXX", "")) or [next(filter(shutil.which, ("c++", "g++", "clang++")), "")]
    if not shutil.which(compiler[0]):
        raise NativeError("there is no C++ compiler (c++, g++, clang++, or $CXX)")
    package = Path(mujoco.__file__).parent
    libraries = [*package.glob("libmujoco.so*"), *package.glob("libmujoco*.dylib")]
    if not libraries:
        raise NativeError(f"there is no MuJoCo library in {package}")
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
        output = Path(scratch) / "native.so"
        command = [*compiler, *FLAGS, *includes, str(SOURCE), *linked, "-o", str(output)]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=300)
        if done.returncode or not output.exists():
            messages = done.stderr.decode("utf-8", errors="replace")
            raise NativeError(f"{' '.join(command)}\nended with {done.returncode}\n{messages[-2000:]}")
        ctypes.CDLL(str(output))  # raises an error if the file is not a library, before it is stored
        os.replace(output, built)  # other processes never see an incomplete file
    return built


class Extra(NamedTuple):
    """Properties that only some models have; see :class:`smac_jax.envs.base.Model`.

    Attributes:
      scene: for each number of the scene, the index of its field and its place there.
      reads: the indices in ``sensordata`` to report.
      control: 0 is direct, 1 is centered, 2 is velocities.
      gain: the velocity at an action of 1.
      numbers: four numbers for each motor: ``[center, half range, 0, 0]``, or the bounds of velocity and position.
    """

    scene: Int32[np.ndarray, "scene 2"] = np.zeros((0, 2), np.int32)
    reads: Int32[np.ndarray, " reads"] = np.zeros(0, np.int32)
    control: int = 0
    gain: float = 1.0
    numbers: Float[np.ndarray, "motor 4"] = np.zeros((0, 4))


def register(
    model: mujoco.MjModel, frame_skip: int, body: int | None, forces: bool, threads: int, extra: Extra | None = None
) -> int:
    """Registers a model with the library.

    Args:
      model: the compiled model.
      frame_skip: the number of physics steps in one environment step.
      body: the index of the tracked body, or None.
      forces: whether to report the contact forces.
      threads: how many threads share a batch.
      extra: further properties of the model.

    Returns:
      The key of the model, which is the same in every process.

    Raises:
      NativeError: there is no library.
    """
    loaded = library()
    if isinstance(loaded, NativeError):
        raise loaded
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
    loaded.smac_jax_register(key, model._address, *options, *lists, *control)
    return key


def step(
    message: UInt32[Array, " message"], key: int, words: int, values: int
) -> tuple[UInt32[Array, " words"], Float[Array, " values"]]:
    """Computes :meth:`MujocoEngine._advance` inside the compiled program. Under `vmap` it is one call for the batch."""
    shapes = (jax.ShapeDtypeStruct((words,), np.uint32), jax.ShapeDtypeStruct((values,), np.float32))
    raw, numbers = jax.ffi.ffi_call(TARGET, shapes, vmap_method="broadcast_all")(message, key=np.int64(key))
    return raw, numbers
