"""Builds algorithms from their names, and checks the algorithms of users."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from smac_jax import plugins
from smac_jax.algorithms.actor_critic import ActorCritic
from smac_jax.algorithms.continuation import SAME, changed_config
from smac_jax.algorithms.contracts import OfflineAlgorithm, OnlineAlgorithm
from smac_jax.config import resolve
from smac_jax.errors import ConfigError, RegistrationError
from smac_jax.registry import OFFLINE, ONLINE, SCORES, Registry
from smac_jax.text import name_of

OFFLINE_FUNCTIONS = ("init", "actor_critic", "prepare", "diagnostics", "training_state")
ONLINE_FUNCTIONS = ("init", "update", "act", "actor_critic")


def make_offline(algorithm: str | OfflineAlgorithm, config: Any = None) -> OfflineAlgorithm:
    """Returns an offline algorithm for its name and config, or the given algorithm after checks.

    Args:
      algorithm: a name in :data:`smac_jax.registry.OFFLINE`, or an algorithm.
      config: None, a mapping of the fields that differ, or an instance of the config's class. It must be None if
        ``algorithm`` is an algorithm, which has its config.

    Raises:
      UnknownNameError: there is no offline algorithm with this name.
      ConfigError: a field is unknown or out of range, or a config is given for an algorithm that has its config.
      RegistrationError: a user's algorithm does not satisfy the contract, or its config cannot be recorded.
    """
    if isinstance(algorithm, str):
        config_class, build = OFFLINE[algorithm]
        built = build(resolve(config_class, config))
        if OFFLINE.is_built_in(algorithm):
            return built
        _check_name(OFFLINE, algorithm, built)
    else:
        built = algorithm
        _check_alone(built, config)
    where = _described(OFFLINE, built)
    _check_has(built, ("name", "config", "phases"), OFFLINE_FUNCTIONS, where)
    if not isinstance(built.phases, Sequence) or not built.phases:
        raise RegistrationError(f"{where} has no phases: it needs at least one, whose num_updates is None.")
    for phase in built.phases:
        _check_has(phase, ("name", "batch_size", "num_updates"), ("update",), f"{where}, a phase of it,")
    if [phase.num_updates is None for phase in built.phases] != [False] * (len(built.phases) - 1) + [True]:
        raise RegistrationError(
            f"{where}: num_updates must be None in the last of its phases, whose length the caller of pretrain "
            "decides, and a number in those before it."
        )
    check_recordable(built.config, where)
    return built


def make_online(algorithm: str | OnlineAlgorithm, config: Any = None) -> OnlineAlgorithm:
    """Returns an online algorithm. Arguments and errors are those of :func:`make_offline`."""
    if isinstance(algorithm, str):
        config_class, build = ONLINE[algorithm]
        built = build(resolve(config_class, config))
        if ONLINE.is_built_in(algorithm):
            return built
        _check_name(ONLINE, algorithm, built)
    else:
        built = algorithm
        _check_alone(built, config)
    where = _described(ONLINE, built)
    _check_has(built, ("name", "config", "batch_size"), ONLINE_FUNCTIONS, where)
    check_recordable(built.config, where)
    return built


def continues(algorithm: str | OnlineAlgorithm, offline: str | None = None) -> bool:
    """Returns whether an online algorithm is the continuation of an offline one.

    Args:
      algorithm: :data:`~smac_jax.algorithms.continuation.SAME`, or an algorithm, or a name. A name of both an online
        and an offline algorithm is that of the online algorithm.
      offline: the name of the offline algorithm, if it is known.
    """
    if not isinstance(algorithm, str):
        return getattr(algorithm, "carry", None) is not None
    return algorithm == SAME or (algorithm not in ONLINE and (algorithm in OFFLINE or algorithm == offline))


def make_online_after(
    offline: OfflineAlgorithm | None, algorithm: str | OnlineAlgorithm, config: Any = None, carry: str | None = None
) -> OnlineAlgorithm:
    """Returns the online algorithm after an offline one: another algorithm, or the continuation of the offline one.

    Args:
      offline: the algorithm that has trained the networks; None if it is not known.
      algorithm: a name in :data:`smac_jax.registry.ONLINE`; or an online algorithm; or for a continuation the name of
        the offline algorithm, or :data:`~smac_jax.algorithms.continuation.SAME`.
      config: as for :func:`make_online`; for a continuation the fields that differ from the offline configuration.
      carry: what a continuation carries over (:class:`~smac_jax.algorithms.contracts.ContinueOnline`); None for "all".

    Raises:
      UnknownNameError, ConfigError, RegistrationError: as :func:`make_online`; or the algorithm to be continued was not
        trained offline, or cannot continue online; or the algorithm needs the density of a policy that has none.
    """
    if not continues(algorithm, offline and offline.name):
        if carry is not None:
            raise ConfigError(
                f"carry = {carry!r}: is for an offline algorithm that continues online. SAC, TD3, TD3+BC and AWR start "
                "from the networks. Their fields optimizer_start and temperature_start say what else they carry over."
            )
        built = make_online(algorithm, config)
        if offline is not None:
            check_density(getattr(offline.config, "network", None), built)
        return built
    name = algorithm if isinstance(algorithm, str) else algorithm.name
    if offline is not None and not offline.phases:
        raise ConfigError(
            f"The online algorithm {name!r} continues offline training, and with {offline.name!r} there was none. "
            f"Choose one of the online algorithms {', '.join(ONLINE)}."
        )
    if offline is None:
        raise ConfigError(
            f"The online algorithm {name!r} continues offline training, and there was none. Pass the result of "
            "pretrain(...) in place of its actor-critic."
        )
    if name not in (SAME, offline.name):
        raise ConfigError(
            f"The online algorithm {name!r} continues the offline training of {name!r}, and {offline.name!r} was "
            f"trained offline. Choose {SAME!r}, which continues the algorithm that was trained, or train {name!r} "
            "offline."
        )
    if not isinstance(algorithm, str):
        _check_alone(algorithm, config)
        if isinstance(algorithm.config, type(offline.config)):
            changed_config(offline.config, algorithm.config)  # refuses a state of another configuration
        return make_online(algorithm)
    if offline.continue_online is None:
        raise ConfigError(
            f"The offline algorithm {offline.name!r} cannot continue online. Choose one of the online algorithms "
            f"{', '.join(ONLINE)}."
        )
    built = offline.continue_online(offline, config, carry or "all")
    where = f"The continuation of {offline.name!r}"
    _check_has(built, ("name", "config", "batch_size"), ONLINE_FUNCTIONS, where)
    if built.name != offline.name or built.carry is None:
        raise RegistrationError(f"{where} must have the same name, and its field carry must say what is carried over.")
    check_recordable(built.config, where)
    return built


def code_behind(built: OfflineAlgorithm | OnlineAlgorithm) -> dict[str, str]:
    """Returns the files of users that an algorithm's results depend on, with their SHA-256; empty for this package's
    own.
    """
    is_offline = hasattr(built, "phases")
    # a continuation is registered with its offline algorithm
    registry: Registry[Any] = OFFLINE if is_offline or getattr(built, "carry", None) is not None else ONLINE
    functions = [getattr(built, name) for name in (OFFLINE_FUNCTIONS if is_offline else ONLINE_FUNCTIONS)]
    functions += [phase.update for phase in getattr(built, "phases", ())]
    score = getattr(built.config, "score", None)
    config = type(built.config)
    code = plugins.code_of([config, *functions], [config.__module__]) | registry.code(built.name)
    return code | (SCORES.code(score) if isinstance(score, str) else {})


def check_actor_critic(found: Any, built: OfflineAlgorithm | OnlineAlgorithm) -> None:
    """Checks that the function ``actor_critic`` of an algorithm returns an actor-critic.

    Args:
      found: the result of this function, or its shapes.
      built: the algorithm.

    Raises:
      RegistrationError: it returns something else.
    """
    if not isinstance(found, ActorCritic):
        raise RegistrationError(
            f"The algorithm {built.name!r}: its function actor_critic gives a {type(found).__name__}, and must give a "
            "smac_jax.ActorCritic: the networks that are evaluated, saved and transferred."
        )


def can_follow(network: Any, built: OnlineAlgorithm) -> bool:
    """Returns whether an online algorithm can continue with a policy.

    An algorithm that needs the density of the policy cannot continue with a one-step flow.

    Args:
      network: an actor, or the ``network`` of an offline config, with the distribution of the policy in the field
        ``distribution``. Without this field, the policy has a density.
      built: the online algorithm.
    """
    return not (built.needs_density and getattr(network, "distribution", None) == "one_step_flow")


def check_density(network: Any, built: OnlineAlgorithm) -> None:
    """Checks :func:`can_follow`.

    Raises:
      ConfigError: the algorithm cannot continue with the policy.
    """
    if not can_follow(network, built):
        raise ConfigError(
            f"{name_of(built.name)} needs the density of the policy's actions, and the policy is a one-step flow "
            "(FQL), which has none. Transfer it to TD3 or TD3+BC, which need no density."
        )


def check_recordable(config: Any, where: str) -> None:
    """Checks that a configuration can be recorded with a run.

    Args:
      config: an instance of a frozen dataclass, whose values are numbers, text, None, and sequences, mappings and
        dataclasses of these.
      where: the owner of the configuration in the error message.

    Raises:
      RegistrationError: it has other values; the message names the field.
    """
    if config is None:
        raise RegistrationError(
            f"{where} has no config, so what ran could not be recorded. Give it a frozen dataclass of its "
            "hyper-parameters; one without fields where it has none."
        )
    if isinstance(config, type) or not dataclasses.is_dataclass(config):
        raise RegistrationError(
            f"{where}: its config is a {type(config).__name__}, which cannot be recorded field by field. Make it a "
            "class with the decorator @dataclasses.dataclass(frozen=True)."
        )
    if not is_frozen(type(config)):
        raise RegistrationError(
            f"{where}: its config {type(config).__name__} can be changed after it was recorded. Make it a frozen "
            "dataclass: @dataclasses.dataclass(frozen=True)."
        )
    for name, value in _leaves(config, type(config).__name__):
        if value is not None and not isinstance(value, (bool, int, float, str)):
            raise RegistrationError(
                f"{where}: {name} holds {_a(value)}, which cannot be recorded. A configuration holds numbers, text, "
                "and sequences of these: give a name here, and look up in the algorithm what it stands for."
            )


def is_frozen(config_class: type) -> bool:
    """Returns whether a class is a frozen dataclass."""
    return bool(getattr(getattr(config_class, "__dataclass_params__", None), "frozen", False))


def _leaves(value: Any, name: str) -> list[tuple[str, Any]]:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        inner = [(f"{name}.{field.name}", getattr(value, field.name)) for field in dataclasses.fields(value)]
    elif isinstance(value, Mapping):
        inner = [(f"{name}[{key!r}]", item) for key, item in value.items()]
    elif isinstance(value, (list, tuple)):
        inner = [(f"{name}[{i}]", item) for i, item in enumerate(value)]
    else:
        return [(name, value)]
    return [leaf for key, item in inner for leaf in _leaves(item, key)]


def _a(value: Any) -> str:
    return "a function" if callable(value) else f"a value of the type {type(value).__name__}"


def _described(registry: Registry[Any], built: Any) -> str:
    name = getattr(built, "name", None)
    return f"The {registry.kind} {name!r}" if isinstance(name, str) else f"This {registry.kind} ({_short(built)})"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else type(value).__name__


def _check_name(registry: Registry[Any], name: str, built: Any) -> None:
    found = getattr(built, "name", None)
    if found != name:
        raise RegistrationError(
            f"The {registry.kind} that is registered as {name!r} builds one with name = {found!r}: both must be the "
            "same, as results are recorded under it."
        )


def _check_alone(built: Any, config: Any) -> None:
    if config is not None:
        raise ConfigError(
            f"config goes with the name of an algorithm; {_short(built)} is an algorithm that has its config already. "
            "Build it from the config that it is to have."
        )


def _check_has(thing: Any, fields: Sequence[str], functions: Sequence[str], where: str) -> None:
    for name in (*fields, *functions):
        if not hasattr(thing, name):
            what = "function" if name in functions else "field"
            raise RegistrationError(f"{where} has no {what} {name!r}. It needs: {', '.join((*fields, *functions))}.")
        if name in functions and not callable(getattr(thing, name)):
            raise RegistrationError(f"{where}: {name} must be a function, and is {_short(getattr(thing, name))}.")
