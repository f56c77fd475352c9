"""The networks of an actor-critic as JSON: fields, and the class of networks that users define.

A checkpoint must not cause imports. So classes and functions are looked up only in modules that have been imported, and
functions never in Python's standard library.
"""

from __future__ import annotations

import dataclasses
import importlib
import sys
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
from flax import linen as nn

from smac_jax.algorithms.actor_critic import ActorCritic
from smac_jax.errors import CheckpointError, ConfigError
from smac_jax.networks import Actor, Critic
from smac_jax.plugins import LIBRARIES, code_of, shown_path

PUBLIC = ("jax.nn", "jax.numpy", "flax.linen", "flax.linen.initializers")
"""Modules in which functions are looked up first: their public names are stable, their ``__module__`` is not."""


NETWORKS: dict[str, Any] = {"actor": Actor, "critic": Critic}


def describe_networks(actor_critic: ActorCritic) -> dict[str, dict[str, Any]]:
    """The networks as JSON.

    Raises:
      ConfigError: as for :func:`describe`.
    """
    networks = {}
    for name, ours in NETWORKS.items():
        module = getattr(actor_critic, name)
        if type(module) is ours:
            fields = [f.name for f in dataclasses.fields(module) if f.name not in ("parent", "name")]
            networks[name] = {field: getattr(module, field) for field in fields}
        else:
            networks[name] = describe(module)
    return networks


def rebuild_networks(described: Mapping[str, Any], where: str) -> dict[str, nn.Module]:
    """The networks from the description of :func:`describe_networks`; warns if the file of a class has changed.

    Args:
      described: the description.
      where: the place of the description, for the warning.

    Raises:
      CheckpointError: as for :func:`rebuild`.
    """
    networks = {}
    for name, ours in NETWORKS.items():
        fields = described[name]
        if "class" not in fields:
            networks[name] = ours(**{k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()})
            continue
        networks[name] = rebuild(fields)
        for file in changed_code(fields):
            text = f"{where}: {file}, which defines the {name}, has changed since this was saved."
            warnings.warn(text, stacklevel=3)
    return networks


def describe(module: nn.Module) -> dict[str, Any]:
    """A Flax module as JSON.

    Raises:
      ConfigError: the class, or the value of a field, has no name by which it can be found again.
    """
    cls = type(module)
    if _found(cls.__module__, cls.__qualname__) is not cls:
        raise ConfigError(
            f"The network {cls.__qualname__} cannot be saved: it is defined inside a function, so that nothing else "
            "can import it. Define it at the top level of a file."
        )
    fields = {}
    for field in dataclasses.fields(cls):  # type: ignore[arg-type]
        if not field.init or field.name in ("parent", "name"):
            continue
        value = getattr(module, field.name)
        try:
            fields[field.name] = _encoded(value, f"{cls.__name__}.{field.name}")
        except ConfigError:
            if value is not field.default:  # the class itself provides its default
                raise
    file = getattr(sys.modules[cls.__module__], "__file__", None)
    return {
        "class": f"{cls.__module__}:{cls.__qualname__}",
        "file": file,
        "code": code_of([cls], [cls.__module__]),
        "fields": fields,
    }


def rebuild(described: Mapping[str, Any]) -> nn.Module:
    """The Flax module from the description of :func:`describe`.

    Raises:
      CheckpointError: its class has not been imported, or is not a Flax module.
    """
    module, _, name = described["class"].partition(":")
    cls = _found(module, name)
    if cls is None:
        file = described.get("file")
        how = f"--import={shown_path(file)}" if file else f"--import={module}"
        raise CheckpointError(
            f"its network is the class {name} of {module}, which is not imported: give {how}, or in Python "
            f"`import {module}` before."
        )
    if not isinstance(cls, type) or not issubclass(cls, nn.Module):
        raise CheckpointError(f"{described['class']} is not a flax.linen.Module")
    return cls(**{name: _decoded(value) for name, value in described["fields"].items()})


def changed_code(described: Mapping[str, Any]) -> list[str]:
    """The files of a module's class that have changed since it was described."""
    module, _, name = described["class"].partition(":")
    now = code_of([_found(module, name)], [module])
    return [file for file, sha256 in described.get("code", {}).items() if now.get(file) != sha256]


def _found(module: str, name: str) -> Any:
    """The object with a dotted name in an imported module; None if there is none."""
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    return found


def _encoded(value: Any, name: str) -> Any:
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (list, tuple)):
        return [_encoded(item, name) for item in value]
    if isinstance(value, Mapping):
        return {"mapping": {str(key): _encoded(item, name) for key, item in value.items()}}
    if isinstance(value, nn.Module):
        return describe(value)
    if (dtype := _dtype(value)) is not None:
        return {"dtype": dtype}
    if callable(value):
        known = getattr(value, "__qualname__", getattr(value, "__name__", ""))
        for module in (*PUBLIC, getattr(value, "__module__", "")):
            if known and _found(module, known) is value:
                return {"function": f"{module}:{known}"}
    raise ConfigError(
        f"The network's field {name} cannot be saved: it holds {value!r:.80}. It may hold numbers, text, sequences and "
        "mappings of these, dtypes, other Flax modules, and functions at the top level of a module (no lambda, and no "
        "function that is defined inside another one)."
    )


def _decoded(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(map(_decoded, value))
    if not isinstance(value, dict):
        return value
    if "class" in value:
        return rebuild(value)
    if "mapping" in value:
        return {key: _decoded(item) for key, item in value["mapping"].items()}
    if "dtype" in value:
        return np.dtype(value["dtype"])
    module, _, name = value["function"].partition(":")
    top = module.partition(".")[0]
    if module in PUBLIC:
        importlib.import_module(module)
    found = None if top in sys.stdlib_module_names and top not in LIBRARIES else _found(module, name)
    if found is None:
        raise CheckpointError(f"its network uses the function {name} of {module}, which is not imported")
    return found


def _dtype(value: Any) -> str | None:
    """The name of a NumPy or JAX dtype; None for other values."""
    if isinstance(value, type) and issubclass(value, np.generic):
        value = np.dtype(value)
    elif not hasattr(value, "shape"):  # jnp.float32 has a dtype, and so has an array
        value = getattr(value, "dtype", None)
    return value.name if isinstance(value, np.dtype) else None
