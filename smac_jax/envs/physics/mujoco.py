"""MuJoCo's C engine inside a compiled program, with one call per step for all seeds and environments.

The engine equals Gymnasium step for step. For that it keeps three things that ``mujoco.rollout`` drops:

* The warm start of the solver. Without it the contact forces differ in their last digits, and in a chaotic task such as
  the half cheetah these digits change the whole trajectory after a few hundred steps.
* The position of a tracked body (ant). After a Runge-Kutta step it is that of the last *stage*, not of the state.
* The contact forces on bodies, which ``mj_rnePostConstraint`` computes after the step.

Therefore a pool of threads calls ``mj_step``, each with its own ``MjData``. The call comes from C++ if there is a
compiler (``native.py``), otherwise from a Python callback (``threaded_step.py``; ``mj_step`` releases Python's lock).
The float64 state is stored exactly in JAX's 32-bit arrays, as pairs of uint32.

On several devices use `jax.shard_map`, with which each device calls back for its own share of the batch. A plain
sharded `jax.jit` gives the same numbers, but XLA first gathers the batch on one device.
"""

from __future__ import annotations

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
from smac_jax.envs.physics.threaded_step import SCENE_FIELDS, ThreadedStep, available_cores
from smac_jax.errors import ConfigError
from smac_jax.types import Array

_DIVERGED = 1e10  # MuJoCo's own limit (mjMAXVAL) of a valid state


class MujocoEngine:
    """MuJoCo's C library, in float64.

    Args:
      model: what to simulate and what to report.
      threads: how many threads step a batch; by default as many as this process may use cores.
      native: whether the compiled program calls C++ in place of Python. By default it does if the code can be compiled.
        The numbers are the same.
      margins: how contact margins combine; see :mod:`smac_jax.envs.physics.margins`.

    Raises:
      ConfigError: ``threads`` is below 1, ``native`` is True and there is no compiler, or ``margins`` is not known.
    """

    name = "mujoco"

    def __init__(self, model: Model, threads: int | None = None, native: bool | None = None, margins: str = "max"):
        self._mj = compile_model(model, margins)
        # MuJoCo would silently reset a diverged simulation to the model's first state. `_advance` marks it instead.
        self._mj.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_AUTORESET
        self._model = model
        self._body = self._mj.body(model.tracked_body).id if model.tracked_body else None
        self._threads = available_cores() if threads is None else whole_number("threads", threads, 1, 1024)
        native = None if native is None else true_or_false("native", native)
        self._sensors = sensor_places(self._mj, model)
        self._reads = np.concatenate([*self._sensors.values(), np.zeros(0, int)]).astype(np.int32)
        places = [place for field, row in scene_rows(self._mj, model) for place in self._addresses(field, row)]
        self._scene = np.array(places, np.int32).reshape(-1, 2)
        self._bounds = control_numbers(self._mj, model)
        self._step_batch = ThreadedStep(self._mj, self._threads, self._body, self._scene, self._reads)

        self.dt = float(self._mj.opt.timestep) * model.frame_skip
        self.action_size = int(self._mj.nu)
        self.init_qpos = init_qpos(self._mj, model)
        self.init_qvel = np.zeros(self._mj.nv, np.float32)
        self.init_scene = init_scene(self._mj, model)
        self._native = self._register(native, model.frame_skip)
        # without a step: only the sensors at the start of an episode are computed
        self._native_sensors = self._register(native, 0) if len(self._reads) else None

    @property
    def native(self) -> bool:
        """Whether a CPU computes steps without calling Python."""
        return self._native is not None

    def _addresses(self, field: str, row: int) -> list[tuple[int, int]]:
        """Returns for each number of the scene the index in ``SCENE_FIELDS`` of its field, and its place there."""
        width = getattr(self._mj, field).shape[1]
        return [(SCENE_FIELDS.index(field), row * width + i) for i in range(width)]

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
        """Returns the physics in a float32 state."""
        # the warm start of the solver is zero, as after Gymnasium's reset
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
        """Returns the physics in a float64 state."""
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
        """Returns the float64 state in ``Physics.raw``, in the form of :meth:`start_exact`, outside jit."""
        state = np.ascontiguousarray(raw).view(np.float64)
        nq, nv, scene = self._mj.nq, self._mj.nv, len(self.init_scene)
        return state[..., :nq], state[..., nq : nq + nv], state[..., state.shape[-1] - scene :]

    def step(self, physics: Physics, command: Float[Array, " command"]) -> Physics:
        """Returns the physics one environment step later."""
        raw, named = self._call(self._limit_speed(physics.raw), command, self._native, self._model.frame_skip)
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

    def _limit_speed(self, raw: UInt32[Array, " words"]) -> UInt32[Array, " words"]:
        """Clips the joint velocities to ``Model.speed_limit``, bit for bit as NumPy clips float64 numbers."""
        if self._model.speed_limit is None:
            return raw
        low_limit, high_limit = np.array([self._model.speed_limit], np.float64).view(np.uint32)
        velocities = slice(2 * self._mj.nq, 2 * (self._mj.nq + self._mj.nv))
        low, high = raw[velocities].reshape(-1, 2).T
        # magnitudes of floating-point numbers are ordered like their bits
        size = high & jnp.uint32(0x7FFFFFFF)
        above = (size > high_limit) | ((size == high_limit) & (low > low_limit))
        high = jnp.where(above, (high & jnp.uint32(0x80000000)) | high_limit, high)
        low = jnp.where(above, low_limit, low)
        return raw.at[velocities].set(jnp.stack([low, high], -1).ravel())

    def _call(
        self, raw: UInt32[Array, " words"], command: Float[Array, " command"], key: int | None, frame_skip: int
    ) -> tuple[UInt32[Array, " words"], dict[str, Array]]:
        """Returns the state after ``frame_skip`` physics steps, and the reported numbers by name."""
        nq, nv, nbody = self._mj.nq, self._mj.nv, self._mj.nbody
        sizes = {"qpos": nq, "qvel": nv, "qpos_change": nq, "diverged": 1}
        if self._body is not None:
            sizes["body_change"] = 3
        if self._model.contact_forces:
            sizes["cfrc_ext"] = nbody * 6
        sizes |= {name: len(places) for name, places in self._sensors.items()}
        # Everything is one argument, because each argument of a callback costs 30 microseconds (half of a half
        # cheetah's step).
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
            _, named = self._call(raw, jnp.zeros(self._command_size, jnp.float32), self._native_sensors, 0)
            extras |= {name: named[name] for name in self._sensors}
        return Physics(qpos, qvel, qpos_change, jnp.zeros((), bool), extras, raw)

    @property
    def _command_size(self) -> int:
        return self.action_size * (2 if isinstance(self._model.control, Velocities) else 1)

    def _control(
        self, command: Float[np.ndarray, "n command"], qpos: Float[np.ndarray, "n qpos"]
    ) -> Float[np.ndarray, "n motor"]:
        """Returns motor commands in float64. :func:`control_numbers` defines the kinds of control."""
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
        self, message: UInt32[np.ndarray, "*batch message"] | UInt32[Array, "*batch message"], frame_skip: int
    ) -> tuple[UInt32[np.ndarray, "*batch words"], Float[np.ndarray, "*batch values"]]:
        """Steps a batch on the host.

        It uses only NumPy: an operation of JAX could wait for the program that is waiting for this callback.
        """
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


def _widen(x: Float[Array, " n"]) -> UInt32[Array, " words"]:
    """Returns float32 numbers as the bits of float64 numbers, with the low word first. Subnormal numbers become 0."""
    bits = jax.lax.bitcast_convert_type(x.astype(jnp.float32), jnp.uint32)
    sign, exponent, mantissa = bits & jnp.uint32(0x80000000), (bits >> 23) & 0xFF, bits & 0x7FFFFF
    exponent64 = jnp.where(exponent == 0xFF, 0x7FF, exponent + 896)  # 896 = 1023 - 127; all ones: infinite or NaN
    high = jnp.where(exponent == 0, sign, sign | (exponent64 << 20) | (mantissa >> 3))
    low = jnp.where(exponent == 0, 0, mantissa << 29)
    return jnp.stack([low, high], -1).astype(jnp.uint32).ravel()
