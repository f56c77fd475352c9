"""One block of a sweep, from beginning to end, or from where an earlier process left it."""

from __future__ import annotations

import dataclasses
import datetime
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from experiments.grid import Block
from experiments.transfer import made_by, transfer_curve
from smac_jax.analysis.curves import TransferCurve
from smac_jax.errors import CheckpointError, DatasetError
from smac_jax.files import write_json
from smac_jax.train.interrupts import Interrupts
from smac_jax.train.logger import device_description, git_commit, to_json
from smac_jax.train.progress import Progress


@dataclasses.dataclass(frozen=True)
class Keeping:
    """How a block is kept on disk.

    Attributes:
      save_every: seconds between snapshots.
      keep: how many of the newest stay.
      policies: keep the policy of every evaluation.
      other_versions: go on from snapshots of other versions of JAX and the rest.
      wandb: the project to tell Weights & Biases of, or None.
    """

    save_every: float = 300.0
    keep: int = 2
    policies: bool = False
    other_versions: bool = False
    wandb: str | None = None


def run_block(block: Block, keeping: Keeping, progress: Progress | bool, interrupts: Interrupts | None = None) -> None:
    """Trains what is left of a block.

    Raises:
      Interrupted: asked to stop; all is saved.
      CheckpointError: its folder holds something else, is in use, or cannot be written; or its data have changed since
        the sweep began.
    """
    if already_done(block):
        return
    import smac_jax
    from smac_jax.data.tasks import time_limit
    from smac_jax.train.checkpoint import save_actor_critic
    from smac_jax.train.run_folder import RunFolder

    data = smac_jax.load_dataset(block.data)
    block = _with_data(block, data.fingerprint())
    env = smac_jax.make_env(block.task, physics=block.physics, version=block.version)
    shared: dict[str, Any] = {
        "env": env,
        "progress": progress,
        "seeds": block.seeds,
        "episode_length": time_limit(block.task, env),
    }

    def leg(name: str) -> RunFolder:
        if isinstance(progress, Progress):
            progress.run(name)
        return RunFolder(
            block.folder / name, f"{block.title} {name}", interrupts=interrupts, **dataclasses.asdict(keeping)
        )

    start, settings = block.offline, block.offline.schedule
    with leg("offline") as folder:
        _claim(block)
        off = smac_jax.pretrain(start.algorithm, data, config=start.config, folder=folder, **settings, **shared)
        save_actor_critic(folder.folder / "actor_critic", off.actor_critic, block.seeds)
    control = None
    if block.control:
        longest = max(block.online, key=lambda v: v.schedule["num_steps"]).schedule
        settings = settings | {"num_updates": longest["num_steps"], "eval_every": longest["eval_every"]}
        with leg("control") as folder:
            control = smac_jax.pretrain(start.algorithm, data, resume=off, folder=folder, **settings, **shared)
    for name, end in zip(block.legs[1 + block.control :], block.online, strict=True):
        with leg(name) as folder:
            on = smac_jax.finetune(
                end.algorithm,
                off.actor_critic,
                data=data,
                config=end.config,
                folder=folder,
                training_state=off.training_state,
                **end.schedule,
                **shared,
            )
            save_actor_critic(folder.folder / "actor_critic", on.actor_critic, block.seeds)
        curve = transfer_curve(block.task, start.label, off, end.label, on, end.schedule["warm_start"], control)
        curve.to_json(block.curve(end))


def _with_data(block: Block, fingerprint: str) -> Block:
    """The block of the data that were read.

    Raises:
      CheckpointError: these are not the data that the sweep began with, or that trained the block.
    """
    if block.fingerprint not in (None, fingerprint):
        raise CheckpointError(
            f"{block.data} has changed since this sweep began (fingerprint {block.fingerprint} then, {fingerprint} "
            "now). Nothing was trained on it. Bring the earlier file back, or give another --results."
        )
    block = dataclasses.replace(block, fingerprint=fingerprint)
    already_done(block)
    return block


def already_done(block: Block) -> bool:
    """Whether nothing is left to do.

    Raises:
      CheckpointError: its folder holds a block of another configuration, or of other data.
    """
    if (block.folder / "block.json").exists():
        found, now = _claimed(block), description(block)
        if (trained_on := fingerprint_of(block, found)) is not None:
            found = found | {"fingerprint": trained_on}
        differing = [name for name in now if found.get(name, now[name]) != now[name]]
        if differing == ["fingerprint"]:
            raise CheckpointError(
                f"{block.folder} holds results of other data: {block.data} has changed since (fingerprint {trained_on} "
                f"then, {block.fingerprint} now). Give another --results for the new data, or bring the earlier file "
                "back."
            )
        if differing:
            raise CheckpointError(
                f"{block.folder} holds results of another configuration ({', '.join(sorted(differing))}). Give another "
                f"--results."
            )
    for end in block.online:
        path = block.curve(end)
        try:
            if path.exists():
                TransferCurve.from_json(path)
        except DatasetError as error:
            print(f"{error} It is made again from the run's snapshots.", file=sys.stderr)
            path.unlink()
    return block.done


def fingerprint_of(block: Block, claimed: Mapping[str, Any]) -> str | None:
    """Of the data that a block was trained on; None where that was not written down.

    Args:
      block: which.
      claimed: what its ``block.json`` says. Blocks of earlier versions say it only in the identities of their runs.
    """
    if "fingerprint" in claimed:
        return claimed["fingerprint"]
    # Cal-QL's pre-training writes down the data with the returns that it adds
    own = [] if block.offline.algorithm == "cal_ql" else ["offline"]
    for leg in [*(leg for leg in block.legs if leg.startswith("to-")), *own]:
        try:
            return json.loads((block.folder / leg / "identity.json").read_text(encoding="utf-8"))["data"]
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return None


def leg_states(block: Block) -> dict[str, str]:
    """For each run of a block what its status says: done, running, stopped, failed; or left, where there is none."""
    states = {}
    for leg in block.legs:
        try:
            states[leg] = json.loads((block.folder / leg / "status.json").read_text(encoding="utf-8"))["state"]
        except (OSError, ValueError, KeyError):
            states[leg] = "left"
    return states


def description(block: Block) -> dict[str, Any]:
    """What a block's results depend on; the control and online variants may be added to it later."""
    online = {f"online {v.label}": to_json(v) for v in block.online}
    names = ["data", "task", "physics", "version", "offline", "seeds"]
    names += ["fingerprint"] if block.fingerprint is not None else []
    return {**to_json({name: getattr(block, name) for name in names}), **online}


def trained_by(blocks: Iterable[Block]) -> list[str]:
    """Commit, device and day of every process that trained some of the blocks, whoever makes tables of them later."""
    return trained_by_of([claimed for block in {b.folder: b for b in blocks}.values() if (claimed := _claimed(block))])


def trained_by_of(claims: Sequence[Mapping[str, Any]]) -> list[str]:
    """The same, of what ``block.json`` of each says."""
    found = [made_by(by) for claimed in claims for by in claimed.get("trained_by", [])]
    silent = sum("trained_by" not in claimed for claimed in claims)
    return list(dict.fromkeys(found)) + ([f"of {silent} block(s) not recorded"] if silent else [])


def _claim(block: Block) -> None:
    claimed = _claimed(block)
    us = {
        "commit": git_commit(),
        "device": device_description(),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }
    earlier = [by for by in claimed.get("trained_by", []) if by != us]
    write_json(block.folder / "block.json", claimed | description(block) | {"trained_by": [*earlier, us]})


def _claimed(block: Block) -> dict[str, Any]:
    path = block.folder / "block.json"
    try:
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read ({error}). Remove it if this sweep made the folder.") from error
