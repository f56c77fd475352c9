r"""Updates per second compared with CORL, JAX-CORL and WSRL: their own code and loops, on the same data.

    git clone https://github.com/tinkoff-ai/CORL peers/corl
    git clone https://github.com/nissymori/JAX-CORL peers/jax_corl
    git clone https://github.com/zhouzypaul/wsrl peers/wsrl
    pip install -e '.[bench,peers]'
    python -m benchmarks.peers --corl=peers/corl --jax_corl=peers/jax_corl --wsrl=peers/wsrl

Their files are imported without changes. Packages that they import but the benchmark does not need (d4rl, gym,
mujoco-py, wandb) are replaced by stand-ins, so that the files run on current versions of Python. A name that JAX has
removed (`jax.tree_map`) is defined again. Networks, losses, sampling of batches and the number of updates per compiled
call are theirs. The benchmark is of TD3+BC and SAC with networks of 2 x 256, two critics, batches of 256 and one seed.
JAX-CORL's critics also have layer norm.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import types
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags

import smac_jax
from benchmarks.learners import SIZES, case, learner
from benchmarks.measure import Case, Report, in_turns, rows
from smac_jax.data.dataset import Dataset
from smac_jax.errors import ConfigError
from smac_jax.files import local_path
from smac_jax.sweep.program import run

FLAGS = flags.FLAGS
flags.DEFINE_string("corl", None, "A checkout of CORL.")
flags.DEFINE_string("jax_corl", None, "A checkout of JAX-CORL.")
flags.DEFINE_string("wsrl", None, "A checkout of WSRL.")
flags.DEFINE_integer("length", 100, "Updates per call of a timing; for smac_jax, per compiled call.", lower_bound=8)

STAND_INS = ("d4rl", "gym", "gym.utils", "mujoco_py", "pyrallis", "wandb", "omegaconf")
BATCH = 256


def main(argv: Sequence[str]) -> int:
    """Measures and reports."""
    del argv
    given = {name: str(local_path(str(FLAGS[name].value))) for name in PEERS if FLAGS[name].value}
    if not given:
        raise ConfigError("Give at least one checkout: --corl, --jax_corl, --wsrl. --help shows how to get them.")
    for name, folder in given.items():
        if not Path(folder).is_dir():
            raise ConfigError(f"--{name}: {folder} is not a folder.")
    data = smac_jax.load_dataset("hopper-medium-replay")
    report = Report("Beside its peers", "One seed, 2 x 256, batches of 256, hopper-medium-replay")
    report.tables["peers"] = [{"name": name, "commit": commit(Path(folder))} for name, folder in given.items()]
    for algorithm, peers in {"td3_bc": ("corl", "jax_corl"), "sac": ("wsrl",)}.items():
        cases = [PEERS[peer](Path(given[peer]), data) for peer in peers if peer in given]
        if cases:
            ours = case("smac_jax", learner(algorithm, SIZES["field"], 1, data), FLAGS.length)
            timings = in_turns([*cases, ours])
            made = rows(report, timings)
            for line, timing in zip(made, timings, strict=True):
                line["ours / it"] = timings[-1].rate / timing.rate
            report.table(algorithm, made)
    report.finish()
    return 0


def commit(folder: Path) -> str:
    """The commit of a checkout; ``unknown`` if the folder is not one."""
    found = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        cwd=folder,
        capture_output=True,
        text=True,
        encoding="utf-8",
        errors="replace",
    )
    return found.stdout.strip() or "unknown"


@contextmanager
def stand_ins() -> Iterator[None]:
    """Makes packages importable that are neither installed nor needed."""
    added: dict[str, Any] = {}
    for name in STAND_INS:
        if name not in sys.modules and (name.split(".")[0] in added or importlib.util.find_spec(name) is None):
            added[name] = MagicMock(name=name)
    seeding = types.ModuleType("gym.utils.seeding")
    seeding.np_random = lambda seed=None: (np.random.RandomState(seed), seed)  # type: ignore[attr-defined]
    if "gym.utils" in added:
        added["gym.utils"].seeding = added["gym.utils.seeding"] = seeding
    if "omegaconf" in added:
        added["omegaconf"].OmegaConf.from_cli = dict
    sys.modules.update(added)
    arguments, sys.argv = sys.argv, sys.argv[:1]  # one of the files reads the command line when it is imported
    try:
        yield
    finally:
        sys.argv = arguments
        for name in added:
            del sys.modules[name]


def module_at(path: Path, name: str) -> Any:
    """Imports a file under a given module name."""
    spec = importlib.util.spec_from_file_location(name, path)
    if not path.exists() or spec is None or spec.loader is None:
        raise ConfigError(f"{path} does not exist. Check that this is the right checkout.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # needed by dataclasses
    with stand_ins():
        spec.loader.exec_module(module)
    return module


def columns(data: Dataset) -> dict[str, np.ndarray]:
    """The data set in the form of D4RL's ``qlearning_dataset``."""
    every = jax.tree.map(np.asarray, data.transitions())
    return {
        "observations": every.observation,
        "actions": every.action,
        "rewards": every.reward,
        "next_observations": every.next_observation,
        "terminals": every.terminal,
    }


def corl(folder: Path, data: Dataset) -> Case:
    """``algorithms/offline/td3_bc.py``, with the loop of its ``train``."""
    import torch

    theirs = module_at(folder / "algorithms/offline/td3_bc.py", "corl_td3_bc")
    given = columns(data)
    sizes = given["observations"].shape[1], given["actions"].shape[1]
    device = "cuda" if torch.cuda.is_available() else "cpu"
    buffer = theirs.ReplayBuffer(*sizes, len(given["rewards"]), device)
    buffer.load_d4rl_dataset(given)
    actor = theirs.Actor(*sizes, 1.0).to(device)
    critics = [theirs.Critic(*sizes).to(device) for _ in range(2)]
    optimizers = [torch.optim.Adam(network.parameters(), lr=3e-4) for network in (actor, *critics)]
    trainer = theirs.TD3_BC(
        max_action=1.0,
        actor=actor,
        actor_optimizer=optimizers[0],
        critic_1=critics[0],
        critic_1_optimizer=optimizers[1],
        critic_2=critics[1],
        critic_2_optimizer=optimizers[2],
        policy_noise=0.2,
        noise_clip=0.5,
        device=device,
    )

    def loop() -> None:
        for _ in range(FLAGS.length):
            batch = [b.to(device) for b in buffer.sample(BATCH)]
            trainer.train(batch)  # waits for the device, because it ends with .item()

    return Case("CORL (PyTorch)", loop, units=FLAGS.length)


def jax_corl(folder: Path, data: Dataset) -> Case:
    """``algos/td3bc.py``, with the loop of its main block, which has eight updates per compiled call."""
    theirs = module_at(folder / "algos/td3bc.py", "jax_corl_td3bc")
    config, given = theirs.config, columns(data)
    transitions = theirs.Transition(
        observations=jnp.asarray(given["observations"]),
        actions=jnp.asarray(given["actions"]),
        rewards=jnp.asarray(given["rewards"]),
        next_observations=jnp.asarray(given["next_observations"]),
        dones=jnp.asarray(given["terminals"]),
    )
    example = jax.tree.map(lambda x: x[0], transitions)
    key = jax.random.PRNGKey(0)
    held = {
        "state": theirs.create_td3bc_train_state(key, example.observations, example.actions, config),
        "key": key,
    }
    update = jax.jit(theirs.TD3BC().update_n_times, static_argnums=(3,))
    calls = max(1, FLAGS.length // config.n_jitted_updates)

    def loop() -> None:
        for _ in range(calls):
            held["key"], key = jax.random.split(held["key"])
            held["state"], info = update(held["state"], transitions, key, config)
        jax.block_until_ready(info)

    return Case(f"JAX-CORL ({config.n_jitted_updates} a call)", loop, units=calls * config.n_jitted_updates)


def wsrl(folder: Path, data: Dataset) -> Case:
    """``SACAgent.update`` on batches of its own ``Dataset``, with the loop of ``finetune.py``."""
    if not hasattr(jax, "tree_map"):
        jax.tree_map = jax.tree.map  # type: ignore[attr-defined]
    sys.path.insert(0, str(folder))
    try:
        with stand_ins():
            from wsrl.agents.sac import SACAgent
            from wsrl.data.dataset import Dataset as Theirs
    except ImportError as error:
        raise ConfigError(
            f"--wsrl={folder}: {error}. Install its dependencies: pip install 'smac_jax[peers]'."
        ) from error
    finally:
        sys.path.remove(str(folder))
    given = columns(data)
    given["masks"] = 1.0 - given.pop("terminals")
    source = Theirs(given, seed=0)
    network = {"hidden_dims": [256, 256], "activate_final": True, "use_layer_norm": False}
    held = {
        "agent": SACAgent.create(
            jax.random.PRNGKey(0),
            given["observations"][:1],
            given["actions"][:1],
            encoder_def=None,
            critic_network_kwargs=network,
            policy_network_kwargs=network,
            policy_kwargs={"tanh_squash_distribution": True, "std_parameterization": "exp"},
            target_entropy=0.0,
        )
    }

    def loop() -> None:
        for _ in range(FLAGS.length):
            held["agent"], info = held["agent"].update(source.sample(BATCH))
        jax.block_until_ready(info)

    return Case("WSRL", loop, units=FLAGS.length)


PEERS: dict[str, Callable[[Path, Dataset], Case]] = {"corl": corl, "jax_corl": jax_corl, "wsrl": wsrl}


if __name__ == "__main__":
    run(main)
