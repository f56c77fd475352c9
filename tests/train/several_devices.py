"""One run on 1, 2 and 8 simulated devices, in a separate process, because JAX must know them before it starts.

It prints the differences between the results on several devices and those on one, as JSON.
"""

from __future__ import annotations

import json
import os

os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=8"

import jax
import numpy as np
import survivor

import smac_jax

SEEDS = (0, 3, 4, 7, 9)  # not a multiple of 2 or 8


def furthest(a: object, b: object) -> float:
    """Returns the largest difference between two trees, relative for numbers above 1 and absolute below."""
    leaves = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    apart = [np.abs(np.asarray(x) - np.asarray(y)) / np.maximum(1, np.abs(np.asarray(x))) for x, y in leaves]
    return max(float(np.nanmax(x)) for x in apart if x.size)


def main() -> None:
    """See the module."""
    survivor.plan.CHUNK = 10
    env = smac_jax.make_env("hopper", physics="mujoco")
    results = {}
    for n in (1, 2, 8):
        where = {"seeds": SEEDS, "devices": jax.devices()[:n]}
        off = survivor.pretrain(**where)
        results[n] = off, survivor.finetune(off, env=env, **where)
    off, on = results[1]
    said: dict[str, object] = {}
    for n in (2, 8):
        other_off, other_on = results[n]
        said[str(n)] = {
            "transferred": furthest(off.actor_critic, other_off.actor_critic),
            "fine-tuned": furthest(on.actor_critic, other_on.actor_critic),
            "returns": furthest(on.returns, other_on.returns),
            "observations": furthest(on.buffer.storage.observation, other_on.buffer.storage.observation),
            "seeds": len(other_on.returns),
        }
    apart = furthest(jax.tree.map(lambda x: x[0], on.actor_critic), jax.tree.map(lambda x: x[1], on.actor_critic))
    print(json.dumps(said | {"two seeds": apart}))


if __name__ == "__main__":
    main()
