"""Devices that are described instead of present, and compilation for them.

A TPU's compiler (libtpu) knows its devices by name. XLA's for GPUs takes a description: the numbers of a datasheet, as
``cudaGetDeviceProperties`` would give them. Products are not tuned without a device, so that launches and bytes can be
trusted and the speed of products cannot.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import os
import re
import tempfile
from pathlib import Path
from typing import Any

import jax
from jax.experimental import topologies

from smac_jax.errors import ConfigError

TERA = 1e12


@dataclasses.dataclass(frozen=True)
class Gpu:
    """What is known of a GPU: the published properties of its chip.

    Attributes:
      name: as the driver has it.
      capability: compute capability, ``(major, minor)``.
      cores, units_per_core: streaming multiprocessors, and float32 units of each.
      clock: GHz.
      shared_memory, shared_memory_block: KiB of a multiprocessor, and what a block may have of it.
      threads: the threads of a multiprocessor.
      cache: MiB of L2.
      memory: bytes.
      bandwidth: of the memory, B/s.
      tf32, bf16, float32: dense products, FLOP/s.
    """

    name: str
    capability: tuple[int, int]
    cores: int
    units_per_core: int
    clock: float
    shared_memory: int
    shared_memory_block: int
    threads: int
    cache: int
    memory: int
    bandwidth: float
    tf32: float
    bf16: float
    float32: float

    def text(self) -> str:
        """The description that XLA's compiler reads (``GpuTargetConfigProto`` in its text format)."""
        major, minor = self.capability
        architecture = " feature_extension: ACCELERATED_FEATURES" if major >= 9 else ""
        return f"""
gpu_device_info {{
  threads_per_block_limit: 1024 threads_per_warp: 32 threads_per_core_limit: {self.threads}
  shared_memory_per_block: 49152 shared_memory_per_core: {self.shared_memory * 1024}
  shared_memory_per_block_optin: {self.shared_memory_block * 1024}
  core_count: {self.cores} fpus_per_core: {self.units_per_core} clock_rate_ghz: {self.clock}
  block_dim_limit_x: 2147483647 block_dim_limit_y: 65535 block_dim_limit_z: 65535
  thread_dim_limit_x: 1024 thread_dim_limit_y: 1024 thread_dim_limit_z: 64
  registers_per_core_limit: 65536 registers_per_block_limit: 65536
  memory_bandwidth: {self.bandwidth:.0f} l2_cache_size: {self.cache * 2**20} device_memory_size: {self.memory}
  cuda_compute_capability {{ major: {major} minor: {minor}{architecture} }}
  device_vendor: "NVIDIA Corporation" name: "{self.name}" pcie_bandwidth: 34359738368
  driver_version: "13.0.0" runtime_version: "12.8.0" compile_time_toolkit_version: "12.8.0" dnn_version: "9.10.0"
}}
platform_name: "CUDA"
dnn_version_info {{ major: 9 minor: 10 patch: 0 }}
device_description_str: "{self.name}"
"""


@dataclasses.dataclass(frozen=True)
class Tpu:
    """What is known of a TPU's chip: clock in Hz, B/s of its memory, FLOP/s of bfloat16 products, bytes of memory."""

    name: str
    clock: float
    bandwidth: float
    bf16: float
    memory: int


_HOPPER = {"capability": (9, 0), "units_per_core": 128, "clock": 1.98, "shared_memory": 228}
_HOPPER |= {"shared_memory_block": 227, "threads": 2048, "cache": 50, "cores": 132}
_HOPPER |= {"tf32": 495 * TERA, "bf16": 989 * TERA, "float32": 67 * TERA}
GPUS = {
    "h100": Gpu("NVIDIA H100 80GB HBM3", memory=84_942_979_072, bandwidth=3.352e12, **_HOPPER),  # type: ignore[arg-type]
    "h200": Gpu("NVIDIA H200", memory=151_397_597_184, bandwidth=4.8e12, **_HOPPER),  # type: ignore[arg-type]
    "a100": Gpu(
        name="NVIDIA A100-SXM4-80GB",
        capability=(8, 0),
        cores=108,
        units_per_core=64,
        clock=1.41,
        shared_memory=164,
        shared_memory_block=163,
        threads=2048,
        cache=40,
        memory=85_100_068_864,
        bandwidth=2.039e12,
        tf32=156 * TERA,
        bf16=312 * TERA,
        float32=19.5 * TERA,
    ),
    "l4": Gpu(
        name="NVIDIA L4",
        capability=(8, 9),
        cores=58,
        units_per_core=128,
        clock=2.04,
        shared_memory=100,
        shared_memory_block=99,
        threads=1536,
        cache=48,
        memory=23_660_000_000,
        bandwidth=3.0e11,
        tf32=60 * TERA,
        bf16=121 * TERA,
        float32=30.3 * TERA,
    ),
}
TPUS = {
    "v5e": Tpu("TPU v5e", clock=1.5e9, bandwidth=8.2e11, bf16=197 * TERA, memory=16 * 2**30),
    "v5p": Tpu("TPU v5p", clock=1.75e9, bandwidth=2.77e12, bf16=459 * TERA, memory=95 * 2**30),
    "v6e": Tpu("TPU v6e", clock=1.75e9, bandwidth=1.64e12, bf16=918 * TERA, memory=32 * 2**30),
}
PRESENT = "here"
"""The name of the devices that this process has."""
WHEELS = {"gpu": ("jax-cuda13-plugin", "jax-cuda12-plugin"), "tpu": ("libtpu",)}
"""The packages with the compilers; one of them is needed."""


@dataclasses.dataclass(frozen=True)
class Target:
    """Where programs are compiled for.

    Attributes:
      name: as the user gave it.
      platform: ``gpu``, ``tpu`` or ``cpu``.
      chip: what is known of its chips; None for devices that are present and not described.
      devices: the devices, for the shardings of arguments.
    """

    name: str
    platform: str
    chip: Gpu | Tpu | None
    devices: tuple[jax.Device, ...]

    @property
    def is_present(self) -> bool:
        """Whether programs can also run."""
        return self.name == PRESENT


def look_for_no_device() -> None:
    """Keeps JAX from looking for a GPU or TPU where there is none: a TPU's library would ask the network for one."""
    if not [*Path("/dev").glob("nvidia[0-9]"), *Path("/dev").glob("accel*"), *Path("/dev").glob("vfio/[0-9]*")]:
        jax.config.update("jax_platforms", "cpu")
        os.environ.setdefault("TPU_WORKER_HOSTNAMES", "localhost")
    os.environ.setdefault("TPU_SKIP_MDS_QUERY", "1")


def missing_wheels(platform: str) -> str:
    """What to install for the compiler of a platform, or nothing if it is there."""
    for wheel in WHEELS[platform]:
        try:
            importlib.metadata.version(wheel)
            return ""
        except importlib.metadata.PackageNotFoundError:
            continue
    return (
        f"the compiler for a {platform.upper()} is not installed. Install it with pip install -e '.[devices]' "
        "(Linux, Python 3.12 or later)"
    )


def find_target(name: str) -> Target:
    """A target by name: ``h100``, or ``h100:4`` for four of them; ``v5e:2x2``; ``here`` for JAX's default devices.

    Raises:
      ConfigError: there is no such target, or its compiler is not installed.
    """
    if name == PRESENT:
        devices = tuple(jax.local_devices())
        chip = chip_of(devices[0].device_kind)
        return Target(name, devices[0].platform.replace("cuda", "gpu"), chip, devices)
    kind, _, topology = name.partition(":")
    platform = "gpu" if kind in GPUS else "tpu" if kind in TPUS else ""
    known = f"Known are {', '.join([*GPUS, *TPUS])} and {PRESENT}"
    if not platform or not re.fullmatch(r"\d*" if platform == "gpu" else r"(\d+x\d+(x\d+)?)?", topology):
        raise ConfigError(f"--target={name}: there is no such device. {known}; h100:4 are four, v5e:2x2 as many.")
    if missing := missing_wheels(platform):
        raise ConfigError(f"--target={name}: {missing}.")
    if platform == "gpu":
        found = topologies.get_topology_desc(
            platform="cuda", target_config=GPUS[kind].text(), topology=f"1x1x{topology or 1}"
        )
        return Target(name, platform, GPUS[kind], tuple(found.devices))
    found = topologies.get_topology_desc(platform="tpu", topology_name=f"{kind}:{topology or '1x1'}")
    return Target(name, platform, TPUS[kind], tuple(found.devices))


def chip_of(device_kind: str) -> Gpu | Tpu | None:
    """The description of a device that is present, found by its name."""
    known: dict[str, Gpu | Tpu] = {**GPUS, **TPUS}
    for key, chip in known.items():
        if re.search(rf"\b{key}\b", device_kind.lower().replace("lite", "e").replace("v5 e", "v5e")):
            return chip
    return None


def compile_for(target: Target, lowered: jax.stages.Lowered) -> tuple[jax.stages.Compiled, str]:
    """The compiled program, and for a GPU the text of its sequence of launches (:mod:`benchmarks.devices.thunks`)."""
    if target.platform != "gpu":
        return lowered.compile(), ""
    with tempfile.TemporaryDirectory(prefix="smac_jax_devices_") as folder:
        options: dict[str, Any] = {"xla_dump_to": folder, "xla_dump_hlo_as_text": True}
        compiled = lowered.compile(options)
        # the later one is written where the compiler put launches into a CUDA graph
        files = {path.name.rpartition("thunk_sequence")[2]: path for path in Path(folder).glob("*thunk_sequence*.txt")}
        last = files.get("_after_thunk_passes.txt") or files.get(".txt")
        return compiled, last.read_text(encoding="utf-8") if last else ""
