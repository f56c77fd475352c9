"""Compiles the model of a task with MuJoCo, and finds in it what the task reads and sets."""

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
    """Returns a kind of friction cone by its name.

    Raises:
      ConfigError: the name is not known.
    """
    if name not in _CONES:
        raise ConfigError(f"cone must be one of {', '.join(_CONES)}; got {name!r}.")
    return _CONES[name]


def compile_model(model: Model, margins: str = "max") -> mujoco.MjModel:
    """Compiles a model with its sensors and adjustments, and with the contacts of the logged data.

    Args:
      model: what the task needs.
      margins: how the margins of two geoms combine; see :mod:`smac_jax.envs.physics.margins`.
    """
    # With a spec, MuJoCo's complaints about a model are Python warnings. Otherwise they go to a log file.
    spec = mujoco.MjSpec.from_file(str(model_path(model.xml, model.package)))
    for name, (kind, of) in model.sensors.items():
        if kind != "sensor":
            sensor, object_type = _SENSORS[kind]
            spec.add_sensor(name=_PREFIX + name, type=sensor, objtype=object_type, objname=of)
    if model.build is not None:
        model.build(spec)
    mj = compile_with_margins(spec, margins)
    if not model.native_ccd:
        for flag in ("mjDSBL_NATIVECCD", "mjDSBL_MULTICCD"):  # a release without a flag lacks the feature, too
            mj.opt.disableflags |= getattr(mujoco.mjtDisableBit, flag, 0)
    if model.adjust is not None:
        model.adjust(mj)
    return mj


def sensor_places(mj: mujoco.MjModel, model: Model) -> dict[str, Int[np.ndarray, " numbers"]]:
    """Returns the indices in ``sensordata`` of each sensor of the task."""
    places = {}
    for name, (kind, of) in model.sensors.items():
        sensor = mj.sensor(of if kind == "sensor" else _PREFIX + name)
        places[name] = sensor.adr[0] + np.arange(sensor.dim[0])
    return places


def scene_rows(mj: mujoco.MjModel, model: Model) -> list[tuple[str, int]]:
    """Returns the field and the row of each entry of ``Model.scene``."""
    return [(f, int((mj.site(of) if f.startswith("site") else mj.body(of)).id)) for f, of in model.scene]


def init_scene(mj: mujoco.MjModel, model: Model) -> Float[np.ndarray, " scene"]:
    """Returns the values of ``Model.scene`` in the model."""
    return np.concatenate([getattr(mj, field)[row] for field, row in scene_rows(mj, model)] or [[]])


def init_qpos(mj: mujoco.MjModel, model: Model) -> Float[np.ndarray, " qpos"]:
    """Returns the first joint positions, in float32."""
    return np.asarray(mj.qpos0 if model.init_qpos is None else model.init_qpos, np.float32)


def control_numbers(mj: mujoco.MjModel, model: Model) -> tuple[int, float, Float[np.ndarray, "motor 4"]]:
    """Returns how commands become motor commands: the kind of control, its gain, and four numbers for each motor.

    The four numbers are called a, b, c and d. Kind 0 uses commands unchanged. Kind 1 computes
    ``a + clip(command, -1, 1) * b``. Kind 2 is :class:`Velocities` with the bounds ``a, b`` of the velocities and
    ``c, d`` of the positions.
    """
    control = model.control
    if isinstance(control, Velocities):
        return 2, control.gain, np.concatenate([control.velocities, control.positions], -1, dtype=np.float64)
    low, high = mj.actuator_ctrlrange.T
    # computed as in Gymnasium's Adroit, so that they are equal to the last bit
    center, half = np.mean(mj.actuator_ctrlrange, axis=1), 0.5 * (high - low)
    return int(control == "centered"), 1.0, np.stack([center, half, 0 * half, 0 * half], -1)
