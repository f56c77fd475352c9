"""The networks in NumPy and in float64, for losses that do not use the code under test."""

from __future__ import annotations

import dataclasses

import jax
import numpy as np
from small_algorithms import ACTIONS

from smac_jax.algorithms.actor_critic import NetworkConfig
from smac_jax.types import Transition

BATCH, MEMBERS = 8, 3
NETWORK = NetworkConfig(actor_hidden=(8, 8), critic_hidden=(8, 8), critic_activation="tanh", num_critics=MEMBERS)
BOX_NETWORK = dataclasses.replace(NETWORK, distribution="box_gaussian", state_dependent_std=False)


def dense(x, layer):
    return x @ np.asarray(layer["kernel"], np.float64) + np.asarray(layer["bias"], np.float64)


def numpy_q(params, member, s, a):
    layers = jax.tree.map(lambda x: np.asarray(x)[member], params["params"]["MLP_0"])
    x = np.tanh(dense(np.concatenate([s, a], -1), layers["Dense_0"]))
    return dense(np.tanh(dense(x, layers["Dense_1"])), layers["Dense_2"])[:, 0]


def numpy_policy(params, s):
    p = params["params"]
    x = np.maximum(dense(s, p["trunk"]["Dense_0"]), 0)
    x = np.maximum(dense(x, p["trunk"]["Dense_1"]), 0)
    return dense(x, p["mean"]), np.clip(dense(x, p["log_std"]), -5, 2)


def numpy_sample(params, s, noise):
    mean, log_std = numpy_policy(params, s)
    u = mean + np.exp(log_std) * noise
    density = -0.5 * noise**2 - log_std - 0.5 * np.log(2 * np.pi) - np.log(1 - np.tanh(u) ** 2)
    return np.tanh(u), density.sum(-1)


def box_policy(params, s):
    p = params["params"]
    x = np.maximum(dense(s, p["trunk"]["Dense_0"]), 0)
    x = np.maximum(dense(x, p["trunk"]["Dense_1"]), 0)
    return np.tanh(dense(x, p["mean"])), np.broadcast_to(np.asarray(p["log_std"]), (len(s), ACTIONS))


def box_log_prob(params, s, a):
    mean, log_std = box_policy(params, s)
    z = (a - mean) / np.exp(log_std)
    return (-0.5 * z**2 - log_std - 0.5 * np.log(2 * np.pi)).sum(-1)


def smallest_q(params, s, a):
    return np.min([numpy_q(params, i, s, a) for i in range(MEMBERS)], 0)


def as_numpy(batch):
    return Transition(*(np.asarray(x, np.float64) for x in batch))
