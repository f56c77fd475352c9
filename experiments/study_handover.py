r"""Does the hand-over hurt? SMAC and its rivals, from several checkpoints, each beside a control that goes on offline.

    python -m experiments.study_handover --group=main --seeds=4 --results=results/handover/hopper-medium-replay

Each variant is pre-trained to the first checkpoint, handed to every online algorithm there, trained on, handed over
again at the next. Going on with pre-training from a checkpoint is its control. Groups of variants: `main` compares the
algorithms, the others change one thing of SMAC at a time. A variant whose curves are there already is not run again.
A name in --only is one of its group's, for instance --group=kappa --only="kappa 50".
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from absl import flags
from ml_collections import ConfigDict

import smac_jax
from smac_jax.envs import ENGINES
from smac_jax.errors import ConfigError
from smac_jax.sweep.program import define_config, results_folder, run, set_up

if TYPE_CHECKING:
    from smac_jax.runs.logger import MetricLogger
    from smac_jax.train.online import FinetuneResult

# Each variant: the algorithm, and what differs from the configuration file.
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "smac": ("smac", {}),
    "smac, policy score": ("smac", {"score": "policy"}),
    "td3_bc": ("td3_bc", {}),
    "iql": ("iql", {}),
    "cql": ("cql", {}),
    **{f"smac, kappa {kappa:g}": ("smac", {"kappa": kappa}) for kappa in (0.0, 0.5, 50.0)},
    "smac, residual held": ("smac", {"kappa_adaptation": "residual", "kappa_target": 0.3}),
    "smac, gradient ratio held": ("smac", {"kappa_adaptation": "gradient_ratio", "kappa_target": 1.0}),
    "smac, kappa halved": ("smac", {"kappa_adaptation": "decay", "kappa_half_life": 2_000.0}),
    "smac, literal sign": ("smac", {"score_sign": "literal", "alpha_parameterization": "free"}),
    "smac, flipped sign": ("smac", {"score_sign": "literal"}),
    "smac, no return condition": ("smac", {"score_model": {"condition_on_return": False}}),
    "smac, policy actions": ("smac", {"uniform_fraction": 0.0}),
    "smac, uniform actions": ("smac", {"uniform_fraction": 1.0}),
    "smac, penalty on a quarter": ("smac", {"penalty_fraction": 0.25}),
    "smac, 2 critics": ("smac", {"network": {"num_critics": 2}}),
    "smac, layer norm": ("smac", {"network": {"critic_layer_norm": True}}),
    "smac, muon": ("smac", {"optimizer": "muon"}),
    "td3_bc, smac's critics": (
        "td3_bc",
        {"network": {"num_critics": 10, "critic_activation": "tanh"}, "batch_size": 64},
    ),
    "smac, tuned temperature": ("smac", {"temperature_learning_rate": 3e-4}),
    "smac, free alpha": ("smac", {"alpha_floor": 0.0, "temperature_learning_rate": 3e-4}),
    "smac, alpha 1": ("smac", {"alpha_floor": 1.0, "initial_temperature": 1.0, "kappa": 0.5}),
}
# What tables and figures compare: variants under the names that they have there.
GROUPS: dict[str, dict[str, str]] = {
    "main": {
        "smac": "smac",
        "smac (policy score)": "smac, policy score",
        "td3_bc": "td3_bc",
        "iql": "iql",
        "cql": "cql",
    },
    "kappa": {
        "kappa 0": "smac, kappa 0",
        "kappa 0.5": "smac, kappa 0.5",
        "kappa 5": "smac",
        "kappa 50": "smac, kappa 50",
        "residual held at 0.3": "smac, residual held",
        "gradient ratio held at 1": "smac, gradient ratio held",
    },
    "schedule": {
        "kappa 0": "smac, kappa 0",
        "kappa 0.5": "smac, kappa 0.5",
        "kappa 5": "smac",
        "kappa 5 halving every 2000": "smac, kappa halved",
    },
    "score": {
        "smac": "smac",
        "literal sign + free alpha": "smac, literal sign",
        "literal sign + alpha > 0.1": "smac, flipped sign",
        "no return condition": "smac, no return condition",
    },
    "actions": {
        "half": "smac",
        "policy's actions": "smac, policy actions",
        "uniform actions": "smac, uniform actions",
        "half on a quarter of the rows": "smac, penalty on a quarter",
    },
    "critics": {
        "10 critics": "smac",
        "2 critics": "smac, 2 critics",
        "layer norm": "smac, layer norm",
        "muon": "smac, muon",
        "td3_bc with smac's critics": "td3_bc, smac's critics",
    },
    "temperature": {
        "alpha > 0.1 held": "smac",
        "alpha > 0.1 + tuned temperature": "smac, tuned temperature",
        "alpha > 0 + tuned temperature": "smac, free alpha",
        "alpha > 1 held": "smac, alpha 1",
    },
}

FLAGS = flags.FLAGS
flags.DEFINE_string("task", "hopper-medium-replay", "The data: an embedded set, or the path of a D4RL .hdf5 file.")
flags.DEFINE_string("env", None, "The environment; default: the one that the data set names.")
flags.DEFINE_enum("physics", "auto", ENGINES, "Engine; auto is mujoco on the CPU and mjx elsewhere.")
flags.DEFINE_enum("group", "main", list(GROUPS), "Which variants.")
flags.DEFINE_list("only", [], "Of the group, only these variants.")
flags.DEFINE_list("online", ["sac", "td3"], "Online algorithms.")
flags.DEFINE_list("checkpoints", ["12000", "16000"], "Updates after which to hand over, in increasing order.")
flags.DEFINE_integer("seeds", 4, "How many seeds, trained side by side.", lower_bound=1)
flags.DEFINE_integer("first_seed", 0, "Number of the first seed.", lower_bound=0)
flags.DEFINE_string("results", None, "Folder for what comes out; default: results/handover/TASK.")
define_config(str(Path(__file__).parent / "configs" / "study.py"))


def main(argv: Sequence[str]) -> int:
    """Runs what is not there yet of a group, then writes a table and a figure of each checkpoint."""
    del argv
    set_up()
    from smac_jax.algorithms import make_offline, make_online
    from smac_jax.analysis.curves import TransferCurve
    from smac_jax.presets.base import as_run, online_section
    from smac_jax.runs.logger import MetricLogger, to_json, write_provenance
    from smac_jax.sweep.transfer import describe, environment_of, report, scale_of
    from smac_jax.tasks import TASKS
    from smac_jax.train.progress import Progress

    config = FLAGS.config
    variants = chosen_variants()
    checkpoints = parse_checkpoints(FLAGS.checkpoints)
    # everything that can be wrong is looked at before anything is trained
    built = {v: make_offline(VARIANTS[v][0], merged(config, *VARIANTS[v])) for v in variants.values()}
    online = {name: make_online(name, config.get(online_section(name))).config for name in FLAGS.online}
    data = smac_jax.load_dataset(FLAGS.task)
    task = environment_of(data, FLAGS.env)
    env = smac_jax.make_env(task, physics=FLAGS.physics)
    folder = results_folder(FLAGS.results or f"results/handover/{data.name}")
    seeds = range(FLAGS.first_seed, FLAGS.first_seed + FLAGS.seeds)
    settings = {name: config[name].to_dict() for name in ("pretrain", "finetune")} | {"seeds": list(seeds)}
    onward = {f"online {name}": c for name, c in online.items()}
    world = {"data": describe(data), "fingerprint": data.fingerprint(), "task": task, "physics": FLAGS.physics}
    records = {v: to_json({**settings, **world, "offline": built[v].config, **onward}) for v in built}
    for v, algorithm in built.items():
        configurations = {"offline": algorithm.config, **onward}
        as_built = {name: to_json(type(config_of)()) for name, config_of in configurations.items()}
        records[v] |= earlier_record(folder, v, records[v], as_built)
    print(f"{data.summary()}\nresults in {folder}")

    started = time.monotonic()
    with Progress() as bar:
        shared = {"env": env, "progress": bar, "seeds": seeds, "episode_length": TASKS[task].episode_length}
        for variant, algorithm in built.items():
            wanted = [c for c in checkpoints if not all(curve_path(folder, variant, o, c).exists() for o in online)]
            if wanted:
                earlier = trained_by(folder, [variant])
                write_provenance(variant_path(folder, variant), **records[variant], trained_before=earlier)
                logger = MetricLogger(folder / "metrics" / file_name(variant))
                needed = [c for c in checkpoints if c <= wanted[-1]]
                study_variant(folder, variant, algorithm, online, needed, data, config, logger, shared, task)
    for checkpoint in checkpoints:
        curves = [
            dataclasses.replace(TransferCurve.from_json(curve_path(folder, variant, o, checkpoint)), offline=label)
            for label, variant in variants.items()
            for o in online
        ]
        configs = [to_json(algorithm.config) for algorithm in built.values()]
        provenance = write_provenance(
            folder / FLAGS.group,
            **settings,
            data=describe(data),
            scale=scale_of(configs, [checkpoint], [config.finetune.num_steps]),
            trained_by=trained_by(folder, variants.values()),
            config=as_run(config, sorted({VARIANTS[v][0] for v in built}), FLAGS.online),
        )
        title = f"{data.name}, handed over after {checkpoint:,} updates"
        report(folder / FLAGS.group, curves, data, provenance, suffix=f"-{checkpoint}", title=title)
    print(f"{time.monotonic() - started:.0f} s. Tables and figures: {folder / FLAGS.group}")
    return 0


def study_variant(
    folder: Path,
    name: str,
    algorithm: Any,
    online: dict[str, Any],
    checkpoints: Sequence[int],
    data: smac_jax.Dataset,
    config: ConfigDict,
    logger: MetricLogger,
    shared: dict[str, Any],
    task: str,
) -> None:
    """Pre-trains one variant through all checkpoints and hands it over at each, where its curve is not there yet."""
    from smac_jax.sweep.transfer import log, transfer_curve

    num_steps, every = config.finetune.num_steps, config.finetune.eval_every
    settings = {name: config.pretrain[name] for name in ("eval_every", "eval_episodes", "final_episodes")}
    off, before = None, 0
    for checkpoint in checkpoints:
        earlier = off
        off = smac_jax.pretrain(
            algorithm.name,
            data,
            config=algorithm.config,
            num_updates=checkpoint - before,
            resume=earlier,
            **settings,
            **shared,
        )
        log(logger, f"{name} to {checkpoint}", off)
        if earlier is not None:
            off = joined(earlier, off)
        before = checkpoint
        left = [o for o in online if not curve_path(folder, name, o, checkpoint).exists()]
        if not left:  # trained through again, for a later one
            continue
        control = smac_jax.pretrain(
            algorithm.name,
            data,
            resume=off,
            num_updates=num_steps,
            **{**settings, "eval_every": every, "eval_episodes": config.finetune.eval_episodes},
            **shared,
        )
        log(logger, f"{name} at {checkpoint} control", control)
        for online_name in left:
            on: FinetuneResult = smac_jax.finetune(
                online_name,
                off.actor_critic,
                data=data,
                config=online[online_name],
                training_state=off.training_state,
                **config.finetune.to_dict(),
                **shared,
            )
            log(logger, f"{name} at {checkpoint} to {online_name}", on)
            curve = transfer_curve(task, name, off, online_name, on, config.finetune.warm_start, control)
            curve.to_json(curve_path(folder, name, online_name, checkpoint))


def joined(earlier: Any, later: Any) -> Any:
    """A resumed result with the evaluations of what it resumed from, the shared one once."""
    return dataclasses.replace(later, evaluations=earlier.evaluations.followed_by(later.evaluations))


def chosen_variants() -> dict[str, str]:
    """What --group compares, or of it --only.

    Raises:
      ConfigError: --only names one that the group does not have.
    """
    known = GROUPS[FLAGS.group]
    for name in FLAGS.only:
        if name not in known:
            raise ConfigError(f"--only={name}: the group {FLAGS.group} has {'; '.join(known)}.")
    return {label: variant for label, variant in known.items() if label in FLAGS.only or not FLAGS.only}


def completed(found: Any, default: Any) -> Any:
    """A configuration that was recorded, in the fields of today.

    Fields that have come since are at their defaults; fields that are gone are left out, since no variant of this study
    ever set one.
    """
    if not default or not isinstance(default, dict) or not isinstance(found, dict):
        return found
    return {name: completed(found[name], value) if name in found else value for name, value in default.items()}


def earlier_record(
    folder: Path, variant: str, record: dict[str, Any], as_built: dict[str, dict[str, Any]]
) -> dict[str, Any]:
    """What was written down of the online algorithms of curves that lie there already.

    Args:
      folder: of the results.
      variant: which.
      record: what its curves would be made with now.
      as_built: for each of the record's configurations, the defaults of its class.

    Raises:
      ConfigError: those curves were made with another configuration, other seeds or other data.
    """
    path = variant_path(folder, variant) / "provenance.json"
    if not path.exists():
        return {}
    found = json.loads(path.read_text(encoding="utf-8"))
    differing = [
        name
        for name, value in record.items()
        if name in found and completed(found[name], as_built.get(name, {})) != value
    ]
    if differing:
        raise ConfigError(
            f"{path}: '{variant}' was run with another {', '.join(differing)}. Give another --results, or move that "
            f"folder away."
        )
    return {name: value for name, value in found.items() if name.startswith("online ")}


def trained_by(folder: Path, variants: Iterable[str]) -> list[str]:
    """Commit, device and day of whatever trained the curves of variants."""
    from smac_jax.sweep.transfer import made_by

    found: list[str] = []
    for variant in variants:
        path = variant_path(folder, variant) / "provenance.json"
        if path.exists():
            record = json.loads(path.read_text(encoding="utf-8"))
            found += [*record.get("trained_before", []), made_by(record)]
    return list(dict.fromkeys(found))


def parse_checkpoints(texts: Sequence[str]) -> list[int]:
    """Increasing positive numbers.

    Raises:
      ConfigError: they are not.
    """
    try:
        numbers = [int(text.replace("_", "")) for text in texts]
    except ValueError:
        numbers = []
    if not numbers or numbers != sorted(set(numbers)) or numbers[0] < 1:
        raise ConfigError(f"--checkpoints={','.join(texts)}: must be increasing whole numbers, at least 1.")
    return numbers


def merged(config: ConfigDict, algorithm: str, changes: dict[str, Any]) -> dict[str, Any]:
    """An algorithm's section of the configuration, with a variant's changes."""
    section = ConfigDict(config[algorithm].to_dict())
    section.update(changes)
    return section.to_dict()


def file_name(variant: str) -> str:
    """A variant's name as part of a path."""
    kept = "".join(c if c.isalnum() or c in "._" else "-" for c in variant)
    return "-".join(part for part in kept.split("-") if part)


def curve_path(folder: Path, variant: str, online: str, checkpoint: int) -> Path:
    """Where a pair's curve lies."""
    return variant_path(folder, variant) / f"{online}-{checkpoint}.json"


def variant_path(folder: Path, variant: str) -> Path:
    """Where a variant's curves lie, with their provenance."""
    return folder / "curves" / file_name(variant)


if __name__ == "__main__":
    run(main)
