"""MuJoCo's physics as a JAX program (MJX), in float32, for GPU and TPU.

From the same state and with the same actions, positions differ from those of the C engine by 4e-7 (hopper), 3e-6
(walker2d) and 4e-6 (halfcheetah) after 10 environment steps. The half cheetah is chaotic, so its trajectories diverge
after a few hundred steps. Returns of trained policies are equal.

**Ant.** The model has pyramidal friction cones. For a contact between a plane and a capsule, MJX's frame then differs
from that of the C engine (issue 2774 of google-deepmind/mujoco), and so do the tangential forces: positions differ by
0.16 after 10 steps. With ``cone="elliptic"`` friction does not depend on the frame, and MJX agrees with *the C engine
with elliptic cones* (3e-5), but that is not Gymnasium's ant either. Both approximate it; only the C engine reproduces
the ant of the data.
"""

from __future__ import annotations

from functools import partial
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
from smac_jax.envs.physics.origin import from_origin, if_finite, to_origin
from smac_jax.errors import ConfigError
from smac_jax.types import Array

EXACT_PRODUCTS = partial(jax.default_matmul_precision, "highest")
"""Accelerators round the operands of float32 products by default, to TF32 or bfloat16. The products of physics are
tiny, so that full precision costs nothing, and rounded they move a hopper by 2e-3 to 3.5e-3 in ten steps."""


class MjxState(NamedTuple):
    """The state beyond positions and velocities. The rest of `mjx.Data` follows from these.

    Attributes:
      warmstart: the last accelerations of the solver.
      body_offset: the position of the tracked body in the last physics step, minus the position of its free joint,
        which it lags after a Runge-Kutta step. The difference is stored because it stays precise far from the origin.
    """

    warmstart: Float[Array, " qvel"]
    body_offset: Float[Array, " 3"]


class MjxEngine:
    """MJX with its implementation "jax".

    Args:
      model: what to simulate and what to report.
      iterations: the number of iterations of the constraint solver. The models request up to 100. With 4, which are 2
        to 4 times faster on a CPU, trained policies keep their returns (9312 of 9312, 3624 of 3625). With 1 they do not
        (388 of 5885).
      ls_iterations: the number of iterations of the solver's line search.
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
        """Returns the physics in a given state."""
        del scene  # `_put_model` refuses models with a scene
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
        """Returns the physics in a given state, with any leading axes. This engine computes in float32."""
        del scene
        start = self.start
        for _ in qpos.shape[:-1]:
            start = jax.vmap(start)
        return start(jnp.asarray(qpos, jnp.float32), jnp.asarray(qvel, jnp.float32))

    def step(self, physics: Physics, command: Float[Array, " command"]) -> Physics:
        """Returns the physics one environment step later."""
        local, qvel = to_origin(self._model, physics)
        # MJX computes in JAX's default precision, which is 64 bits if they are enabled. Inputs and outputs are float32.
        inputs = {"qpos": local, "qvel": qvel, "qacc_warmstart": physics.raw.warmstart, "ctrl": command}
        precise = {name: x.astype(jnp.result_type(float)) for name, x in inputs.items()}
        with EXACT_PRODUCTS():
            data = mjx.make_data(self._mjx, impl="jax").replace(**precise)
            data = jax.lax.fori_loop(0, self._model.frame_skip, lambda _, data: mjx.step(self._mjx, data), data)
            if self._model.contact_forces:
                data = mjx.rne_postconstraint(self._mjx, data)

        change = data.qpos - local
        extras = {}
        body_offset = physics.raw.body_offset
        if self._body is not None:
            extras["body_change"] = data.xpos[self._body] - (local[:3] + body_offset)
            body_offset = data.xpos[self._body] - data.qpos[:3]
        if self._model.contact_forces:
            extras["cfrc_ext"] = data._impl.cfrc_ext  # MJX documents this place
        after = Physics(
            qpos=from_origin(self._model, physics, data.qpos, change),
            qvel=data.qvel,
            qpos_change=change,
            diverged=jnp.zeros((), bool),
            extras=extras,
            raw=MjxState(data.qacc_warmstart, body_offset),
            memory=physics.memory,
        )
        after = jax.tree.map(lambda new, old: new.astype(old.dtype), after, physics)
        return if_finite(after, self._diverged(physics))

    def _diverged(self, before: Physics) -> Physics:
        """Returns the physics after a step that diverged, in which nothing moved."""
        return before._replace(
            qpos_change=jnp.zeros_like(before.qpos_change),
            diverged=jnp.ones((), bool),
            extras=jax.tree.map(jnp.zeros_like, before.extras),
        )


def _put_model(mj: mujoco.MjModel, model: Model) -> mjx.Model:
    """Puts a model on the device.

    Raises:
      ConfigError: MJX lacks something that the model needs. It cannot simulate the hands and the kitchen: pen, door and
        hammer have contacts between cylinders and boxes, and the kitchen between cylinders and meshes, which
        `mjx.put_model` refuses. It accepts relocate, but ignores the 20 noslip iterations that hold the ball in the
        hand.
    """
    try:
        put = mjx.put_model(mj, impl="jax")
    except NotImplementedError as error:
        raise ConfigError(f"MJX cannot simulate {model.xml}: {error} Use physics='mujoco'.") from error
    if mj.opt.noslip_iterations:
        raise ConfigError(
            f"MJX cannot simulate {model.xml}: it has no noslip solver (the model needs {mj.opt.noslip_iterations} "
            "iterations to hold objects). Use physics='mujoco'."
        )
    if model.sensors or model.scene or model.control != "direct":
        raise ConfigError(
            f"The mjx engine has no sensors, scenes or controllers, which {model.xml} needs. Use physics='mujoco'."
        )
    return put
