"""A sweep as a list of blocks: what one process trains from beginning to end.

The grid is tasks x offline algorithms x online algorithms x seeds x the values that ``--vary`` gives to fields of the
configuration. A block is one offline result, for some of the seeds, and every online cell that starts from it: so
nothing is trained twice, and no block waits for another.
"""

from __future__ import annotations

import ast
import dataclasses
import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from experiments.configs.base import online_section
from smac_jax.algorithms import OFFLINE, ONLINE, make_offline, make_online
from smac_jax.analysis.curves import TransferCurve
from smac_jax.data.sources import short_name
from smac_jax.errors import ConfigError, DatasetError, UnknownNameError
from smac_jax.wording import name_of

POSITIVE = ("num_updates", "num_steps", "eval_every", "eval_episodes")
"""Of a schedule."""


@dataclasses.dataclass(frozen=True)
class Variant:
    """An algorithm with its configuration.

    Attributes:
      label: its name in tables and paths: the algorithm's, and the fields that ``--vary`` changed.
      algorithm: as registered.
      config: every field.
      schedule: of ``pretrain`` or ``finetune``: steps, evaluations.
    """

    label: str
    algorithm: str
    config: dict[str, Any]
    schedule: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Block:
    """What one process trains.

    Attributes:
      folder: where it lives.
      data: name or path of the data set.
      task: the environment.
      physics, version: of the environment.
      offline: what is trained first.
      online: what starts from it, if anything.
      seeds: trained side by side.
      control: also go on offline with no hand-over.
    """

    folder: Path
    data: str
    task: str
    physics: str
    version: str
    offline: Variant
    online: tuple[Variant, ...]
    seeds: tuple[int, ...]
    control: bool

    @property
    def title(self) -> str:
        """For people."""
        first, last = self.seeds[0], self.seeds[-1]
        return f"{short_name(self.data)} {name_of(self.offline.label)} " + (
            f"seed {first}" if first == last else f"seeds {first}-{last}"
        )

    @property
    def legs(self) -> tuple[str, ...]:
        """The runs that it consists of, in order: names of folders in its own."""
        return ("offline", *(("control",) if self.control else ()), *(f"to-{path_name(v.label)}" for v in self.online))

    def curve(self, online: Variant) -> Path:
        """Where the learning curve of a pair lies once it is done."""
        return self.folder / f"curve-{path_name(online.label)}.json"

    @property
    def done(self) -> bool:
        """Whether nothing is left to do."""
        if not self.online:
            return (self.folder / "offline" / "actor_critic" / "networks.json").exists()  # what is written last
        return all(self._has_curve(v) for v in self.online)

    def _has_curve(self, online: Variant) -> bool:
        path = self.curve(online)
        if not self.control or not path.exists():
            return path.exists()
        try:
            return TransferCurve.from_json(path).has_control
        except DatasetError:  # what is damaged is named where it is read
            return True


def parse_vary(texts: Sequence[str]) -> dict[str, list[Any]]:
    """``["smac.kappa=1,5"]`` as ``{"smac.kappa": [1, 5]}``.

    Raises:
      ConfigError: not of that form.
    """
    found: dict[str, list[Any]] = {}
    for text in texts:
        field, equals, values = text.partition("=")
        try:
            parsed = ast.literal_eval(f"[{values}]")
        except (ValueError, SyntaxError):
            parsed = [value.strip() for value in values.split(",")]
        if not equals or "." not in field or not values or field in found:
            raise ConfigError(
                f"--vary={text}: must be SECTION.FIELD=VALUE,VALUE,... such as smac.kappa=1,5,20; once a field."
            )
        found[field] = parsed
    return found


def variants(config: ConfigDict, vary: dict[str, list[Any]], algorithm: str, section: str, phase: str) -> list[Variant]:
    """An algorithm at each combination of the varied fields that concern it.

    Args:
      config: the base of all.
      vary: from :func:`parse_vary`.
      algorithm: as registered.
      section: of the configuration.
      phase: ``"pretrain"`` or ``"finetune"``, whose settings vary with it.

    Raises:
      ConfigError: a value out of range.
    """
    fields = {name: values for name, values in vary.items() if name.split(".")[0] in (section, phase)}
    made = []
    for values in itertools.product(*fields.values()):
        changed = ConfigDict(config.to_dict())
        for name, value in zip(fields, values, strict=True):
            _set(changed, name, value)
        build = make_offline if phase == "pretrain" else make_online
        build(algorithm, changed[section].to_dict())  # raises here, before anything is trained
        for name, value in changed[phase].items():
            if name in POSITIVE and not value >= 1:
                raise ConfigError(f"{phase}.{name} = {value}: must be at least 1.")
        label = " ".join([algorithm, *(f"{_short(n)}={v}" for n, v in zip(fields, values, strict=True))])
        made.append(Variant(label, algorithm, changed[section].to_dict(), changed[phase].to_dict()))
    return made


def _set(config: ConfigDict, name: str, value: Any) -> None:
    *path, field = name.split(".")
    section = config
    for part in path:
        section = section.get(part) if isinstance(section, ConfigDict) else None
    if not isinstance(section, ConfigDict) or field not in section:
        raise ConfigError(f"--vary={name}: the configuration has no such field.")
    try:
        section[field] = value
    except TypeError as error:
        raise ConfigError(f"--vary={name}: {value!r} is of another type than the field ({error}).") from error


def _short(name: str) -> str:
    section, _, rest = name.partition(".")
    return name if section in ("pretrain", "finetune") else rest


def make_blocks(
    results: Path,
    data: Sequence[tuple[str, str]],
    offline: Sequence[str],
    online: Sequence[str],
    config: ConfigDict,
    vary: dict[str, list[Any]],
    seeds: Sequence[int],
    seeds_per_block: int,
    *,
    physics: str,
    version: str,
    control: bool,
) -> list[Block]:
    """The whole grid.

    Args:
      results: folder of the sweep.
      data: ``(data set, environment)`` pairs.
      offline, online: names of algorithms.
      config: the base of all.
      vary: from :func:`parse_vary`.
      seeds: all of them.
      seeds_per_block: trained side by side.
      physics, version: of the environments.
      control: also go on offline with no hand-over.

    Raises:
      UnknownNameError: no such algorithm.
      ConfigError: a value out of range, or a varied field that concerns none of the algorithms.
    """
    for kind, names, known in (("offline", offline, OFFLINE), ("online", online, ONLINE)):
        for name in names:
            if name not in known:
                raise UnknownNameError(f"{kind} algorithm", name, tuple(known))
    sections = {*offline, *map(online_section, online), "pretrain", "finetune"}
    for name in vary:
        if name.split(".")[0] not in sections:
            raise ConfigError(f"--vary={name}: concerns none of {', '.join(sorted(sections))}.")
    starts = [v for name in offline for v in variants(config, vary, name, name, "pretrain")]
    ends = tuple(v for name in online for v in variants(config, vary, name, online_section(name), "finetune"))
    blocks = []
    for (source, task), start, some in itertools.product(data, starts, batches(seeds, seeds_per_block)):
        place = f"seeds-{some[0]}-{some[-1]}"
        folder = results / "runs" / path_name(short_name(source)) / path_name(start.label) / place
        blocks.append(Block(folder, source, task, physics, version, start, ends, some, control))
    return blocks


def batches(seeds: Sequence[int], size: int) -> Iterable[tuple[int, ...]]:
    """Seeds in groups of at most ``size``, as even as can be."""
    count = -(-len(seeds) // size)
    least, more = divmod(len(seeds), count)
    ends = list(itertools.accumulate(least + (i < more) for i in range(count)))
    return [tuple(seeds[start:end]) for start, end in zip([0, *ends], ends, strict=False)]


def path_name(label: str) -> str:
    """A label as part of a path."""
    kept = "".join(c if c.isalnum() or c in "._=+" else "-" for c in label)
    return "-".join(part for part in kept.split("-") if part)
