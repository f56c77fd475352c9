"""MuJoCo's step for a batch of robots on a pool of threads, called from a Python callback of the compiled program."""

from __future__ import annotations

import copy
import os
import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor

import mujoco
import numpy as np
from jaxtyping import Float, Int32

SCENE_FIELDS = ("body_pos", "body_quat", "site_pos")
"""The fields of a model that a scene can set. ``native.cc`` refers to them by their index."""
_STATE = int(mujoco.mjtState.mjSTATE_QPOS | mujoco.mjtState.mjSTATE_QVEL | mujoco.mjtState.mjSTATE_WARMSTART)
_STATE_AND_CONTROL = _STATE | int(mujoco.mjtState.mjSTATE_CTRL)


class ThreadedStep:
    """Steps a batch of robots of one model. Each thread has an ``MjData`` of its own.

    Args:
      mj: the model.
      threads: how many threads share a batch.
      body: the index of the tracked body, or None.
      scene: for each number of the scene, the index of its field in :data:`SCENE_FIELDS` and its place there.
      reads: the indices in ``sensordata`` to report.
    """

    def __init__(
        self,
        mj: mujoco.MjModel,
        threads: int,
        body: int | None,
        scene: Int32[np.ndarray, "scene 2"],
        reads: Int32[np.ndarray, " reads"],
    ):
        self._mj, self._threads, self._body, self._reads = mj, threads, body, reads
        self._scene = [(SCENE_FIELDS[field], place) for field, place in scene]
        self._idle: deque[tuple[mujoco.MjModel, mujoco.MjData]] = deque()

    def __call__(
        self,
        given: Float[np.ndarray, "n given"],
        after: Float[np.ndarray, "n state"],
        read: Float[np.ndarray, "n read"],
        frame_skip: int,
    ) -> None:
        """Shares the rows among the threads, of which the calling thread is one.

        Args:
          given: the state and the motor commands of each robot.
          after: the state, the position of the tracked body and the scene of each robot. It is overwritten by those
            after the step; a state that cannot be computed becomes NaN.
          read: is overwritten by the contact forces, as far as it has room for them, and the sensors.
          frame_skip: the number of physics steps; 0 computes the sensors without a step.
        """
        n = len(given)
        threads = min(self._threads, n)
        if threads <= 1:
            return self._work(deque([(0, n)]), given, after, read, frame_skip)
        # Small portions balance the load, because contacts make some rows several times slower than others.
        portion = max(1, n // (4 * threads))
        portions = deque((i, min(i + portion, n)) for i in range(0, n, portion))
        helpers = [_pool().submit(self._work, portions, given, after, read, frame_skip) for _ in range(threads - 1)]
        self._work(portions, given, after, read, frame_skip)
        for helper in helpers:
            helper.result()
        return None

    def _work(
        self,
        portions: deque[tuple[int, int]],
        given: Float[np.ndarray, "n given"],
        after: Float[np.ndarray, "n state"],
        read: Float[np.ndarray, "n read"],
        frame_skip: int,
    ) -> None:
        body, size = self._body, self._mj.nq + 2 * self._mj.nv
        forces = read.shape[1] - len(self._reads)
        model, data = self._take()
        while True:
            try:
                first, end = portions.popleft()
            except IndexError:
                break
            for i in range(first, end):
                try:
                    for (field, place), value in zip(
                        self._scene, after[i, after.shape[1] - len(self._scene) :], strict=True
                    ):
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
                except mujoco.FatalError:  # e.g. no memory for contacts: only this robot is lost
                    after[i] = np.nan
                    model, data = self._new()
        self._idle.append((model, data))

    def _take(self) -> tuple[mujoco.MjModel, mujoco.MjData]:
        try:
            return self._idle.pop()
        except IndexError:
            return self._new()

    def _new(self) -> tuple[mujoco.MjModel, mujoco.MjData]:
        # A thread that changes the scene needs a model of its own.
        model = copy.copy(self._mj) if self._scene else self._mj
        data = mujoco.MjData(model)
        # MuJoCo writes only the first warning of a kind to MUJOCO_LOG.TXT. With a count of 1 it writes none.
        data.warning.number[:] = 1
        return model, data


def available_cores() -> int:
    """Returns how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


_shared_pool: ThreadPoolExecutor | None = None
_shared_pool_lock = threading.Lock()


def _pool() -> ThreadPoolExecutor:
    """Returns the pool of threads that all engines of this process share."""
    global _shared_pool
    with _shared_pool_lock:
        if _shared_pool is None:
            _shared_pool = ThreadPoolExecutor(max(1, available_cores() - 1), thread_name_prefix="smac_jax-mujoco")
        return _shared_pool
