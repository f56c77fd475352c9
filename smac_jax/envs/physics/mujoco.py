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

from smac_jax.envs.base import Model, Physics, model_path
from smac_jax.envs.physics import native
from smac_jax.errors import ConfigError
from smac_jax.types import Array

_STATE = int(mujoco.mjtState.mjSTATE_QPOS | mujoco.mjtState.mjSTATE_QVEL | mujoco.mjtState.mjSTATE_WARMSTART)
_STATE_AND_CONTROL = _STATE | int(mujoco.mjtState.mjSTATE_CTRL)
_DIVERGED = 1e10  # MuJoCo's own limit (mjMAXVAL), beyond which it calls a state bad


class MujocoEngine:
    """MuJoCo's C library, in float64.

    Args:
      model: what to simulate and what to report.
      threads: how many threads step a batch; by default as many as there are cores for this process.
      native: call C++ from the compiled program instead of Python; by default where it can be compiled. The numbers are
        the same.

    Raises:
      ConfigError: ``threads`` below 1, or ``native=True`` where there is no compiler.
    """

    name = "mujoco"

    def __init__(self, model: Model, threads: int | None = None, native: bool | None = None):
        # Through a spec, because from there MuJoCo's complaints about a model are Python warnings, not a log file.
        self._mj = mujoco.MjSpec.from_file(str(model_path(model.xml))).compile()
        # A diverged simulation would silently start again from the model's first state; `_advance` marks it instead.
        self._mj.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_AUTORESET
        self._model = model
        self._body = self._mj.body(model.tracked_body).id if model.tracked_body else None
        if threads is not None and threads < 1:
            raise ConfigError(f"threads must be at least 1; got {threads}.")
        self._threads = threads or _available_cores()
        self._idle: deque[mujoco.MjData] = deque()
        self._native = self._register(native)

        self.dt = float(self._mj.opt.timestep) * model.frame_skip
        self.action_size = int(self._mj.nu)
        self.init_qpos = np.asarray(self._mj.qpos0, np.float32)
        self.init_qvel = np.zeros(self._mj.nv, np.float32)

    @property
    def native(self) -> bool:
        """Whether steps on a CPU are taken without Python."""
        return self._native is not None

    def _register(self, wanted: bool | None) -> int | None:
        if wanted is False:
            return None
        try:
            return native.register(
                self._mj, self._model.frame_skip, self._body, self._model.contact_forces, self._threads
            )
        except native.NativeError as error:
            if wanted:
                raise ConfigError(f"native=True: MuJoCo's step cannot be compiled here: {error}") from error
            return None

    def start(self, qpos: Float[Array, " qpos"], qvel: Float[Array, " qvel"]) -> Physics:
        """Physics at rest in a float32 state."""
        # Solver warm start: Gymnasium's reset leaves zeros.
        state = jnp.concatenate([qpos, qvel, jnp.zeros(self._mj.nv)])
        if self._body is not None:
            state = jnp.concatenate([state, qpos[:3]])  # a free joint's coordinates are its body's position
        return self._physics(_widen(state), qpos, qvel, jnp.zeros_like(qpos))

    def start_exact(self, qpos: Float[np.ndarray, "*batch qpos"], qvel: Float[np.ndarray, "*batch qvel"]) -> Physics:
        """Physics at rest in a float64 state."""
        qpos, qvel = np.asarray(qpos, np.float64), np.asarray(qvel, np.float64)
        parts = [qpos, qvel, np.zeros_like(qvel)]
        if self._body is not None:
            parts.append(qpos[..., :3])
        raw = np.concatenate(parts, -1).view(np.uint32)
        physics = self._physics
        for _ in qpos.shape[:-1]:
            physics = jax.vmap(physics)
        f32 = np.float32
        return physics(jnp.asarray(raw), jnp.asarray(qpos, f32), jnp.asarray(qvel, f32), jnp.zeros(qpos.shape, f32))

    def step(self, physics: Physics, action: Float[Array, " action"]) -> Physics:
        """Physics one environment step later."""
        nq, nv, nbody = self._mj.nq, self._mj.nv, self._mj.nbody
        sizes = {"qpos": nq, "qvel": nv, "qpos_change": nq, "diverged": 1}
        if self._body is not None:
            sizes["body_change"] = 3
        if self._model.contact_forces:
            sizes["cfrc_ext"] = nbody * 6
        # One argument, not two: each costs a callback some 30 microseconds, half the time of a half cheetah's step.
        message = jnp.concatenate([physics.raw, jax.lax.bitcast_convert_type(action.astype(jnp.float32), jnp.uint32)])
        words, numbers = physics.raw.shape[-1], sum(sizes.values())

        def from_python(message: UInt32[Array, " words+action"]) -> tuple[Array, Array]:
            return jax.pure_callback(
                self._advance,
                (jax.ShapeDtypeStruct((words,), jnp.uint32), jax.ShapeDtypeStruct((numbers,), jnp.float32)),
                message,
                vmap_method="broadcast_all",
            )

        if self._native is None:
            raw, values = from_python(message)
        else:
            step = partial(native.step, key=self._native, words=words, values=numbers)
            raw, values = jax.lax.platform_dependent(message, cpu=step, default=from_python)
        named = dict(zip(sizes, jnp.split(values, np.cumsum(list(sizes.values()))[:-1]), strict=True))
        extras = {name: named[name] for name in physics.extras}
        if "cfrc_ext" in extras:
            extras["cfrc_ext"] = extras["cfrc_ext"].reshape(nbody, 6)
        return Physics(named["qpos"], named["qvel"], named["qpos_change"], named["diverged"][0] > 0, extras, raw)

    def _physics(
        self,
        raw: UInt32[Array, " words"],
        qpos: Float[Array, " qpos"],
        qvel: Float[Array, " qvel"],
        qpos_change: Float[Array, " qpos"],
    ) -> Physics:
        extras = {}
        if self._body is not None:
            extras["body_change"] = jnp.zeros(3)
        if self._model.contact_forces:
            extras["cfrc_ext"] = jnp.zeros((self._mj.nbody, 6))
        return Physics(qpos, qvel, qpos_change, jnp.zeros((), bool), extras, raw)

    def _advance(
        self, message: UInt32[np.ndarray, "*batch words+action"]
    ) -> tuple[UInt32[np.ndarray, "*batch words"], Float[np.ndarray, "*batch values"]]:
        """Steps a batch on the host. NumPy only: a JAX operation could wait for the program that waits for us."""
        message = np.asarray(message)
        batch, words = message.shape[:-1], message.shape[-1] - self.action_size
        message = message.reshape(-1, message.shape[-1])
        before = np.ascontiguousarray(message[:, :words]).view(np.float64)
        action = message[:, words:].view(np.float32)
        nq, nv = self._mj.nq, self._mj.nv
        n, size = len(before), nq + 2 * nv
        given = np.concatenate([before[:, :size], action], -1, dtype=np.float64)
        after = np.empty_like(before)
        forces = np.zeros((n, self._mj.nbody * 6)) if self._model.contact_forces else None
        self._step_batch(given, after, forces)

        bad: np.ndarray = ~np.all(np.abs(after) < _DIVERGED, axis=-1)  # true for NaN too
        if bad.any():
            after[bad] = before[bad]
            if forces is not None:
                forces[bad] = 0.0
        change = after - before
        values = [after[:, : nq + nv], change[:, :nq], bad[:, None]]
        if self._body is not None:
            values.append(change[:, size:])
        if forces is not None:
            values.append(forces)
        flat = np.concatenate(values, -1, dtype=np.float32, casting="unsafe")
        return after.view(np.uint32).reshape(*batch, -1), flat.reshape(*batch, -1)

    def _step_batch(
        self,
        given: Float[np.ndarray, "n given"],
        after: Float[np.ndarray, "n state"],
        forces: Float[np.ndarray, "n forces"] | None,
    ) -> None:
        """Shares the rows out over the threads, the calling thread included."""
        n = len(given)
        threads = min(self._threads, n)
        if threads <= 1:
            return self._work(deque([(0, n)]), given, after, forces)
        # Small portions, taken as they are finished: contacts make some rows several times dearer than others.
        portion = max(1, n // (4 * threads))
        todo = deque((i, min(i + portion, n)) for i in range(0, n, portion))
        helpers = [_pool().submit(self._work, todo, given, after, forces) for _ in range(threads - 1)]
        self._work(todo, given, after, forces)
        for helper in helpers:
            helper.result()
        return None

    def _work(
        self,
        todo: deque[tuple[int, int]],
        given: Float[np.ndarray, "n given"],
        after: Float[np.ndarray, "n state"],
        forces: Float[np.ndarray, "n forces"] | None,
    ) -> None:
        model, body, frame_skip = self._mj, self._body, self._model.frame_skip
        size = model.nq + 2 * model.nv
        data = self._take()
        while True:
            try:
                first, end = todo.popleft()
            except IndexError:
                break
            for i in range(first, end):
                try:
                    mujoco.mj_setState(model, data, given[i], _STATE_AND_CONTROL)
                    mujoco.mj_step(model, data, nstep=frame_skip)
                    if forces is not None:
                        mujoco.mj_rnePostConstraint(model, data)
                        forces[i] = data.cfrc_ext.ravel()
                    mujoco.mj_getState(model, data, after[i, :size], _STATE)
                    if body is not None:
                        after[i, size:] = data.xpos[body]
                except mujoco.FatalError:  # e.g. out of memory for contacts: this robot is lost, the others go on
                    after[i] = np.nan
                    data = self._new()
        self._idle.append(data)

    def _take(self) -> mujoco.MjData:
        try:
            return self._idle.pop()
        except IndexError:
            return self._new()

    def _new(self) -> mujoco.MjData:
        data = mujoco.MjData(self._mj)
        # MuJoCo writes a warning to MUJOCO_LOG.TXT the first time only: let it believe that the first time is past.
        data.warning.number[:] = 1
        return data


def _widen(x: Float[Array, " n"]) -> UInt32[Array, " words"]:
    """The bits of float32 numbers as float64, low word first, in 32-bit integer arithmetic (subnormals become 0)."""
    bits = jax.lax.bitcast_convert_type(x, jnp.uint32)
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
