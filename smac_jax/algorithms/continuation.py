"""The continuation of an offline algorithm online, with the same update and the state at the end of offline training.

``OfflineAlgorithm.continue_online`` makes it; usually that is the result of :func:`continuation`. The continuation is
an ordinary :class:`~smac_jax.algorithms.contracts.OnlineAlgorithm`, whose ``init`` takes the offline state. It is made
from the algorithm object and not from its name, so a user's algorithm with the name of a built-in one continues with
its own update, or not at all.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from smac_jax.algorithms.actor_critic import ActorCritic
from smac_jax.algorithms.carry_over import alike
from smac_jax.algorithms.contracts import (
    Act,
    Config,
    ContinueOnline,
    GetActorCritic,
    OfflineAlgorithm,
    OnlineAlgorithm,
    Prepare,
    Update,
    same_dataset,
)
from smac_jax.algorithms.learner import actor_critic_of, draw_action
from smac_jax.config import resolve
from smac_jax.errors import ConfigError
from smac_jax.types import Key

C = TypeVar("C")
S = TypeVar("S")

CARRY = ("all", "optimizers", "networks")
"""The choices of what a continuation takes over from offline training."""
SAME = "same"
"""A value in place of the name of an online algorithm, which means that the offline algorithm continues."""


def fixed_fields(config_class: type) -> frozenset[str]:
    """Returns the fields on which the form or the meaning of a state depends, so that they cannot change online.

    They are those in ``OF_STATE`` of the class and of its bases.
    """
    return frozenset(name for base in config_class.__mro__ for name in vars(base).get("OF_STATE", ()))


def changed_config(config: C, changes: Any) -> C:
    """Returns the configuration of a continuation.

    Args:
      config: the configuration of the offline algorithm.
      changes: a mapping of the fields that differ, or a whole configuration; None for the same configuration.

    Raises:
      ConfigError: a field does not exist, is out of range, or cannot change online.
    """
    if changes is None:
        return config
    cls = type(config)
    if isinstance(changes, cls):
        changes = {field.name: getattr(changes, field.name) for field in dataclasses.fields(changes)}  # type: ignore
    changed = resolve(cls, config, **dict(changes.items()))
    for name in sorted(fixed_fields(cls)):
        offline, online = getattr(config, name), getattr(changed, name)
        if offline != online:
            raise ConfigError(
                f"{cls.__name__}.{name} = {online!r}: the offline state was made with {name} = {offline!r}. This field "
                "cannot change after offline training."
            )
    return changed


def check_carry(carry: str) -> str:
    """Returns ``carry`` if it is one of :data:`CARRY`.

    Raises:
      ConfigError: it is not.
    """
    if carry not in CARRY:
        raise ConfigError(f"carry = {carry!r}: must be one of {', '.join(map(repr, CARRY))}.")
    return carry


def check_fits(name: str, fresh: Any, carried: Any) -> None:
    """Checks that an offline state has the form that the continuation needs.

    Args:
      name: the name of the algorithm in the error message.
      fresh: a new state of the continuation.
      carried: the offline state.

    Raises:
      ConfigError: the two have different leaves, or leaves of different shapes.
    """
    if not alike(fresh, carried):
        raise ConfigError(
            f"{name} online: the offline state was made with another configuration (of optimizers or networks). "
            "Continue with the configuration of the offline training, or with carry = 'networks'."
        )


def keep_optimizers(*more: str) -> Callable[[S, S], S]:
    """Returns a function ``(restarted, carried) -> state`` that puts the offline optimizer states in a restarted state.

    Args:
      more: further fields of the state with optimizer states, in addition to those of every
        :class:`~smac_jax.algorithms.learner.Learner`.
    """
    fields = ("critic_optimizer", "actor_optimizer", *more)
    return lambda fresh, carried: fresh.replace(**{field: getattr(carried, field) for field in fields})  # type: ignore


LEARNERS_OPTIMIZERS: Callable[[Any, Any], Any] = keep_optimizers()
"""The function for states that have no other optimizers of networks than every learner."""


def carried_state(
    name: str, carry: str, state: S, restart: Callable[[S], S], with_optimizers: Callable[[S, S], S]
) -> S:
    """Returns the first online state.

    Args:
      name: the name of the algorithm in error messages.
      carry: as in :class:`~smac_jax.algorithms.contracts.ContinueOnline`.
      state: the offline state.
      restart: a function that returns a state with the same networks, and with new values of everything else.
      with_optimizers: ``(restarted, carried) -> state``, which puts the offline states of the networks' optimizers in a
        restarted state.

    Raises:
      ConfigError: the offline state was made with another configuration.
    """
    fresh = restart(state)
    if carry == "networks":
        return fresh
    check_fits(name, fresh, state)
    return state if carry == "all" else with_optimizers(fresh, state)


def continuation(
    state_class: type[S],
    update: Callable[[Any], Update[S]],
    restart: Callable[[Any, S], S],
    *,
    with_optimizers: Callable[[S, S], S] = LEARNERS_OPTIMIZERS,
    adapt: Callable[[Any, Any, S], S] = lambda offline, online, state: state,
    check: Callable[[Any], None] = lambda config: None,
    act: Act[Any] = draw_action,
    actor_critic: GetActorCritic[Any] = actor_critic_of,
    prepare: Callable[[Any], Prepare] = lambda config: same_dataset,
    return_discount: Callable[[Any], float | None] = lambda config: None,
) -> ContinueOnline:
    """Returns ``OfflineAlgorithm.continue_online`` for an algorithm whose updates online and offline are the same.

    Args:
      state_class: the class of its state.
      update: a function that returns the update for a configuration.
      restart: ``(config, state) -> state``, which returns a state with the same networks, and with new values of
        everything else.
      with_optimizers: ``(restarted, carried) -> state``, which puts the offline states of the networks' optimizers in a
        restarted state.
      adapt: ``(offline config, online config, state) -> state``, which changes the offline state before it is used.
      check: raises an error if fields of a configuration contradict each other.
      act, actor_critic: as in :class:`~smac_jax.algorithms.contracts.OnlineAlgorithm`.
      prepare, return_discount: functions that return these fields of ``OnlineAlgorithm`` for a configuration.
    """

    def continue_online(offline: OfflineAlgorithm[Any], changes: Any = None, carry: str = "all") -> OnlineAlgorithm[S]:
        name, carry = offline.name, check_carry(carry)
        if not same_function(offline.phases[-1].update, update(offline.config)):
            raise ConfigError(
                f"{name} online: this {name} was trained offline with another update than that of its continue_online. "
                "Give it its own continue_online (smac_jax.extend.continuation)."
            )
        online: Config = changed_config(offline.config, changes)
        check(online)

        def init(key: Key, actor_critic: ActorCritic, state: Any = None) -> S:
            del key, actor_critic  # the state has an actor-critic
            if not isinstance(state, state_class):
                raise ConfigError(
                    f"{name} online: it continues its own offline training, but was given no offline state. Pass the "
                    f"result of pretrain({name!r}, ...) to finetune in place of the actor-critic."
                )
            adapted = adapt(offline.config, online, state)
            return carried_state(name, carry, adapted, partial(restart, online), with_optimizers)

        return OnlineAlgorithm(
            name=name,
            config=online,
            init=init,
            update=update(online),
            act=act,
            actor_critic=actor_critic,
            batch_size=online.batch_size,  # type: ignore[attr-defined]
            prepare=prepare(online),
            carry=carry,
            return_discount=return_discount(online),
            evaluate_draws=offline.evaluate_draws,
        )

    return continue_online


def same_function(a: Any, b: Any) -> bool:
    """Returns whether two functions are equal, are partial with equal parts, or are closures of one definition."""
    if isinstance(a, partial) and isinstance(b, partial):
        parts = [(a.func, b.func), *zip(a.args, b.args, strict=False)]
        return len(a.args) == len(b.args) and a.keywords == b.keywords and all(same_function(*pair) for pair in parts)
    codes = [getattr(inspect.unwrap(x), "__code__", None) if callable(x) else None for x in (a, b)]
    return a is b or (codes[0] is not None and codes[0] is codes[1]) or (a == b) is True


def what_is_carried(online: OnlineAlgorithm[Any]) -> str:
    """Returns a description of what an online algorithm takes from offline training, for the provenance of results."""
    if online.carry is not None:
        return {"all": "the whole state", "optimizers": "networks, optimizers", "networks": "networks"}[online.carry]
    parts = {"optimizer_start": "optimizers", "temperature_start": "temperature"}
    return ", ".join(["networks", *(p for field, p in parts.items() if getattr(online.config, field, "") == "carried")])


def state_for_online(offline: OfflineAlgorithm[S], online: OnlineAlgorithm[Any], state: S) -> Any:
    """Returns the last argument of ``online.init``.

    It is the whole offline state if the online algorithm is a continuation, and otherwise the
    :class:`~smac_jax.algorithms.contracts.TrainingState`, if there is one.
    """
    return offline.training_state(state) if online.carry is None else state
