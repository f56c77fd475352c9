"""A sweep as a list of jobs: what one process trains from beginning to end.

The grid is tasks x offline algorithms (or variants that the configuration names) x online algorithms x seeds x the
values that ``--vary`` gives to fields of the configuration. A job trains one offline algorithm once, for some of the
seeds, and transfers from its end, or from each of several checkpoints, to every online algorithm: so nothing is trained
twice, and no job waits for another.
"""

from __future__ import annotations

import ast
import dataclasses
import itertools
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from smac_jax import plugins
from smac_jax.algorithms.make import check_density, code_behind, make_offline, make_online
from smac_jax.analysis.curves import TransferCurve
from smac_jax.data.sources import is_file_name, short_name
from smac_jax.envs import code_of_environment
from smac_jax.errors import ConfigError, DatasetError, UnknownNameError
from smac_jax.files import local_path
from smac_jax.presets.base import online_section
from smac_jax.registry import OFFLINE, ONLINE
from smac_jax.sweep.run_names import RunName
from smac_jax.text import name_of

POSITIVE = ("num_updates", "num_steps", "eval_every", "eval_episodes", "final_episodes")
"""Of a schedule."""


@dataclasses.dataclass(frozen=True)
class Variant:
    """An algorithm with its configuration.

    Attributes:
      label: its name in tables and paths: the algorithm's or the one that the configuration gives it, and the fields
        that ``--vary`` changed.
      algorithm: as registered.
      config: every field, as it runs.
      schedule: of ``pretrain`` or ``finetune``: steps, evaluations; of offline training without ``num_updates`` where
        the job has checkpoints.
    """

    label: str
    algorithm: str
    config: dict[str, Any]
    schedule: dict[str, Any]


class Run(NamedTuple):
    """One run of a job: what is trained in one folder.

    Attributes:
      name: the folder's.
      steps: gradient updates, or environment steps.
      after: offline updates that are done when it begins.
      online: what fine-tunes; None where the run trains offline.
    """

    name: RunName
    steps: int
    after: int
    online: Variant | None = None


@dataclasses.dataclass(frozen=True)
class Job:
    """What one process trains.

    Attributes:
      folder: where it lives.
      data: name or path of the data set.
      task: the environment.
      physics, version: of the environment.
      offline: what is trained first.
      online: what starts from it, if anything.
      seeds: trained side by side.
      control: also go on offline with no transfer.
      name: what the data set is called in titles and paths; empty: its short name.
      fingerprint: of the data, which the results depend on; None where the data were not read yet.
      checkpoints: offline updates after which to transfer, in increasing order; empty: after all of them.
      imports: files and modules of users that a process must import before it can train the job.
      code: those files of users that define its algorithms and its environment, with their SHA-256.
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
    name: str = ""
    fingerprint: str | None = None
    checkpoints: tuple[int, ...] = ()
    imports: tuple[str, ...] = ()
    code: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def title(self) -> str:
        """For people."""
        first, last = self.seeds[0], self.seeds[-1]
        return f"{self.name or short_name(self.data)} {name_of(self.offline.label)} " + (
            f"seed {first}" if first == last else f"seeds {first}-{last}"
        )

    @property
    def plan(self) -> tuple[Run, ...]:
        """The runs that it consists of, in order: checkpoint by checkpoint, each offline run going on from the last."""
        made: list[Run] = []
        done = 0
        for checkpoint in self.checkpoints or (None,):
            updates = self.offline.schedule["num_updates"] if checkpoint is None else checkpoint
            made.append(Run(RunName("offline", "", checkpoint), updates - done, done))
            if self.control:
                longest = max(end.schedule["num_steps"] for end in self.online)
                made.append(Run(RunName("control", "", checkpoint), longest, updates))
            for end in self.online:
                steps = end.schedule["num_steps"] + end.schedule["warm_start"]
                made.append(Run(RunName("online", path_name(end.label), checkpoint), steps, updates, end))
            done = updates
        return tuple(made)

    @property
    def runs(self) -> tuple[str, ...]:
        """Names of the runs, in order, which are names of folders in its own."""
        return tuple(str(run.name) for run in self.plan)

    @property
    def updates(self) -> tuple[int, ...]:
        """Offline updates after which it transfers."""
        return self.checkpoints or (self.offline.schedule["num_updates"],)

    def curve(self, online: Variant, checkpoint: int | None = None) -> Path:
        """Where the learning curve of a pair lies once it is done."""
        return self.folder / RunName("online", path_name(online.label), checkpoint).curve

    @property
    def curves(self) -> Iterator[Path]:
        """Where all its learning curves lie once they are done."""
        return (self.folder / run.name.curve for run in self.plan if run.online is not None)

    @property
    def done(self) -> bool:
        """Whether nothing is left to do."""
        if not self.online:  # what is written last
            return all((self.folder / run / "actor_critic" / "networks.json").exists() for run in self.runs)
        return all(map(self.has_curve, self.curves))

    def needs(self, run: Run) -> bool:
        """Whether a learning curve that a run is part of is not there."""
        of_checkpoint = [r.name for r in self.plan if r.online and r.name.checkpoint == run.name.checkpoint]
        names = of_checkpoint if run.online is None else [run.name]
        return not all(self.has_curve(self.folder / name.curve) for name in names)

    def has_curve(self, path: Path) -> bool:
        """Whether a learning curve is there, with a control where the job has one."""
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


def parse_checkpoints(texts: Sequence[str]) -> tuple[int, ...]:
    """``["3000", "12000"]`` as ``(3000, 12000)``.

    Raises:
      ConfigError: they are not increasing positive numbers.
    """
    try:
        numbers = [int(text) for text in texts]
    except ValueError:
        numbers = [0]
    if numbers != sorted(set(numbers)) or (numbers and numbers[0] < 1):
        raise ConfigError(
            f"--checkpoints={','.join(texts)}: must be numbers of offline updates in increasing order, such as "
            "3000,6000,12000."
        )
    return tuple(numbers)


def offline_names(config: ConfigDict, given: Sequence[str] | None) -> list[str]:
    """What to train offline: what was asked for, else the variants that the configuration names, else two algorithms.

    Args:
      config: of the sweep.
      given: names of algorithms or variants; None: nothing was asked for.
    """
    return list(given if given is not None else named_variants(config) or ("smac", "td3_bc"))


def named_variants(config: ConfigDict) -> dict[str, dict[str, Any]]:
    """Variants of offline algorithms that a configuration names, in its order: what each is and changes.

    ``config.variants = ({"name": "smac (muon)", "algorithm": "smac", "smac": {"optimizer": "muon"}}, ...)``: an
    algorithm, and what differs from the rest of the configuration, by section. A variant may change any section.

    Raises:
      ConfigError: a variant without a name or an algorithm, or two of one name.
    """
    found: dict[str, dict[str, Any]] = {}
    for variant in config.get("variants") or ():
        changes = dict(variant)
        name = changes.pop("name", None)
        if not isinstance(name, str) or not name or "algorithm" not in changes or name in found:
            raise ConfigError(
                f"The configuration's variant {dict(variant)!r}: must have a name that no other has, and an algorithm."
            )
        found[name] = changes
    return found


def with_variant(config: ConfigDict, name: str) -> tuple[str, ConfigDict]:
    """An offline algorithm and the configuration that it is trained with.

    Args:
      config: of the sweep.
      name: of a variant of the configuration (:func:`named_variants`), or of an offline algorithm.

    Raises:
      UnknownNameError: neither, or a variant of no offline algorithm.
      ConfigError: a variant that changes a field which does not exist, or to a value of another type.
    """
    named = named_variants(config)
    changes = named.get(name, {})
    algorithm = changes.pop("algorithm", name)
    if algorithm not in OFFLINE:
        raise UnknownNameError("offline algorithm", algorithm, (*named, *OFFLINE))
    changed = ConfigDict(config.to_dict())
    for field, value in _flat(changes):
        _set(changed, field, value, f"The variant {name!r}, {field}")
    return algorithm, changed


def _flat(changes: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """``{"smac": {"kappa": 1}}`` as ``("smac.kappa", 1)``."""
    for name, value in changes.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", value


def variants(
    config: ConfigDict, vary: dict[str, list[Any]], label: str, algorithm: str, section: str, phase: str
) -> list[Variant]:
    """An algorithm at each combination of the varied fields that concern it.

    Args:
      config: the base of all.
      vary: from :func:`parse_vary`.
      label: what it is called where no field varies.
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
        if section not in changed:
            raise ConfigError(
                f"The configuration has no section {section!r}. smac_jax.presets.base.get_config() has one for every "
                "algorithm: start the file of --config from it."
            )
        for name, value in zip(fields, values, strict=True):
            _set(changed, name, value, f"--vary={name}")
        build = make_offline if phase == "pretrain" else make_online
        built: Any = build(algorithm, changed[section].to_dict())  # raises here, before anything is trained
        for name, value in changed[phase].items():
            if name in POSITIVE and not value >= 1:
                raise ConfigError(f"{phase}.{name} = {value}: must be at least 1.")
        named = " ".join([label, *(f"{_short(n)}={v}" for n, v in zip(fields, values, strict=True))])
        made.append(Variant(named, algorithm, dataclasses.asdict(built.config), changed[phase].to_dict()))
    return _once(made)


def _once(made: Sequence[Variant]) -> list[Variant]:
    """Each variant once; two that differ must not share a folder, or one would be reported with the other's results.

    Raises:
      ConfigError: two variants whose names cannot be told apart as parts of a path.
    """
    found: dict[str, Variant] = {}
    for variant in made:
        same = found.setdefault(path_name(variant.label).casefold(), variant)
        if same.label != variant.label:
            raise ConfigError(
                f"'{same.label}' and '{variant.label}' would share the folder {path_name(variant.label)}. Run them as "
                "two sweeps, each with its own --results."
            )
    return list(found.values())


def _set(config: ConfigDict, name: str, value: Any, where: str) -> None:
    *path, field = name.split(".")
    section = config
    for part in path:
        section = section.get(part) if isinstance(section, ConfigDict) else None
    if not isinstance(section, ConfigDict) or field not in section:
        raise ConfigError(f"{where}: the configuration has no such field.")
    try:
        section[field] = value
    except TypeError as error:
        raise ConfigError(f"{where}: {value!r} is of another type than the field ({error}).") from error


def _short(name: str) -> str:
    section, _, rest = name.partition(".")
    return name if section in ("pretrain", "finetune") else rest


def make_jobs(
    results: Path,
    data: Sequence[tuple[str, str]],
    offline: Sequence[str],
    online: Sequence[str],
    config: ConfigDict,
    vary: dict[str, list[Any]],
    seeds: Sequence[int],
    seeds_per_job: int,
    *,
    physics: str,
    version: str,
    control: bool,
    checkpoints: Sequence[int] = (),
    names: Mapping[str, str] | None = None,
    fingerprints: Mapping[str, str] | None = None,
) -> list[Job]:
    """The whole grid.

    Args:
      results: folder of the sweep.
      data: ``(data set, environment)`` pairs.
      offline: names of algorithms, or of variants of the configuration (:func:`with_variant`).
      online: names of algorithms.
      config: the base of all.
      vary: from :func:`parse_vary`.
      seeds: all of them.
      seeds_per_job: trained side by side.
      physics, version: of the environments.
      control: also go on offline with no transfer.
      checkpoints: offline updates after which to transfer, in increasing order; none: after ``pretrain.num_updates``.
      names: of the data sets, in titles and paths; default: :func:`distinct_names` of them.
      fingerprints: of the data sets, as far as they were read.

    Raises:
      UnknownNameError: no such algorithm.
      ConfigError: a value out of range, a varied field that concerns none of the algorithms, a policy that an online
        algorithm cannot take, or two data sets or variants that would share a folder.
    """
    for name in online:
        if name not in ONLINE:
            raise UnknownNameError("online algorithm", name, tuple(ONLINE))
    configured = {name: with_variant(config, name) for name in offline}
    algorithms = {algorithm for algorithm, _ in configured.values()}
    sections = {*algorithms, *map(online_section, online), "pretrain", "finetune"}
    if checkpoints and "pretrain.num_updates" in vary:
        raise ConfigError("--vary=pretrain.num_updates: --checkpoints says how long to train offline; give either.")
    for name in vary:
        if name.split(".")[0] not in sections:
            raise ConfigError(f"--vary={name}: concerns none of {', '.join(sorted(sections))}.")
    names = names if names is not None else distinct_names([source for source, _ in data])
    ends_of: dict[str, tuple[Variant, ...]] = {}
    starts: list[Variant] = []
    for label, (algorithm, changed) in configured.items():
        made = variants(changed, vary, label, algorithm, algorithm, "pretrain")
        ends_of |= dict.fromkeys(
            (start.label for start in made),
            tuple(_once([v for x in online for v in variants(changed, vary, x, x, online_section(x), "finetune")])),
        )
        for start, end in itertools.product(made, ends_of[made[0].label]):
            network = getattr(make_offline(start.algorithm, start.config).config, "network", None)
            check_density(network, make_online(end.algorithm, end.config))
        starts += made
    if checkpoints:
        starts = [dataclasses.replace(start, schedule=_without_length(start.schedule)) for start in starts]
    jobs = []
    for (source, task), start, some in itertools.product(data, _once(starts), batches(seeds, seeds_per_job)):
        place = f"seeds-{some[0]}-{some[-1]}"
        folder = results / "runs" / path_name(names[source]) / path_name(start.label) / place
        fingerprint = (fingerprints or {}).get(source)
        ends = ends_of[start.label]
        jobs.append(
            Job(
                folder=folder,
                data=source,
                task=task,
                physics=physics,
                version=version,
                offline=start,
                online=ends,
                seeds=some,
                control=control,
                name=names[source],
                fingerprint=fingerprint,
                checkpoints=tuple(checkpoints),
                imports=plugins.names(),
                code=code_of(start, ends, task),
            )
        )
    return jobs


def _without_length(schedule: Mapping[str, Any]) -> dict[str, Any]:
    """Of offline training to checkpoints: what is found at one does not depend on how many come after it."""
    return {name: value for name, value in schedule.items() if name != "num_updates"}


def code_of(offline: Variant, online: Iterable[Variant], task: str) -> dict[str, str]:
    """The files of users that define algorithms and an environment, with their SHA-256."""
    code = code_behind(make_offline(offline.algorithm, offline.config)) | code_of_environment(task)
    for variant in online:
        code |= code_behind(make_online(variant.algorithm, variant.config))
    return dict(sorted(code.items()))


def distinct_names(sources: Sequence[str]) -> dict[str, str]:
    """What each data set is called in titles and paths: its short name, with folders in front where two share one.

    Args:
      sources: as ``load_dataset`` takes them.

    Raises:
      ConfigError: two of them are one file, or cannot be told apart.
    """
    sources = list(dict.fromkeys(sources))
    choices = {source: _names(source) for source in sources}
    depth = dict.fromkeys(sources, 0)
    while True:
        named: dict[str, list[str]] = {}
        for source in sources:
            named.setdefault(path_name(choices[source][depth[source]]).casefold(), []).append(source)
        shared = [group for group in named.values() if len(group) > 1]
        if not shared:
            return {source: choices[source][depth[source]] for source in sources}
        for group in shared:
            longer = [source for source in group if depth[source] + 1 < len(choices[source])]
            if not longer:
                raise ConfigError(
                    f"--task: {' and '.join(group)} are one file, or have names that cannot be told apart, so that "
                    "their results would share a folder. Name each data set once, or rename one of the files."
                )
            for source in longer:
                depth[source] += 1


def _names(source: str) -> list[str]:
    """What a data set may be called, the shortest first, each with more of its path."""
    prefix, colon, rest = source.partition(":")
    if colon and prefix == "part":
        fraction, _, whole = rest.partition(":")
        return [f"{name}-part-{fraction}" for name in _names(whole)]
    if not is_file_name(source):
        return [short_name(source)]
    path = Path(os.path.abspath(local_path(source)))
    folders = path.parts[1:-1]
    in_folders = ["/".join([*folders[len(folders) - i :], path.stem]) for i in range(len(folders) + 1)]
    return [*in_folders, f"{in_folders[-1]}{path.suffix}"]


def batches(seeds: Sequence[int], size: int) -> Iterable[tuple[int, ...]]:
    """Seeds in groups of at most ``size``, as even as can be."""
    count = -(-len(seeds) // size)
    least, more = divmod(len(seeds), count)
    ends = list(itertools.accumulate(least + (i < more) for i in range(count)))
    return [tuple(seeds[start:end]) for start, end in zip([0, *ends], ends, strict=False)]


def path_name(label: str) -> str:
    """A label as part of a path; never empty, nor a folder above."""
    kept = "".join(c if c.isalnum() or c in "._=+" else "-" for c in label)
    name = "-".join(part for part in kept.split("-") if part)
    return name if name.strip(".") else "unnamed"
