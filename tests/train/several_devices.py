"""One run on 1 and on several simulated devices, in a separate process, because JAX must know them before it starts.

    python several_devices.py NUMBER...

It prints the differences between the results on several devices and those on one, as JSON.
"""

from __future__ import annotations

import json
import os
import sys

os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=8"

import jax
import numpy as np
import survivor
from small_data import noise_of_hopper

import smac_jax
from smac_jax.algorithms import make_offline
from smac_jax.train.offline import make_chunk
from smac_jax.train.sharding import SeedLayout

SEEDS = (0, 3, 4, 7, 9)  # not a multiple of 2 or 8
SEVERAL = tuple(int(number) for number in sys.argv[1:])


def furthest(a: object, b: object) -> float:
    """Returns the largest difference between two trees, relative for numbers above 1 and absolute below."""
    leaves = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    apart = [np.abs(np.asarray(x) - np.asarray(y)) / np.maximum(1, np.abs(np.asarray(x))) for x, y in leaves]
    return max(float(np.nanmax(x)) for x in apart if x.size)


def exchanged() -> list[str]:
    """The operations between devices in an update of several seeds on two devices, as it is compiled."""
    algorithm = make_offline("td3_bc", {"batch_size": 16, "network": {"actor_hidden": (16,), "critic_hidden": (16,)}})
    data = algorithm.prepare(noise_of_hopper())
    layout = SeedLayout.over(range(4), jax.devices()[:2])
    keys = layout.keys("init")
    state = layout.shard(jax.vmap(algorithm.init, (0, None))(keys, data))
    arguments = (
        state,
        layout.shard(np.full(4, -1, np.int32)),
        layout.replicate(np.int32(0)),
        keys,
        layout.replicate(data),
    )
    text = make_chunk(algorithm.phases[0], layout, 1e6, 10).lower(*arguments).compile().as_text()
    names = ("all-reduce", "all-gather", "all-to-all", "collective-permute", "reduce-scatter", "collective-broadcast")
    return [name for name in names if f" {name}(" in text or f" {name}-start(" in text]


def main() -> None:
    """See the module."""
    survivor.plan.CHUNK = 10
    env = smac_jax.make_env("hopper", physics="mujoco")
    results = {}
    own = SeedLayout.on_host
    for n in (1, *SEVERAL):
        # with two devices, policies are evaluated on another one, as those of a GPU are on the host
        SeedLayout.on_host = own if n != 2 else lambda self: SeedLayout.over(self.seeds, jax.devices()[7:])  # type: ignore[method-assign]
        where = {"seeds": SEEDS, "devices": jax.devices()[:n]}
        off = survivor.pretrain(**where)
        results[n] = off, survivor.finetune(off, env=env, **where)
    off, on = results[1]
    said: dict[str, object] = {}
    for n in SEVERAL:
        other_off, other_on = results[n]
        said[str(n)] = {
            "transferred": furthest(off.actor_critic, other_off.actor_critic),
            "fine-tuned": furthest(on.actor_critic, other_on.actor_critic),
            "returns": furthest(on.returns, other_on.returns),
            "observations": furthest(on.buffer.storage.observation, other_on.buffer.storage.observation),
            "seeds": len(other_on.returns),
        }
    apart = furthest(jax.tree.map(lambda x: x[0], on.actor_critic), jax.tree.map(lambda x: x[1], on.actor_critic))
    print(json.dumps(said | {"two seeds": apart, "exchanged": exchanged()}))


if __name__ == "__main__":
    main()
