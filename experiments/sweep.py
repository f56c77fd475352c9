r"""Pre-train on a data set, hand over, fine-tune in the simulator: every offline algorithm with every online one.

    python -m experiments.sweep --task=hopper-medium-replay --offline=smac,td3_bc --online=sac --seeds=4 \
        --config=experiments/configs/quickstart.py

Any field of the configuration can be overridden, e.g. --config.smac.kappa=20 --config.finetune.num_steps=50000.

Results land under --results: the configuration as run and where it ran (provenance.json), metrics as they come
(metrics.jsonl), learning curves (curves/), actor-critics at the hand-over and at the end (checkpoints/), and at the
end a table (table.md, table.csv) and a figure (transfer.png, transfer.pdf).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from absl import flags
from ml_collections import config_flags

import smac_jax
from experiments.configs.base import online_section
from experiments.setup import run, set_up
from experiments.transfer import describe, log, report, task_of, transfer_curve
from smac_jax.algorithms import make_offline, make_online
from smac_jax.analysis.curves import TransferCurve
from smac_jax.data.tasks import TASKS
from smac_jax.train.checkpoint import save_actor_critic
from smac_jax.train.logger import MetricLogger, write_provenance
from smac_jax.train.progress import Progress

FLAGS = flags.FLAGS
flags.DEFINE_string(
    "task", "hopper-medium-replay", "The data: the name of an embedded set, or the path of a D4RL .hdf5 file."
)
flags.DEFINE_string("env", None, "The environment; default: the one that the data set names.")
flags.DEFINE_enum("physics", "auto", ["auto", "mujoco", "mjx"], "Engine; auto is mujoco on the CPU and mjx elsewhere.")
flags.DEFINE_enum("version", "v4", ["v4", "v5"], "Version of the task; v4 is D4RL's.")
flags.DEFINE_list("offline", ["smac", "td3_bc"], "Offline algorithms.")
flags.DEFINE_list("online", ["sac"], "Online algorithms.")
flags.DEFINE_integer("seeds", 4, "How many seeds, trained side by side.", lower_bound=1)
flags.DEFINE_integer("first_seed", 0, "Number of the first seed.", lower_bound=0)
flags.DEFINE_bool(
    "control", True, "Also go on training offline with no hand-over: how much of a dip is the hand-over's?"
)
flags.DEFINE_string("results", None, "Folder for what comes out; default: results/TASK-DATE-TIME.")
config_flags.DEFINE_config_file("config", "experiments/configs/base.py", "Configuration file.")


def main(argv: Sequence[str]) -> int:
    """Runs every pair, then writes the table and the figure."""
    del argv
    set_up()
    config = FLAGS.config
    # everything that can be wrong is looked at before anything is trained
    offline = {name: make_offline(name, config.get(name)).config for name in FLAGS.offline}
    online = {name: make_online(name, config.get(online_section(name))).config for name in FLAGS.online}
    data = smac_jax.load_dataset(FLAGS.task)
    task = task_of(data, FLAGS.env)
    env = smac_jax.make_env(task, physics=FLAGS.physics, version=FLAGS.version)
    folder = Path(FLAGS.results or f"results/{data.name}-{time.strftime('%Y%m%d-%H%M%S')}")
    set_aside(folder)
    logger = MetricLogger(folder)
    flags_as_run = {name: FLAGS[name].value for name in ("task", "offline", "online", "seeds", "first_seed", "control")}
    seeds = range(FLAGS.first_seed, FLAGS.first_seed + FLAGS.seeds)
    provenance = write_provenance(folder, data=describe(data), seeds=seeds, flags=flags_as_run, config=config.to_dict())
    print(f"{data.summary()}\nresults in {folder}")

    started = time.monotonic()
    curves: list[TransferCurve] = []
    with Progress() as bar:
        shared: dict[str, Any] = {
            "env": env,
            "progress": bar,
            "seeds": seeds,
            "episode_length": TASKS[task].episode_length,
        }
        for offline_name, offline_config in offline.items():
            settings = config.pretrain.to_dict()
            off = smac_jax.pretrain(offline_name, data, config=offline_config, **settings, **shared)
            log(logger, offline_name, off)
            save_actor_critic(folder / "checkpoints" / f"{offline_name}-handover", off.actor_critic)
            control = None
            if FLAGS.control:
                settings |= {"num_updates": config.finetune.num_steps, "eval_every": config.finetune.eval_every}
                control = smac_jax.pretrain(offline_name, data, resume=off, **settings, **shared)
                log(logger, f"{offline_name} control", control)
            for online_name, online_config in online.items():
                settings = config.finetune.to_dict()
                on = smac_jax.finetune(
                    online_name, off.actor_critic, data=data, config=online_config, **settings, **shared
                )
                log(logger, f"{offline_name} to {online_name}", on)
                save_actor_critic(folder / "checkpoints" / f"{offline_name}-{online_name}", on.actor_critic)
                curves.append(
                    transfer_curve(task, offline_name, off, online_name, on, config.finetune.warm_start, control)
                )
                curves[-1].to_json(folder / "curves" / f"{offline_name}_{online_name}.json")
    report(folder, curves, data, provenance)
    print(f"{time.monotonic() - started:.0f} s. Table, figure, curves and checkpoints: {folder}")
    return 0


def set_aside(folder: Path) -> None:
    """Renames a folder that holds an earlier run, so that a new one neither mixes with it nor loses it."""
    if folder.is_dir() and any(folder.iterdir()):
        earlier = folder.with_name(f"{folder.name}-before-{time.strftime('%Y%m%d-%H%M%S')}")
        folder.rename(earlier)
        print(f"{folder} held an earlier run, which is now in {earlier}")


if __name__ == "__main__":
    run(main)
