"""A task's model as MuJoCo has compiled it, and where in it lies what the task reads and sets."""

from __future__ import annotations

import mujoco
import numpy as np
from jaxtyping import Float, Int

from smac_jax.envs.base import Model, Velocities, model_path
from smac_jax.envs.physics.margins import compile_with_margins
from smac_jax.errors import ConfigError

_PREFIX = "smac_jax "
_SENSORS = {
    "site": (mujoco.mjtSensor.mjSENS_FRAMEPOS, mujoco.mjtObj.mjOBJ_SITE),
    "body": (mujoco.mjtSensor.mjSENS_FRAMEPOS, mujoco.mjtObj.mjOBJ_XBODY),
    "orientation": (mujoco.mjtSensor.mjSENS_FRAMEQUAT, mujoco.mjtObj.mjOBJ_XBODY),
}
_CONES = {"pyramidal": mujoco.mjtCone.mjCONE_PYRAMIDAL, "elliptic": mujoco.mjtCone.mjCONE_ELLIPTIC}


def cone_of(name: str) -> mujoco.mjtCone:
    """A kind of friction cone by name.

    Raises:
      ConfigError: another name.
    """
    if name not in _CONES:
        raise ConfigError(f"cone must be one of {', '.join(_CONES)}; got {name!r}.")
    return _CONES[name]


def compile_model(model: Model, margins: str = "max") -> mujoco.MjModel:
    """The model with its sensors, adjusted as the task asks, in the world that its data were logged in.

    Args:
      model: what the task needs.
      margins: how the margins of two geoms combine; see :mod:`smac_jax.envs.physics.margins`.
    """
    # Through a spec, because from there MuJoCo's complaints about a model are Python warnings, not a log file.
    spec = mujoco.MjSpec.from_file(str(model_path(model.xml, model.package)))
    for name, (kind, of) in model.sensors.items():
        if kind != "sensor":
            sensor, thing = _SENSORS[kind]
            spec.add_sensor(name=_PREFIX + name, type=sensor, objtype=thing, objname=of)
    if model.build is not None:
        model.build(spec)
    mj = compile_with_margins(spec, margins)
    if not model.native_ccd:
        for flag in ("mjDSBL_NATIVECCD", "mjDSBL_MULTICCD"):  # what an older MuJoCo does not have, it does not do
            mj.opt.disableflags |= getattr(mujoco.mjtDisableBit, flag, 0)
    if model.adjust is not None:
        model.adjust(mj)
    return mj


def sensor_places(mj: mujoco.MjModel, model: Model) -> dict[str, Int[np.ndarray, " numbers"]]:
    """For each sensor of the task the indices of its numbers in ``sensordata``."""
    places = {}
    for name, (kind, of) in model.sensors.items():
        sensor = mj.sensor(of if kind == "sensor" else _PREFIX + name)
        places[name] = sensor.adr[0] + np.arange(sensor.dim[0])
    return places


def scene_rows(mj: mujoco.MjModel, model: Model) -> list[tuple[str, int]]:
    """For each entry of ``Model.scene`` its field, and the row there."""
    return [(f, int((mj.site(of) if f.startswith("site") else mj.body(of)).id)) for f, of in model.scene]


def init_scene(mj: mujoco.MjModel, model: Model) -> Float[np.ndarray, " scene"]:
    """The model's own values of ``Model.scene``."""
    return np.concatenate([getattr(mj, field)[row] for field, row in scene_rows(mj, model)] or [[]])


def init_qpos(mj: mujoco.MjModel, model: Model) -> Float[np.ndarray, " qpos"]:
    """Joint positions to start from, in float32."""
    return np.asarray(mj.qpos0 if model.init_qpos is None else model.init_qpos, np.float32)


def control_numbers(mj: mujoco.MjModel, model: Model) -> tuple[int, float, Float[np.ndarray, "motor 4"]]:
    """How commands become motor commands: the kind, its gain, and for each motor what it needs.

    Kind 0: as they are. 1: ``a + clip(command, -1, 1) * b``. 2: :class:`Velocities` of bounds ``a, b`` for positions
    between ``c`` and ``d``. The four columns are a, b, c and d.
    """
    control = model.control
    if isinstance(control, Velocities):
        return 2, control.gain, np.concatenate([control.velocities, control.positions], -1, dtype=np.float64)
    low, high = mj.actuator_ctrlrange.T
    # as Gymnasium's Adroit computes them, so that they are its numbers to the last bit
    centre, half = np.mean(mj.actuator_ctrlrange, axis=1), 0.5 * (high - low)
    return int(control == "centred"), 1.0, np.stack([centre, half, 0 * half, 0 * half], -1)
