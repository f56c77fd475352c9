"""Score-matched actor-critics (SMAC): pre-training on logged data, and fine-tuning online without a dip in the return.

>>> env = smac_jax.make_env("hopper")
>>> data = smac_jax.load_dataset("hopper-medium-replay")
>>> off = smac_jax.pretrain("smac", data, seeds=4, num_updates=20_000)
>>> on = smac_jax.finetune("sac", off.actor_critic, env, data, seeds=4, num_steps=20_000)
>>> returns = smac_jax.evaluate(on.actor_critic, env, episodes=20)
>>> policy = smac_jax.load("results/quickstart/runs/halfcheetah-medium-replay/smac/seeds-0-3/to-sac", seed=0)
>>> action = policy(observation)  # needs NumPy only
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from smac_jax.version import __version__ as __version__

if TYPE_CHECKING:
    from smac_jax.algorithms import ActorCritic
    from smac_jax.data import Dataset, load_dataset
    from smac_jax.deploy.export import export
    from smac_jax.deploy.load import load
    from smac_jax.envs import make_env
    from smac_jax.train.evaluate import evaluate
    from smac_jax.train.offline import pretrain
    from smac_jax.train.online import finetune

__all__ = ["ActorCritic", "Dataset", "evaluate", "export", "finetune", "load", "load_dataset", "make_env", "pretrain"]

_HOMES = {
    "ActorCritic": "smac_jax.algorithms",
    "Dataset": "smac_jax.data",
    "evaluate": "smac_jax.train.evaluate",
    "export": "smac_jax.deploy.export",
    "finetune": "smac_jax.train.online",
    "load": "smac_jax.deploy.load",
    "load_dataset": "smac_jax.data",
    "make_env": "smac_jax.envs",
    "pretrain": "smac_jax.train.offline",
}


def __getattr__(name: str) -> Any:
    # Imported on first use: JAX, Flax, MuJoCo and Brax together take seconds, and `import smac_jax` should not.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
