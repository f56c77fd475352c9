"""A small run in a separate process, for tests that kill it: pre-training, transfer, fine-tuning.

    python survivor.py FOLDER [KILL_AT]

It prints "at work" when training begins, and writes checksums of all results to FOLDER/result.json. With KILL_AT it
kills itself at that operation on a file in FOLDER, so that about half of the kills are within a save.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

import jax
import numpy as np

sys.path.append(str(Path(__file__).parents[1]))  # it runs as a program
from small_data import noise_of_hopper

import smac_jax
from smac_jax.runs.folder import RunFolder
from smac_jax.runs.interrupts import Interrupted, Interrupts
from smac_jax.runs.snapshots import checksum
from smac_jax.train import plan

OPERATIONS = ("open", "os.rename", "os.mkdir", "os.remove", "os.rmdir", "shutil.rmtree")
SEEDS = (0, 3)


def pretrain(run: RunFolder | None = None, env=None, num_updates=40, **changes):
    """Pre-trains in four chunks of ten updates."""
    config = {"network": {"actor_hidden": (16,), "critic_hidden": (16,)}}
    settings = {"seeds": SEEDS, "eval_every": 20, "eval_episodes": 1, "episode_length": 20} | changes
    return smac_jax.pretrain(
        "td3_bc",
        noise_of_hopper(),
        num_updates=num_updates,
        config=config,
        env=env,
        folder=run,
        progress=False,
        **settings,
    )


def finetune(off, run: RunFolder | None = None, env=None, **changes):
    """Fine-tunes with three chunks of warm start and three chunks with updates."""
    settings = {"seeds": SEEDS, "eval_every": 20, "eval_episodes": 1, "episode_length": 20} | changes
    return smac_jax.finetune(
        "sac",
        off.actor_critic,
        env,
        noise_of_hopper(),
        num_steps=30,
        warm_start=30,
        config={"batch_size": 16},
        folder=run,
        progress=False,
        **settings,
    )


def train(folder: Path | None, interrupts: Interrupts | None = None, **changes):
    """Runs both phases in separate folders below ``folder``, and saves after every chunk. None saves nothing."""
    env = smac_jax.make_env("hopper", physics="mujoco")
    if folder is None:
        off = pretrain(env=env, **changes)
        return off, finetune(off, env=env, **changes)
    with RunFolder(folder / "off", save_every=0, interrupts=interrupts) as run:
        off = pretrain(run, env, **changes)
    with RunFolder(folder / "on", save_every=0, interrupts=interrupts) as run:
        return off, finetune(off, run, env, **changes)


def fingerprint(*results) -> dict[str, int]:
    """Returns checksums of all results."""
    found = {}
    for phase, result in zip(("off", "on"), results, strict=False):
        measured = {name: np.asarray(x) for name, x in result.metrics.items() if name != "phase"}
        whole = {"state": result.state} if phase == "off" else {"buffer": result.buffer}
        whole |= {"actor_critic": result.actor_critic, "metrics": measured, "returns": result.returns}
        found |= {f"{phase} {name}": checksum(tree) for name, tree in whole.items()}
    return found


def use_cache(folder: Path) -> None:
    """Caches compiled programs for all runs of a test."""
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
    jax.config.update("jax_persistent_cache_enable_xla_caches", "none")


def kill_at(number: int, folder: Path) -> None:
    """Kills this process at an operation on a file in ``folder``.

    With 0 the number of operations is printed at the end.
    """
    count = 0

    def hook(event: str, arguments: tuple) -> None:
        nonlocal count
        if event in OPERATIONS and str(arguments[0]).startswith(str(folder)):
            count += 1
            if count == number:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)
    if not number:
        import atexit

        atexit.register(lambda: print(f"{count} operations", flush=True))


def main() -> int:
    """See the module."""
    folder = Path(sys.argv[1]).absolute()
    use_cache(folder.parent / "cache")
    plan.CHUNK = 10
    if len(sys.argv) > 2:
        kill_at(int(sys.argv[2]), folder)
    print("at work", flush=True)
    try:
        with Interrupts() as interrupts:
            found = fingerprint(*train(folder, interrupts))
    except Interrupted as stopped:
        print(stopped, flush=True)
        return stopped.exit_code
    (folder / "result.json").write_text(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
