"""Files of other projects can be imported without their dependencies, and leave no modules behind."""

from __future__ import annotations

import sys

import numpy as np
import pytest

import smac_jax
from benchmarks.peers import STAND_INS, columns, module_at
from smac_jax.errors import ConfigError

THEIRS = """
import d4rl, gym, wandb
import pyrallis
from gym.utils import seeding
from omegaconf import OmegaConf
import sys

random, _ = seeding.np_random(3)
config = OmegaConf.from_cli()
arguments = sys.argv[1:]

@pyrallis.wrap()
def train(config):
    wandb.init()
"""


def test_a_file_of_another_project_is_imported_with_stubs_for_missing_packages(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["peers", "--corl=somewhere"])
    before = set(sys.modules)
    (tmp_path / "theirs.py").write_text(THEIRS)
    module = module_at(tmp_path / "theirs.py", "theirs_for_a_test")
    assert module.random.randint(100) == np.random.RandomState(3).randint(100)
    assert module.arguments == []
    assert sys.argv[1:] == ["--corl=somewhere"]
    left = {name for name in set(sys.modules) - before if name.split(".")[0] in {s.split(".")[0] for s in STAND_INS}}
    assert not {name for name in left if "Mock" in type(sys.modules[name]).__name__}


def test_a_folder_of_another_project_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"td3_bc\.py does not exist"):
        module_at(tmp_path / "td3_bc.py", "nothing")


def test_other_projects_get_the_same_transitions():
    data = smac_jax.load_dataset("hopper-medium-replay")
    given = columns(data)
    assert len(given["rewards"]) == data.size
    within = np.flatnonzero(given["terminals"][:1000] == 0)[:20]
    np.testing.assert_array_equal(given["next_observations"][within], given["observations"][within + 1])
