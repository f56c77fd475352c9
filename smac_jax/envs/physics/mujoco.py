"""The C engine inside a compiled program: one call a step, however many seeds and environments there are.

It equals Gymnasium step for step, so it has to keep what Gymnasium's simulator keeps and ``mujoco.rollout`` drops:

* the solver's warm start. Without it the contact forces differ in their last digits, and in a chaotic task such as the
  half cheetah those digits are the whole trajectory after a few hundred steps;
* the position of a tracked body (ant), which after a Runge-Kutta step is that of the last *stage*, not of the state;
* the contact forces on bodies, computed by ``mj_rnePostConstraint`` after the step.

Therefore ``mj_step`` is called by a pool of threads, each with its own ``MjData``: from C++ where a compiler is at hand
(``native.py``), else from a Python callback, as written here (``mj_step`` releases Python's lock). The float64 state
travels through JAX's 32-bit world as pairs of uint32, bit for bit.

Over several devices use `jax.shard_map`, where each device calls back for its own share. A plain sharded `jax.jit`
gives the same numbers, but XLA first gathers the batch on one device.
"""

from __future__ import annotations

import copy
import os
import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
from jaxtyping import Float, UInt32

from smac_jax.config import true_or_false, whole_number
from smac_jax.envs.base import Model, Physics, Velocities
from smac_jax.envs.physics import native
from smac_jax.envs.physics.compiled import (
    compile_model,
    control_numbers,
    init_qpos,
    init_scene,
    scene_rows,
    sensor_places,
)
from smac_jax.errors import ConfigError
from smac_jax.types import Array

_STATE = int(mujoco.mjtState.mjSTATE_QPOS | mujoco.mjtState.mjSTATE_QVEL | mujoco.mjtState.mjSTATE_WARMSTART)
_STATE_AND_CONTROL = _STATE | int(mujoco.mjtState.mjSTATE_CTRL)
_SCENE = ("body_pos", "body_quat", "site_pos")  # native.cc knows them by their place here
_DIVERGED = 1e10  # MuJoCo's own limit (mjMAXVAL), beyond which it calls a state bad


class MujocoEngine:
    """MuJoCo's C library, in float64.

    Args:
      model: what to simulate and what to report.
      threads: how many threads step a batch; by default as many as there are cores for this process.
      native: call C++ from the compiled program instead of Python; by default where it can be compiled. The numbers are
        the same.
      margins: how contact margins combine; see :mod:`smac_jax.envs.physics.margins`.

    Raises:
      ConfigError: ``threads`` below 1, ``native=True`` where there is no compiler, or unknown ``margins``.
    """

    name = "mujoco"

    def __init__(self, model: Model, threads: int | None = None, native: bool | None = None, margins: str = "max"):
        self._mj = compile_model(model, margins)
        # A diverged simulation would silently start again from the model's first state; `_advance` marks it instead.
        self._mj.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_AUTORESET
        self._model = model
        self._body = self._mj.body(model.tracked_body).id if model.tracked_body else None
        self._threads = _available_cores() if threads is None else whole_number("threads", threads, 1, 1024)
        native = None if native is None else true_or_false("native", native)
        self._idle: deque[tuple[mujoco.MjModel, mujoco.MjData]] = deque()
        self._sensors = sensor_places(self._mj, model)
        self._reads = np.concatenate([*self._sensors.values(), np.zeros(0, int)]).astype(np.int32)
        places = [place for field, row in scene_rows(self._mj, model) for place in self._addresses(field, row)]
        self._scene = np.array(places, np.int32).reshape(-1, 2)
        self._bounds = control_numbers(self._mj, model)

        self.dt = float(self._mj.opt.timestep) * model.frame_skip
        self.action_size = int(self._mj.nu)
        self.init_qpos = init_qpos(self._mj, model)
        self.init_qvel = np.zeros(self._mj.nv, np.float32)
        self.init_scene = init_scene(self._mj, model)
        self._native = self._register(native, model.frame_skip)
        # No step at all, only what follows from a state: what the sensors read at the start of an episode.
        self._native_look = self._register(native, 0) if len(self._reads) else None

    @property
    def native(self) -> bool:
        """Whether steps on a CPU are taken without Python."""
        return self._native is not None

    def _addresses(self, field: str, row: int) -> list[tuple[int, int]]:
        """For each number the field's index in ``_SCENE`` and its place there."""
        width = getattr(self._mj, field).shape[1]
        return [(_SCENE.index(field), row * width + i) for i in range(width)]

    def _register(self, wanted: bool | None, frame_skip: int) -> int | None:
        if wanted is False:
            return None
        extra = native.Extra(self._scene, self._reads, *self._bounds)
        try:
            return native.register(self._mj, frame_skip, self._body, self._model.contact_forces, self._threads, extra)
        except native.NativeError as error:
            if wanted:
                raise ConfigError(f"native=True: MuJoCo's step cannot be compiled here: {error}") from error
            return None

    def start(
        self, qpos: Float[Array, " qpos"], qvel: Float[Array, " qvel"], scene: Float[Array, " scene"] | None = None
    ) -> Physics:
        """Physics at rest in a float32 state."""
        # Solver warm start: Gymnasium's reset leaves zeros.
        state = jnp.concatenate([qpos, qvel, jnp.zeros(self._mj.nv, jnp.float32)])
        if self._body is not None:
            state = jnp.concatenate([state, qpos[:3]])  # a free joint's coordinates are its body's position
        words = _widen(state)
        if scene is None:
            words = jnp.concatenate([words, jnp.asarray(self.init_scene.view(np.uint32))])
        else:
            words = jnp.concatenate([words, _widen(scene)])
        return self._physics(words, qpos, qvel, jnp.zeros_like(qpos))

    def start_exact(
        self,
        qpos: Float[np.ndarray, "*batch qpos"],
        qvel: Float[np.ndarray, "*batch qvel"],
        scene: Float[np.ndarray, "*batch scene"] | None = None,
    ) -> Physics:
        """Physics at rest in a float64 state."""
        qpos, qvel = np.asarray(qpos, np.float64), np.asarray(qvel, np.float64)
        parts = [qpos, qvel, np.zeros_like(qvel)]
        if self._body is not None:
            parts.append(qpos[..., :3])
        scene = self.init_scene if scene is None else np.asarray(scene, np.float64)
        parts.append(np.broadcast_to(scene, (*qpos.shape[:-1], scene.shape[-1])))
        raw = np.concatenate(parts, -1).view(np.uint32)
        physics = self._physics
        for _ in qpos.shape[:-1]:
            physics = jax.vmap(physics)
        f32 = np.float32
        return physics(jnp.asarray(raw), jnp.asarray(qpos, f32), jnp.asarray(qvel, f32), jnp.zeros(qpos.shape, f32))

    def exact_state(
        self, raw: UInt32[np.ndarray, "*batch words"]
    ) -> tuple[Float[np.ndarray, "*batch qpos"], Float[np.ndarray, "*batch qvel"], Float[np.ndarray, "*batch scene"]]:
        """The float64 state that ``Physics.raw`` holds: what :meth:`start_exact` takes, outside jit."""
        state = np.ascontiguousarray(raw).view(np.float64)
        nq, nv, scene = self._mj.nq, self._mj.nv, len(self.init_scene)
        return state[..., :nq], state[..., nq : nq + nv], state[..., state.shape[-1] - scene :]

    def step(self, physics: Physics, command: Float[Array, " command"]) -> Physics:
        """Physics one environment step later."""
        raw, named = self._call(self._slowed(physics.raw), command, self._native, self._model.frame_skip)
        extras = {name: named[name] for name in physics.extras}
        if "cfrc_ext" in extras:
            extras["cfrc_ext"] = extras["cfrc_ext"].reshape(self._mj.nbody, 6)
        diverged = named["diverged"][0] > 0
        for name in self._sensors:
            extras[name] = jnp.where(diverged, physics.extras[name], extras[name])
        return physics._replace(
            qpos=named["qpos"],
            qvel=named["qvel"],
            qpos_change=named["qpos_change"],
            diverged=diverged,
            extras=extras,
            raw=raw,
        )

    def _slowed(self, raw: UInt32[Array, " words"]) -> UInt32[Array, " words"]:
        """The state with joint velocities of at most ``Model.speed_limit``, bit for bit as NumPy clips float64."""
        if self._model.speed_limit is None:
            return raw
        low_limit, high_limit = np.array([self._model.speed_limit], np.float64).view(np.uint32)
        velocities = slice(2 * self._mj.nq, 2 * (self._mj.nq + self._mj.nv))
        low, high = raw[velocities].reshape(-1, 2).T
        # numbers of one sign are in the order of their bits
        size = high & jnp.uint32(0x7FFFFFFF)
        above = (size > high_limit) | ((size == high_limit) & (low > low_limit))
        high = jnp.where(above, (high & jnp.uint32(0x80000000)) | high_limit, high)
        low = jnp.where(above, low_limit, low)
        return raw.at[velocities].set(jnp.stack([low, high], -1).ravel())

    def _call(
        self, raw: UInt32[Array, " words"], command: Float[Array, " command"], key: int | None, frame_skip: int
    ) -> tuple[UInt32[Array, " words"], dict[str, Array]]:
        """The state ``frame_skip`` steps of physics later, and by name what is reported of it."""
        nq, nv, nbody = self._mj.nq, self._mj.nv, self._mj.nbody
        sizes = {"qpos": nq, "qvel": nv, "qpos_change": nq, "diverged": 1}
        if self._body is not None:
            sizes["body_change"] = 3
        if self._model.contact_forces:
            sizes["cfrc_ext"] = nbody * 6
        sizes |= {name: len(places) for name, places in self._sensors.items()}
        # One argument, not two: each costs a callback some 30 microseconds, half the time of a half cheetah's step.
        message = jnp.concatenate([raw, jax.lax.bitcast_convert_type(command.astype(jnp.float32), jnp.uint32)])
        words, numbers = raw.shape[-1], sum(sizes.values())

        def from_python(message: UInt32[Array, " message"]) -> tuple[Array, Array]:
            return jax.pure_callback(
                partial(self._advance, frame_skip=frame_skip),
                (jax.ShapeDtypeStruct((words,), jnp.uint32), jax.ShapeDtypeStruct((numbers,), jnp.float32)),
                message,
                vmap_method="broadcast_all",
            )

        if key is None:
            raw, values = from_python(message)
        else:
            step = partial(native.step, key=key, words=words, values=numbers)
            raw, values = jax.lax.platform_dependent(message, cpu=step, default=from_python)
        return raw, dict(zip(sizes, jnp.split(values, np.cumsum(list(sizes.values()))[:-1]), strict=True))

    def _physics(
        self,
        raw: UInt32[Array, " words"],
        qpos: Float[Array, " qpos"],
        qvel: Float[Array, " qvel"],
        qpos_change: Float[Array, " qpos"],
    ) -> Physics:
        extras = {}
        if self._body is not None:
            extras["body_change"] = jnp.zeros(3, jnp.float32)
        if self._model.contact_forces:
            extras["cfrc_ext"] = jnp.zeros((self._mj.nbody, 6), jnp.float32)
        if self._sensors:
            _, named = self._call(raw, jnp.zeros(self._command_size, jnp.float32), self._native_look, 0)
            extras |= {name: named[name] for name in self._sensors}
        return Physics(qpos, qvel, qpos_change, jnp.zeros((), bool), extras, raw)

    @property
    def _command_size(self) -> int:
        return self.action_size * (2 if isinstance(self._model.control, Velocities) else 1)

    def _control(
        self, command: Float[np.ndarray, "n command"], qpos: Float[np.ndarray, "n qpos"]
    ) -> Float[np.ndarray, "n motor"]:
        """Motor commands in float64; the kinds: :func:`control_numbers`."""
        kind, gain, numbers = self._bounds
        if kind == 0:
            return command
        action = np.clip(command[:, : self.action_size], -1.0, 1.0)
        first, second, low, high = numbers.T
        if kind == 1:
            return first + action * second
        noise = command[:, self.action_size :]
        feasible = np.clip(action * gain, first, second)
        return np.clip(qpos[:, : self.action_size] + noise + feasible * self.dt, low, high)

    def _advance(
        self, message: UInt32[np.ndarray, "*batch message"], frame_skip: int
    ) -> tuple[UInt32[np.ndarray, "*batch words"], Float[np.ndarray, "*batch values"]]:
        """Steps a batch on the host. NumPy only: a JAX operation could wait for the program that waits for us."""
        message = np.asarray(message)
        batch, words = message.shape[:-1], message.shape[-1] - self._command_size
        message = message.reshape(-1, message.shape[-1])
        before = np.ascontiguousarray(message[:, :words]).view(np.float64)
        command = message[:, words:].view(np.float32).astype(np.float64)
        nq, nv = self._mj.nq, self._mj.nv
        n, size, scene = len(before), nq + 2 * nv, len(self.init_scene)
        given = np.concatenate([before[:, :size], self._control(command, before)], -1)
        after = before.copy()
        forces = self._mj.nbody * 6 if self._model.contact_forces else 0
        read = np.zeros((n, forces + len(self._reads)))
        self._step_batch(given, after, read, frame_skip)

        bad: np.ndarray = ~np.all(np.abs(after) < _DIVERGED, axis=-1)  # true for NaN too
        if bad.any():
            after[bad] = before[bad]
            read[bad] = 0.0
        change = after - before
        values = [after[:, : nq + nv], change[:, :nq], bad[:, None]]
        if self._body is not None:
            values.append(change[:, size : change.shape[1] - scene])
        values.append(read)
        flat = np.concatenate(values, -1, dtype=np.float32, casting="unsafe")
        return after.view(np.uint32).reshape(*batch, -1), flat.reshape(*batch, -1)

    def _step_batch(
        self,
        given: Float[np.ndarray, "n given"],
        after: Float[np.ndarray, "n state"],
        read: Float[np.ndarray, "n read"],
        frame_skip: int,
    ) -> None:
        """Shares the rows out over the threads, the calling thread included."""
        n = len(given)
        threads = min(self._threads, n)
        if threads <= 1:
            return self._work(deque([(0, n)]), given, after, read, frame_skip)
        # Small portions, taken as they are finished: contacts make some rows several times dearer than others.
        portion = max(1, n // (4 * threads))
        todo = deque((i, min(i + portion, n)) for i in range(0, n, portion))
        helpers = [_pool().submit(self._work, todo, given, after, read, frame_skip) for _ in range(threads - 1)]
        self._work(todo, given, after, read, frame_skip)
        for helper in helpers:
            helper.result()
        return None

    def _work(
        self,
        todo: deque[tuple[int, int]],
        given: Float[np.ndarray, "n given"],
        after: Float[np.ndarray, "n state"],
        read: Float[np.ndarray, "n read"],
        frame_skip: int,
    ) -> None:
        body, size = self._body, self._mj.nq + 2 * self._mj.nv
        forces = read.shape[1] - len(self._reads)
        scene = [(_SCENE[field], place) for field, place in self._scene]
        model, data = self._take()
        while True:
            try:
                first, end = todo.popleft()
            except IndexError:
                break
            for i in range(first, end):
                try:
                    for (field, place), value in zip(scene, after[i, after.shape[1] - len(scene) :], strict=True):
                        getattr(model, field).flat[place] = value
                    mujoco.mj_setState(model, data, given[i], _STATE_AND_CONTROL)
                    if frame_skip:
                        mujoco.mj_step(model, data, nstep=frame_skip)
                    else:
                        mujoco.mj_forward(model, data)
                    if forces:
                        mujoco.mj_rnePostConstraint(model, data)
                        read[i, :forces] = data.cfrc_ext.ravel()
                    read[i, forces:] = data.sensordata[self._reads]
                    mujoco.mj_getState(model, data, after[i, :size], _STATE)
                    if body is not None:
                        after[i, size : size + 3] = data.xpos[body]
                except mujoco.FatalError:  # e.g. out of memory for contacts: this robot is lost, the others go on
                    after[i] = np.nan
                    model, data = self._new()
        self._idle.append((model, data))

    def _take(self) -> tuple[mujoco.MjModel, mujoco.MjData]:
        try:
            return self._idle.pop()
        except IndexError:
            return self._new()

    def _new(self) -> tuple[mujoco.MjModel, mujoco.MjData]:
        # A thread that moves the scene needs a model of its own.
        model = copy.copy(self._mj) if len(self._scene) else self._mj
        data = mujoco.MjData(model)
        # MuJoCo writes a warning to MUJOCO_LOG.TXT the first time only: let it believe that the first time is past.
        data.warning.number[:] = 1
        return model, data


def _widen(x: Float[Array, " n"]) -> UInt32[Array, " words"]:
    """The bits of float32 numbers as float64, low word first, in 32-bit integer arithmetic (subnormals become 0)."""
    bits = jax.lax.bitcast_convert_type(x.astype(jnp.float32), jnp.uint32)
    sign, exponent, mantissa = bits & jnp.uint32(0x80000000), (bits >> 23) & 0xFF, bits & 0x7FFFFF
    exponent64 = jnp.where(exponent == 0xFF, 0x7FF, exponent + 896)  # 896 = 1023 - 127; all ones: infinite or NaN
    high = jnp.where(exponent == 0, sign, sign | (exponent64 << 20) | (mantissa >> 3))
    low = jnp.where(exponent == 0, 0, mantissa << 29)
    return jnp.stack([low, high], -1).astype(jnp.uint32).ravel()


def _available_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


_shared_pool: ThreadPoolExecutor | None = None
_shared_pool_lock = threading.Lock()


def _pool() -> ThreadPoolExecutor:
    """The helpers of all engines of this process: threads that step one model's robots or another's."""
    global _shared_pool
    with _shared_pool_lock:
        if _shared_pool is None:
            _shared_pool = ThreadPoolExecutor(max(1, _available_cores() - 1), thread_name_prefix="smac_jax-mujoco")
        return _shared_pool
