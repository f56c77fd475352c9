"""How an offline algorithm continues online, with the same update and the state that it ended with.

An offline algorithm offers this as ``OfflineAlgorithm.continue_online``, usually a call of :func:`continuation`. Its
result is an ordinary :class:`~smac_jax.algorithms.contracts.OnlineAlgorithm`, whose ``init`` takes the offline state.
It is made by the offline algorithm itself, and not from its name: a user's algorithm that has the name of a built-in
one continues with its own update, or not at all.
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
"""What a continuation can carry over."""
SAME = "same"
"""In place of the name of an online algorithm: the offline algorithm continues, whatever it is."""


def fixed_fields(config_class: type) -> frozenset[str]:
    """The fields that say what a state is, and cannot change while it is carried: ``OF_STATE`` of the class's bases."""
    return frozenset(name for base in config_class.__mro__ for name in vars(base).get("OF_STATE", ()))


def changed_config(config: C, changes: Any) -> C:
    """The configuration of a continuation.

    Args:
      config: of the offline algorithm.
      changes: a mapping of the fields that differ, or a whole configuration; None: the same configuration.

    Raises:
      ConfigError: a field that does not exist, is out of range, or says what the carried state is.
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
                f"{cls.__name__}.{name} = {online!r}: the state that continues online is of another configuration, "
                f"{name} = {offline!r}. This field cannot change after offline training."
            )
    return changed


def check_carry(carry: str) -> str:
    """Returns it.

    Raises:
      ConfigError: there is no such way to carry a state.
    """
    if carry not in CARRY:
        raise ConfigError(f"carry = {carry!r}: must be one of {', '.join(map(repr, CARRY))}.")
    return carry


def check_fits(name: str, fresh: Any, carried: Any) -> None:
    """Refuses a state that another algorithm or configuration has made.

    Args:
      name: of the algorithm, for the error.
      fresh: a state as the continuation starts it.
      carried: the offline state.

    Raises:
      ConfigError: the two have other leaves, or leaves of other shapes.
    """
    if not alike(fresh, carried):
        raise ConfigError(
            f"{name} online: the carried state is of another configuration (its optimizers, or its networks). Continue "
            "with the configuration of the offline training, or with carry = 'networks'."
        )


def keep_optimizers(*more: str) -> Callable[[S, S], S]:
    """Gives ``(restarted, carried) -> state``: the restarted learner with the carried states of its optimizers.

    Args:
      more: fields of the state that hold optimizers, beside those that every
        :class:`~smac_jax.algorithms.learner.Learner` has.
    """
    fields = ("critic_optimizer", "actor_optimizer", *more)
    return lambda fresh, carried: fresh.replace(**{field: getattr(carried, field) for field in fields})  # type: ignore


LEARNERS_OPTIMIZERS: Callable[[Any, Any], Any] = keep_optimizers()
"""For states with no optimizers of networks but those of every learner."""


def carried_state(
    name: str, carry: str, state: S, restart: Callable[[S], S], with_optimizers: Callable[[S, S], S]
) -> S:
    """The first online state.

    Args:
      name: of the algorithm, for the errors.
      carry: as in :class:`~smac_jax.algorithms.contracts.ContinueOnline`.
      state: the offline state.
      restart: gives a state with the same networks and everything else as it was at the start.
      with_optimizers: ``(restarted, carried) -> state``, the restarted state with the optimizers of its networks.

    Raises:
      ConfigError: the state is that of another configuration.
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
    """``OfflineAlgorithm.continue_online`` of an algorithm whose update online is its update offline.

    Args:
      state_class: of its state.
      update: gives the update of a configuration.
      restart: ``(config, state) -> state`` with the same networks, and everything else as at the start.
      with_optimizers: ``(restarted, carried) -> state``, the restarted state with the optimizers of its networks.
      adapt: ``(offline config, online config, state) -> state`` before anything is carried.
      check: refuses configurations whose fields do not go together.
      act, actor_critic: as in :class:`~smac_jax.algorithms.contracts.OnlineAlgorithm`.
      prepare, return_discount: the same, of a configuration.
    """

    def continue_online(offline: OfflineAlgorithm[Any], changes: Any = None, carry: str = "all") -> OnlineAlgorithm[S]:
        name, carry = offline.name, check_carry(carry)
        if not same_function(offline.phases[-1].update, update(offline.config)):
            raise ConfigError(
                f"{name} online: this {name} was trained offline with an update of its own, and its continue_online "
                "continues with another one. Give it a continue_online of its own (smac_jax.extend.continuation)."
            )
        online: Config = changed_config(offline.config, changes)
        check(online)

        def init(key: Key, actor_critic: ActorCritic, state: Any = None) -> S:
            del key, actor_critic  # the state has its own
            if not isinstance(state, state_class):
                raise ConfigError(
                    f"{name} online: continues its own offline training, and has no state of it. Pass the result of "
                    f"pretrain({name!r}, ...) to finetune in place of the actor-critic."
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
        )

    return continue_online


def same_function(a: Any, b: Any) -> bool:
    """Whether two functions do the same: equal ones, partial ones of equal parts, or closures of one definition."""
    if isinstance(a, partial) and isinstance(b, partial):
        parts = [(a.func, b.func), *zip(a.args, b.args, strict=False)]
        return len(a.args) == len(b.args) and a.keywords == b.keywords and all(same_function(*pair) for pair in parts)
    codes = [getattr(inspect.unwrap(x), "__code__", None) if callable(x) else None for x in (a, b)]
    return a is b or (codes[0] is not None and codes[0] is codes[1]) or (a == b) is True


def what_is_carried(online: OnlineAlgorithm[Any]) -> str:
    """What an online algorithm takes from offline training, for the provenance of results."""
    if online.carry is not None:
        return {"all": "the whole state", "optimizers": "networks, optimizers", "networks": "networks"}[online.carry]
    parts = {"optimizer_start": "optimizers", "temperature_start": "temperature"}
    return ", ".join(["networks", *(p for field, p in parts.items() if getattr(online.config, field, "") == "carried")])


def handed_over(offline: OfflineAlgorithm[S], online: OnlineAlgorithm[Any], state: S) -> Any:
    """What ``online.init`` takes beside the networks: the whole offline state where it continues, else its offer."""
    return offline.training_state(state) if online.carry is None else state
