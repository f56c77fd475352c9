"""MuJoCo's physics as a JAX program (MJX), in float32: for GPU and TPU.

Against the C engine, same state and actions, positions differ by 4e-7 (hopper), 3e-6 (walker2d), 4e-6 (halfcheetah)
after 10 environment steps; the half cheetah is chaotic, so its trajectories part after a few hundred. Returns of
trained policies are the same.

**Ant.** With the pyramidal friction cones of the model, MJX's frame for a contact between plane and capsule differs
from C's (issue 2774 of google-deepmind/mujoco), and so do the tangential forces: 0.16 in positions after 10 steps.
With ``cone="elliptic"``, whose friction does not depend on the frame, MJX agrees with *C under elliptic cones* (3e-5),
which is again another ant than Gymnasium's. Both are stand-ins for it; only the C engine is the ant of the data.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
from jaxtyping import Float
from mujoco import mjx

from smac_jax.config import whole_number
from smac_jax.envs.base import Model, Physics
from smac_jax.envs.physics.compiled import compile_model, cone_of
from smac_jax.errors import ConfigError
from smac_jax.types import Array


class MjxState(NamedTuple):
    """What one step hands to the next beyond positions and velocities; the rest of `mjx.Data` follows from it.

    Attributes:
      warmstart: the solver's last accelerations.
      body_offset: position of the tracked body, as the last physics step computed it, minus its free joint's; the one
        lags the other after a Runge-Kutta step. Kept as a difference because that does not lose digits far away.
    """

    warmstart: Float[Array, " qvel"]
    body_offset: Float[Array, " 3"]


class MjxEngine:
    """MJX, implementation "jax".

    Args:
      model: what to simulate and what to report.
      iterations: of the constraint solver. The models ask for up to 100; 4 keep the returns of trained policies (9312
        of 9312, 3624 of 3625) and are 2 to 4 times faster on a CPU. Never 1: it left 388 of 5885.
      ls_iterations: of the solver's line search.
      cone: "pyramidal" as in the models, or "elliptic".
      margins: how contact margins combine; see :mod:`smac_jax.envs.physics.margins`.
    """

    name = "mjx"

    def __init__(
        self,
        model: Model,
        iterations: int = 4,
        ls_iterations: int = 8,
        cone: str = "pyramidal",
        margins: str = "max",
    ):
        iterations = whole_number("iterations", iterations, 1)
        ls_iterations = whole_number("ls_iterations", ls_iterations, 1)
        mj = compile_model(model, margins)
        mj.opt.iterations, mj.opt.ls_iterations, mj.opt.cone = iterations, ls_iterations, cone_of(cone)
        self._mjx = _put_model(mj, model)
        self._model = model
        self._body = mj.body(model.tracked_body).id if model.tracked_body else None
        self._nbody = int(mj.nbody)

        self.dt = float(mj.opt.timestep) * model.frame_skip
        self.action_size = int(mj.nu)
        self.init_qpos = np.asarray(mj.qpos0, np.float32)
        self.init_qvel = np.zeros(mj.nv, np.float32)
        self.init_scene = np.zeros(0)

    def start(
        self, qpos: Float[Array, " qpos"], qvel: Float[Array, " qvel"], scene: Float[Array, " scene"] | None = None
    ) -> Physics:
        """Physics at rest in a state."""
        del scene  # `_put_model` refuses models that have one
        raw = MjxState(jnp.zeros_like(qvel), jnp.zeros(3, jnp.float32))
        extras = {}
        if self._body is not None:
            extras["body_change"] = jnp.zeros(3, jnp.float32)
        if self._model.contact_forces:
            extras["cfrc_ext"] = jnp.zeros((self._nbody, 6), jnp.float32)
        return Physics(qpos, qvel, jnp.zeros_like(qpos), jnp.zeros((), bool), extras, raw)

    def start_exact(
        self,
        qpos: Float[np.ndarray, "*batch qpos"],
        qvel: Float[np.ndarray, "*batch qvel"],
        scene: Float[np.ndarray, "*batch scene"] | None = None,
    ) -> Physics:
        """Physics at rest in a state, with any leading axes; this engine has float32 only."""
        del scene
        start = self.start
        for _ in qpos.shape[:-1]:
            start = jax.vmap(start)
        return start(jnp.asarray(qpos, jnp.float32), jnp.asarray(qvel, jnp.float32))

    def step(self, physics: Physics, command: Float[Array, " command"]) -> Physics:
        """Physics one environment step later."""
        axes = jnp.array(self._model.free_axes, int)
        # Each step starts from the origin of the plane: far from it, float32 would lose the displacement.
        local = physics.qpos.at[axes].set(0.0)
        limit = self._model.speed_limit
        qvel = physics.qvel if limit is None else jnp.clip(physics.qvel, -limit, limit)
        # MJX computes in JAX's default precision, 64 bits where they are enabled; what it is given and gives is float32
        given = {"qpos": local, "qvel": qvel, "qacc_warmstart": physics.raw.warmstart, "ctrl": command}
        precise = {name: x.astype(jnp.result_type(float)) for name, x in given.items()}
        data = mjx.make_data(self._mjx, impl="jax").replace(**precise)
        data = jax.lax.fori_loop(0, self._model.frame_skip, lambda _, data: mjx.step(self._mjx, data), data)

        change = data.qpos - local
        extras = {}
        body_offset = physics.raw.body_offset
        if self._body is not None:
            extras["body_change"] = data.xpos[self._body] - (local[:3] + body_offset)
            body_offset = data.xpos[self._body] - data.qpos[:3]
        if self._model.contact_forces:
            data = mjx.rne_postconstraint(self._mjx, data)
            extras["cfrc_ext"] = data._impl.cfrc_ext  # where MJX itself says to read it
        after = Physics(
            qpos=data.qpos.at[axes].set(physics.qpos[axes] + change[axes]),
            qvel=data.qvel,
            qpos_change=change,
            diverged=jnp.zeros((), bool),
            extras=extras,
            raw=MjxState(data.qacc_warmstart, body_offset),
            memory=physics.memory,
        )
        after = jax.tree.map(lambda new, old: new.astype(old.dtype), after, physics)
        finite = jnp.stack([jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(after)]).all()
        lost = self._lost(physics)
        return jax.tree.map(lambda new, old: jnp.where(finite, new, old), after, lost)

    def _lost(self, before: Physics) -> Physics:
        """What a step that diverged reports: nothing moved."""
        return before._replace(
            qpos_change=jnp.zeros_like(before.qpos_change),
            diverged=jnp.ones((), bool),
            extras=jax.tree.map(jnp.zeros_like, before.extras),
        )


def _put_model(mj: mujoco.MjModel, model: Model) -> mjx.Model:
    """A model on the device.

    Raises:
      ConfigError: MJX does not have what the model needs. Of the hands and the kitchen it has none: pen, door and
        hammer collide cylinders with boxes, the kitchen cylinders with meshes, which `mjx.put_model` refuses; relocate
        loads, but MJX ignores the 20 iterations against slip that hold the ball in the hand.
    """
    try:
        put = mjx.put_model(mj, impl="jax")
    except NotImplementedError as error:
        raise ConfigError(f"MJX cannot simulate {model.xml}: {error} Take physics='mujoco'.") from error
    if mj.opt.noslip_iterations:
        raise ConfigError(
            f"MJX cannot simulate {model.xml}: it has no noslip solver (the model asks for {mj.opt.noslip_iterations} "
            "iterations, without which what is held slips). Take physics='mujoco'."
        )
    if model.sensors or model.scene or model.control != "direct":
        raise ConfigError(f"The mjx engine has no sensors, scenes or controllers, which {model.xml} needs.")
    return put
