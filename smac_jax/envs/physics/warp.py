"""MuJoCo's physics as CUDA kernels (MuJoCo Warp, which is MJX's implementation "warp"), in float32, for NVIDIA GPUs.

It has contacts between cylinders and boxes or meshes, and noslip iterations, which MJX's own implementation lacks. So
the hands and the kitchen run on it, too. It also runs on a CPU (``pip install -e '.[warp]'`` installs its compiler),
but so slowly that this is useful for checks only. From the same state and with the same actions, positions differ from
those of the C engine by at most 1e-5 (hopper), 2e-4 (pen) and 1e-4 (kitchen) after 5 environment steps
(``tests/envs/test_warp.py``). The ant behaves as with MJX's own implementation (:mod:`smac_jax.envs.physics.mjx`):
after 10 steps it differs by 0.1 with the pyramidal friction cones of the model, and by 2e-6 if both engines use
elliptic cones. It has not been measured on a GPU yet.

MuJoCo Warp stores the contacts of all environments in one buffer, whose size must be known at compilation. Here it is
``contacts`` times the number of environments. MuJoCo Warp drops contacts that do not fit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from mujoco import mjx

from smac_jax.config import whole_number
from smac_jax.envs.base import Model, Physics
from smac_jax.envs.physics.compiled import (
    compile_model,
    cone_of,
    control_numbers,
    init_qpos,
    init_scene,
    scene_rows,
    sensor_places,
)
from smac_jax.envs.physics.origin import from_origin, if_finite, to_origin
from smac_jax.errors import ConfigError
from smac_jax.types import Array


class WarpState(NamedTuple):
    """The state beyond positions and velocities.

    Attributes:
      warmstart: the last accelerations of the solver.
      body_offset: as in :class:`smac_jax.envs.physics.mjx.MjxState`.
      scene: the values of ``Model.scene``.
    """

    warmstart: Float[Array, " qvel"]
    body_offset: Float[Array, " 3"]
    scene: Float[Array, " scene"]


class Simulated(NamedTuple):
    """The results of MuJoCo Warp."""

    qpos: Float[Array, " qpos"]
    qvel: Float[Array, " qvel"]
    warmstart: Float[Array, " qvel"]
    body: Float[Array, " 3"]
    sensordata: Float[Array, " sensordata"]


class WarpEngine:
    """MuJoCo Warp.

    Args:
      model: what to simulate and what to report.
      contacts: the largest number of contacts per environment. Random actions cause up to 26 in the door task, and up
        to 14 in the others.
      constraints: the largest number of constraint rows per environment. Random actions cause up to 132 (door).
      cone: "pyramidal" as in the models, or "elliptic".
      margins: how contact margins combine; see :mod:`smac_jax.envs.physics.margins`.

    Raises:
      ConfigError: ``contacts`` or ``constraints`` is below 1, ``cone`` or ``margins`` is not known, warp-lang is not
        installed, or the model reads contact forces.
    """

    name = "warp"

    def __init__(
        self,
        model: Model,
        contacts: int = 64,
        constraints: int = 300,
        cone: str = "pyramidal",
        margins: str = "max",
    ):
        contacts, constraints = whole_number("contacts", contacts, 1), whole_number("constraints", constraints, 1)
        if model.contact_forces:
            raise ConfigError("The warp engine does not report contact forces (ant, v5). Use physics='mujoco'.")
        self._mj = compile_model(model, margins)
        self._mj.opt.cone = cone_of(cone)
        self._warp = _put_model(self._mj)
        self._model, self._contacts, self._constraints = model, contacts, constraints
        self._body = self._mj.body(model.tracked_body).id if model.tracked_body else None
        self._sensors = sensor_places(self._mj, model)
        self._scene = scene_rows(self._mj, model)
        self._control_numbers = control_numbers(self._mj, model)
        self._steps = _batched(self._simulator(model.frame_skip))
        self._forward = _batched(self._simulator(0))

        self.dt = float(self._mj.opt.timestep) * model.frame_skip
        self.action_size = int(self._mj.nu)
        self.init_qpos = init_qpos(self._mj, model)
        self.init_qvel = np.zeros(self._mj.nv, np.float32)
        self.init_scene = init_scene(self._mj, model)

    def start(
        self, qpos: Float[Array, " qpos"], qvel: Float[Array, " qvel"], scene: Float[Array, " scene"] | None = None
    ) -> Physics:
        """Returns the physics in a given state."""
        scene = jnp.asarray(self.init_scene, jnp.float32) if scene is None else scene
        raw = WarpState(jnp.zeros_like(qvel), jnp.zeros(3, jnp.float32), scene)
        extras = {} if self._body is None else {"body_change": jnp.zeros(3, jnp.float32)}
        if self._sensors:
            no_control = jnp.zeros(self.action_size, jnp.float32)
            extras |= self._read(self._forward(qpos, qvel, raw.warmstart, no_control, scene))
        return Physics(qpos, qvel, jnp.zeros_like(qpos), jnp.zeros((), bool), extras, raw)

    def start_exact(
        self,
        qpos: Float[np.ndarray, "*batch qpos"],
        qvel: Float[np.ndarray, "*batch qvel"],
        scene: Float[np.ndarray, "*batch scene"] | None = None,
    ) -> Physics:
        """Returns the physics in a given state, with any leading axes. This engine computes in float32."""
        scene = np.broadcast_to(self.init_scene if scene is None else scene, (*qpos.shape[:-1], len(self.init_scene)))
        start = self.start
        for _ in qpos.shape[:-1]:
            start = jax.vmap(start)
        return start(*(jnp.asarray(x, jnp.float32) for x in (qpos, qvel, scene)))

    def step(self, physics: Physics, command: Float[Array, " command"]) -> Physics:
        """Returns the physics one environment step later."""
        local, qvel = to_origin(self._model, physics)
        before, control = physics.raw, self._control(command.astype(jnp.float32), physics.qpos)
        result = self._steps(local, qvel, before.warmstart, control, before.scene)
        change = result.qpos - local
        extras, body_offset = self._read(result), before.body_offset
        if self._body is not None:
            extras["body_change"] = result.body - (local[:3] + body_offset)
            body_offset = result.body - result.qpos[:3]
        qpos = from_origin(self._model, physics, result.qpos, change)
        raw = WarpState(result.warmstart, body_offset, before.scene)
        after = physics._replace(qpos=qpos, qvel=result.qvel, qpos_change=change, extras=extras, raw=raw)
        kept = {name: physics.extras[name] if name in self._sensors else jnp.zeros(3, jnp.float32) for name in extras}
        unmoved = physics._replace(qpos_change=jnp.zeros_like(change), diverged=jnp.ones((), bool), extras=kept)
        return if_finite(after._replace(diverged=jnp.zeros((), bool)), unmoved)

    def _read(self, result: Simulated) -> dict[str, Array]:
        return {name: result.sensordata[places] for name, places in self._sensors.items()}

    def _control(self, command: Float[Array, " command"], qpos: Float[Array, " qpos"]) -> Float[Array, " motor"]:
        """Returns motor commands. :func:`control_numbers` defines the kinds of control."""
        kind, gain, numbers = self._control_numbers
        if kind == 0:
            return command
        first, second, low, high = jnp.asarray(numbers.T, jnp.float32)
        action = jnp.clip(command[: self.action_size], -1.0, 1.0)
        if kind == 1:
            return first + action * second
        feasible = jnp.clip(action * gain, first, second)
        return jnp.clip(qpos[: self.action_size] + command[self.action_size :] + feasible * self.dt, low, high)

    def _simulator(self, frame_skip: int) -> Callable[..., Simulated]:
        """Returns ``simulate(environments, qpos, qvel, warmstart, control, scene)`` for one environment of a batch."""

        def simulate(
            environments: int, qpos: Array, qvel: Array, warmstart: Array, control: Array, scene: Array
        ) -> Any:
            model, place = self._warp, 0
            for field, row in self._scene:
                values = getattr(model, field)
                width = values.shape[-1]
                model = model.replace(**{field: values.at[row].set(scene[place : place + width])})
                place += width
            room = {"naconmax": environments * self._contacts, "njmax": self._constraints}
            data = mjx.make_data(self._mj, impl="warp", **room).replace(
                qpos=qpos, qvel=qvel, qacc_warmstart=warmstart, ctrl=control
            )
            if frame_skip:
                data = jax.lax.fori_loop(0, frame_skip, lambda _, data: mjx.step(model, data), data)
            else:
                data = mjx.forward(model, data)
            body = jnp.zeros(3, jnp.float32) if self._body is None else data.xpos[self._body]
            return Simulated(data.qpos, data.qvel, data.qacc_warmstart, body, data.sensordata)

        return simulate


def _batched(simulate: Callable[..., Simulated]) -> Callable[..., Simulated]:
    """Turns ``simulate`` under any number of `vmap`s into a single `vmap`, and passes it the size of the batch."""

    def over(number: int) -> Callable[..., Simulated]:
        """Returns the function for arguments with a leading axis of size ``number``."""

        @jax.custom_batching.custom_vmap
        def all_of_them(*arguments: Array) -> Simulated:
            return jax.vmap(lambda *of_one: simulate(number, *of_one))(*arguments)

        @all_of_them.def_vmap
        def _flatten(axis_size: int, in_batched: list[bool], *arguments: Array) -> tuple[Simulated, Any]:
            broadcast = [
                x if batched else jnp.broadcast_to(x, (axis_size, *x.shape))
                for x, batched in zip(arguments, in_batched, strict=True)
            ]
            flat = over(axis_size * number)(*(x.reshape(axis_size * number, *x.shape[2:]) for x in broadcast))
            out = jax.tree.map(lambda x: x.reshape(axis_size, number, *x.shape[1:]), flat)
            return out, jax.tree.map(lambda _: True, out)

        return all_of_them

    def of_one(*arguments: Array) -> Simulated:
        return jax.tree.map(lambda x: x[0], over(1)(*(x[None] for x in arguments)))

    return of_one


def _put_model(mj: Any) -> mjx.Model:
    """Returns the model for MuJoCo Warp.

    Raises:
      ConfigError: MuJoCo Warp is not installed, or it lacks something that the model needs.
    """
    try:
        return mjx.put_model(mj, impl="warp")
    except NotImplementedError as error:
        raise ConfigError(f"MuJoCo Warp cannot simulate this model: {error} Use physics='mujoco'.") from error
    except RuntimeError as error:
        raise ConfigError(f"physics='warp' needs warp-lang: pip install -e '.[warp]' ({error})") from error
