"""The jobs of a sweep. One process trains one job from beginning to end.

The grid is tasks x offline algorithms (or variants that the configuration names) x online algorithms x seeds x the
values that ``--vary`` gives to fields of the configuration. A job trains one offline algorithm once, for some of the
seeds, and fine-tunes the result with every online algorithm. It transfers at the end of offline training or at each of
several checkpoints. Nothing is trained twice, and no job waits for another.
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
from smac_jax.algorithms.continuation import SAME, check_carry
from smac_jax.algorithms.contracts import OfflineAlgorithm, OnlineAlgorithm
from smac_jax.algorithms.make import code_behind, continues, make_offline, make_online_after
from smac_jax.algorithms.none import NONE
from smac_jax.analysis.curves import TransferCurve
from smac_jax.data.sources import is_file_name, short_name
from smac_jax.envs import code_of_environment
from smac_jax.errors import ConfigError, DatasetError, UnknownNameError
from smac_jax.files import local_path
from smac_jax.presets.base import online_section, without_defaults
from smac_jax.registry import OFFLINE, ONLINE
from smac_jax.sweep.run_names import RunName
from smac_jax.text import name_of
from smac_jax.train.collection import check_multiples
from smac_jax.train.data_fraction import data_fraction_from

POSITIVE = ("num_updates", "num_steps", "eval_every", "eval_episodes", "final_episodes", "environments")
"""Fields of a schedule that must be at least 1."""
STEPS = ("num_steps", "warm_start", "eval_every")
"""Fields of the schedule of fine-tuning that are numbers of environment steps."""
DATA_FRACTION = ("data_fraction", "final_data_fraction", "data_fraction_steps")
"""Fields of the schedule of fine-tuning that say how much of a batch comes from the offline data."""


@dataclasses.dataclass(frozen=True)
class Variant:
    """An algorithm with its configuration.

    Attributes:
      label: the name in tables and paths. It is the algorithm's name or the variant's name, followed by the fields that
        ``--vary`` changed.
      algorithm: the registered name.
      config: every field of the algorithm's configuration.
      schedule: the ``pretrain`` or ``finetune`` section (steps and evaluations). The schedule of offline training has
        no ``num_updates`` if the job transfers from checkpoints.
    """

    label: str
    algorithm: str
    config: dict[str, Any]
    schedule: dict[str, Any]


class Run(NamedTuple):
    """One run of a job. Each run has its own folder.

    Attributes:
      name: the folder's name.
      steps: the number of gradient updates of an offline run, or of environment steps of an online run.
      after: the number of offline updates before the run begins.
      online: the algorithm of fine-tuning; None for a run that trains offline.
    """

    name: RunName
    steps: int
    after: int
    online: Variant | None = None


@dataclasses.dataclass(frozen=True)
class Job:
    """One offline algorithm for some seeds, and everything that is fine-tuned from it.

    Attributes:
      folder: the job's folder.
      data: the name or path of the data set.
      task: the name of the environment.
      physics, version: the environment's physics engine and version.
      offline: the algorithm of offline training.
      online: the algorithms of fine-tuning; may be empty.
      seeds: the seeds, which are trained in parallel by ``vmap``.
      control: whether to also continue offline training without a transfer, for comparison.
      name: the name of the data set in titles and paths; empty for its short name.
      fingerprint: the digest of the data; None if the data have not been read.
      checkpoints: the numbers of offline updates after which to transfer, in increasing order; empty to transfer once,
        at the end.
      imports: the user's files and modules that a process must import before it can train the job.
      code: the user's files that define the job's algorithms and environment, with their SHA-256.
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
        """Returns the job's name in messages and tables."""
        first, last = self.seeds[0], self.seeds[-1]
        return f"{self.name or short_name(self.data)} {name_of(self.offline.label)} " + (
            f"seed {first}" if first == last else f"seeds {first}-{last}"
        )

    @property
    def plan(self) -> tuple[Run, ...]:
        """Returns the job's runs in order: checkpoint by checkpoint. Each offline run resumes from the previous one."""
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
        """Names of the runs in order, which are also the names of their folders."""
        return tuple(str(run.name) for run in self.plan)

    @property
    def updates(self) -> tuple[int, ...]:
        """Returns the numbers of offline updates after which the job transfers."""
        return self.checkpoints or (self.offline.schedule["num_updates"],)

    def curve(self, online: Variant, checkpoint: int | None = None) -> Path:
        """Returns the file of the learning curve of a pair. It exists when the pair is done."""
        return self.folder / RunName("online", path_name(online.label), checkpoint).curve

    @property
    def curves(self) -> Iterator[Path]:
        """Returns the files of all learning curves of the job. Each exists when its pair is done."""
        return (self.folder / run.name.curve for run in self.plan if run.online is not None)

    @property
    def done(self) -> bool:
        """Returns whether the job is complete."""
        if not self.online:  # this file is written last
            return all((self.folder / run / "actor_critic" / "networks.json").exists() for run in self.runs)
        return all(map(self.has_curve, self.curves))

    def needs(self, run: Run) -> bool:
        """Returns whether a learning curve that includes this run is missing."""
        of_checkpoint = [r.name for r in self.plan if r.online and r.name.checkpoint == run.name.checkpoint]
        names = of_checkpoint if run.online is None else [run.name]
        return not all(self.has_curve(self.folder / name.curve) for name in names)

    def has_curve(self, path: Path) -> bool:
        """Returns whether a learning curve exists, and includes the control if the job has one."""
        if not self.control or not path.exists():
            return path.exists()
        try:
            return TransferCurve.from_json(path).has_control
        except DatasetError:  # a damaged file is reported where the curves are read
            return True


def parse_vary(texts: Sequence[str]) -> dict[str, list[Any]]:
    """Parses the values of ``--vary``: ``["smac.kappa=1,5"]`` becomes ``{"smac.kappa": [1, 5]}``.

    Raises:
      ConfigError: a text does not have this form.
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
                f"--vary={text}: must be SECTION.FIELD=VALUE,VALUE,... such as smac.kappa=1,5,20. Give each field once."
            )
        found[field] = parsed
    return found


def parse_checkpoints(texts: Sequence[str]) -> tuple[int, ...]:
    """Parses the values of ``--checkpoints``: ``["3000", "12000"]`` becomes ``(3000, 12000)``.

    Raises:
      ConfigError: the values are not increasing positive integers.
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
    """Returns the offline algorithms of a sweep: those given, else the configuration's (variants), else SMAC and
    TD3+BC.

    Args:
      config: the configuration of the sweep.
      given: the value of ``--offline``: names of algorithms or variants; None if the flag is not set.
    """
    if given is not None:
        return list(given)
    return list(named_variants(config) or config.get("offline") or ("smac", "td3_bc"))


def online_names(config: ConfigDict, given: Sequence[str] | None) -> list[str]:
    """Returns the online algorithms of a sweep: those given (the value of ``--online``), else the configuration's, else
    SAC.
    """
    return list(given if given is not None else config.get("online") or ("sac",))


def named_variants(config: ConfigDict) -> dict[str, dict[str, Any]]:
    """Returns the variants of offline algorithms that a configuration defines, by name and in its order.

    ``config.variants = ({"name": "smac (muon)", "algorithm": "smac", "smac": {"optimizer": "muon"}}, ...)``. A variant
    is an algorithm and the fields that differ from the rest of the configuration. It may change fields of any section.

    Raises:
      ConfigError: a variant has no name or no algorithm, or two variants have the same name.
    """
    found: dict[str, dict[str, Any]] = {}
    for variant in config.get("variants") or ():
        changes = dict(variant)
        name = changes.pop("name", None)
        if not isinstance(name, str) or not name or "algorithm" not in changes or name in found:
            raise ConfigError(
                f"The configuration's variant {dict(variant)!r}: must have an algorithm and a unique name."
            )
        found[name] = changes
    return found


def with_variant(config: ConfigDict, name: str) -> tuple[str, ConfigDict]:
    """Returns the offline algorithm that a name stands for, and the configuration with which it is trained.

    Args:
      config: the configuration of the sweep.
      name: a variant of the configuration (:func:`named_variants`), or an offline algorithm.

    Raises:
      UnknownNameError: the name is neither, or the variant's algorithm does not exist.
      ConfigError: the variant changes a field that does not exist, or gives it a value of another type.
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
    """Flattens nested sections: ``{"smac": {"kappa": 1}}`` yields ``("smac.kappa", 1)``."""
    for name, value in changes.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", value


def online_of(offline: Variant, online: Variant) -> OnlineAlgorithm[Any]:
    """Returns the online algorithm of a variant, after the offline algorithm of another.

    Raises:
      ConfigError: as :func:`smac_jax.algorithms.make.make_online_after`.
    """
    before = make_offline(offline.algorithm, offline.config)
    return make_online_after(before, online.algorithm, online.config, online.schedule.get("carry"))


def variants(
    config: ConfigDict,
    vary: dict[str, list[Any]],
    label: str,
    algorithm: str,
    section: str,
    phase: str,
    offline: OfflineAlgorithm[Any] | None = None,
) -> list[Variant]:
    """One variant of an algorithm for each combination of the varied fields that apply to it.

    Args:
      config: the configuration of the sweep, which each variant changes.
      vary: the varied fields, from :func:`parse_vary`.
      label: the name of the algorithm if no field varies.
      algorithm: the registered name.
      section: the algorithm's section of the configuration.
      phase: ``"pretrain"`` or ``"finetune"``; the fields of this section may vary, too.
      offline: the algorithm that an online one follows.

    Raises:
      ConfigError: a value is out of range.
    """
    fields = {name: values for name, values in vary.items() if name.split(".")[0] in (section, phase)}
    made = []
    for values in itertools.product(*fields.values()):
        changed = ConfigDict(config.to_dict())
        if section not in changed and not (phase == "finetune" and continues(algorithm)):
            raise ConfigError(
                f"The configuration has no section {section!r}. smac_jax.presets.base.get_config() has one for every "
                "algorithm: start the file of --config from it."
            )
        for name, value in zip(fields, values, strict=True):
            _set(changed, name, value, f"--vary={name}")
        given, schedule = changed.get(section, ConfigDict()).to_dict(), changed[phase].to_dict()
        built: Any  # made here, so that errors are raised before anything is trained
        if phase == "pretrain":
            built = make_offline(algorithm, given)
            schedule |= {} if built.phases else {"num_updates": 0}
        elif continues(algorithm):
            given = {field: value for field, value in given.items() if value is not None}
            built = make_online_after(offline, algorithm, given, schedule.get("carry"))
        else:
            check_carry(schedule.pop("carry", "all"))  # a wrong value is refused, although nothing reads it
            built = make_online_after(offline, algorithm, given)
        for name, value in changed[phase].items():
            if name in POSITIVE and not value >= 1:
                raise ConfigError(f"{phase}.{name} = {value}: must be at least 1.")
        if phase == "finetune":
            together = schedule.get("environments", 1)
            check_multiples(together, {name: schedule[name] for name in STEPS})
            first, last, steps = (schedule.get(name) for name in DATA_FRACTION)
            data_fraction_from(
                0.5 if first is None else first, last, steps, schedule["warm_start"], schedule["num_steps"]
            )
            schedule = without_defaults(schedule)
        named = " ".join([label, *(f"{_short(n)}={v}" for n, v in zip(fields, values, strict=True))])
        made.append(Variant(named, algorithm, dataclasses.asdict(built.config), schedule))
    return _once(made)


def _once(made: Sequence[Variant]) -> list[Variant]:
    """Removes duplicates, and refuses two different variants that would share a folder.

    Raises:
      ConfigError: the labels of two variants give the same folder name.
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
        raise ConfigError(f"{where}: {value!r} does not have the type of the field ({error}).") from error


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
    """Returns all jobs of a sweep.

    Args:
      results: the folder of the sweep.
      data: ``(data set, environment)`` pairs.
      offline: names of algorithms, or of variants of the configuration (:func:`with_variant`).
      online: names of algorithms.
      config: the configuration of the sweep.
      vary: the varied fields, from :func:`parse_vary`.
      seeds: all seeds of the sweep.
      seeds_per_job: the largest number of seeds that one job trains in parallel.
      physics, version: the environments' physics engine and version.
      control: whether each job that trains offline also continues offline training without a transfer.
      checkpoints: the numbers of offline updates after which to transfer, in increasing order; empty to transfer once,
        after ``pretrain.num_updates``.
      names: the names of the data sets in titles and paths; default: :func:`distinct_names` of them.
      fingerprints: the digests of the data sets that have been read.

    Raises:
      UnknownNameError: an algorithm does not exist.
      ConfigError: a value is out of range, a varied field applies to none of the algorithms, an online algorithm cannot
        take the policy of an offline one, or two data sets or variants would share a folder.
    """
    for name in online:
        if name not in ONLINE and not continues(name):
            raise UnknownNameError("online algorithm", name, tuple({*ONLINE, *OFFLINE, SAME} - {NONE}))
    configured = {name: with_variant(config, name) for name in offline}
    algorithms = {algorithm for algorithm, _ in configured.values()}
    sections = {*algorithms, "pretrain", "finetune"}
    sections |= {online_section(name, algorithm) for name in online for algorithm in algorithms}
    if checkpoints and "pretrain.num_updates" in vary:
        raise ConfigError(
            "--vary=pretrain.num_updates: --checkpoints already sets the length of offline training. Give only one."
        )
    for name in vary:
        if name.split(".")[0] not in sections:
            raise ConfigError(f"--vary={name}: must be a field of one of the sections {', '.join(sorted(sections))}.")
    names = names if names is not None else distinct_names([source for source, _ in data])
    ends_of: dict[str, tuple[Variant, ...]] = {}
    starts: list[Variant] = []
    for label, (algorithm, changed) in configured.items():
        made = variants(changed, vary, label, algorithm, algorithm, "pretrain")
        starts += made
        for start in made:
            before = make_offline(start.algorithm, start.config)
            sections_of = [(name, online_section(name, algorithm)) for name in online]
            each = [variants(changed, vary, x, x, section, "finetune", before) for x, section in sections_of]
            ends_of[start.label] = tuple(_once(list(itertools.chain(*each))))
    untrained = {start.label for start in starts if start.schedule["num_updates"] == 0}
    if checkpoints and untrained:
        raise ConfigError(
            f"--checkpoints={','.join(map(str, checkpoints))}: with --offline={min(untrained)} there is no offline "
            "training to transfer from. Run it as a sweep of its own."
        )
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
                control=control and start.label not in untrained,
                name=names[source],
                fingerprint=fingerprint,
                checkpoints=tuple(checkpoints),
                imports=plugins.names(),
                code=code_of(start, ends, task),
            )
        )
    return jobs


def _without_length(schedule: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the schedule without ``num_updates``: the result at a checkpoint does not depend on the later
    checkpoints.
    """
    return {name: value for name, value in schedule.items() if name != "num_updates"}


def code_of(offline: Variant, online: Iterable[Variant], task: str) -> dict[str, str]:
    """Returns the user's files that define the algorithms and the environment, with their SHA-256."""
    code = code_behind(make_offline(offline.algorithm, offline.config)) | code_of_environment(task)
    for variant in online:
        code |= code_behind(online_of(offline, variant))
    return dict(sorted(code.items()))


def distinct_names(sources: Sequence[str]) -> dict[str, str]:
    """Returns a distinct name for each data set, for titles and paths.

    It is the data set's short name, preceded by the names of its folders where two data sets share a short name.

    Args:
      sources: names or files of data sets, as ``load_dataset`` takes them.

    Raises:
      ConfigError: two of them are the same file, or have names that cannot be told apart.
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
                    f"--task: {' and '.join(group)} are the same file, or have names that cannot be told apart, so "
                    "that their results would share a folder. Name each data set once, or rename one of the files."
                )
            for source in longer:
                depth[source] += 1


def _names(source: str) -> list[str]:
    """Possible names of a data set, from the shortest to the longest; each includes more of its path."""
    prefix, colon, rest = source.partition(":")
    if colon and prefix == "part":
        fraction, _, full = rest.partition(":")
        return [f"{name}-part-{fraction}" for name in _names(full)]
    if not is_file_name(source):
        return [short_name(source)]
    path = Path(os.path.abspath(local_path(source)))
    folders = path.parts[1:-1]
    in_folders = ["/".join([*folders[len(folders) - i :], path.stem]) for i in range(len(folders) + 1)]
    return [*in_folders, f"{in_folders[-1]}{path.suffix}"]


def batches(seeds: Sequence[int], size: int) -> Iterable[tuple[int, ...]]:
    """Splits seeds into groups of at most ``size`` whose sizes differ by at most one."""
    count = -(-len(seeds) // size)
    least, more = divmod(len(seeds), count)
    ends = list(itertools.accumulate(least + (i < more) for i in range(count)))
    return [tuple(seeds[start:end]) for start, end in zip([0, *ends], ends, strict=False)]


def path_name(label: str) -> str:
    """Returns a label as one component of a path; never empty, ``.`` or ``..``."""
    kept = "".join(c if c.isalnum() or c in "._=+" else "-" for c in label)
    name = "-".join(part for part in kept.split("-") if part)
    return name if name.strip(".") else "unnamed"
