"""What every program does with its command line."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from absl import flags

from experiments.configs.base import get_config as get_base
from experiments.configs.quickstart import get_config as get_quickstart
from experiments.setup import results_folder, underscored, with_config_found
from smac_jax.errors import ConfigError

ROOT = Path(__file__).parents[2]


@pytest.fixture
def known(monkeypatch):
    """Flags of a program that is not running."""
    found = flags.FlagValues()
    flags.DEFINE_bool("dry_run", False, "", flag_values=found)
    flags.DEFINE_string("config", None, "", flag_values=found)
    monkeypatch.setattr("experiments.setup.flags.FLAGS", found)


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("--dry-run", "--dry_run"),
        ("--dry_run", "--dry_run"),
        ("--nodry-run", "--nodry_run"),
        ("--no-dry-run", "--nodry_run"),
        ("--no_dry_run", "--nodry_run"),
        ("--no-un-known", "--no-un-known"),
        ("--dry-run=true", "--dry_run=true"),
        ("--config=a-file.py", "--config=a-file.py"),
        ("--config.finetune.num-steps=-3", "--config.finetune.num_steps=-3"),
        ("--un-known=3", "--un-known=3"),
        ("-dry-run", "-dry-run"),
        ("a-b", "a-b"),
        ("---", "---"),
        ("-", "-"),
    ],
)
def test_a_dash_in_a_name_is_an_underscore_and_in_a_value_itself(known, given, meant):
    assert underscored(["pro-gram", given]) == ["pro-gram", meant]


def test_what_stands_behind_two_dashes_is_no_flag(known):
    assert underscored(["a", "--dry-run", "--", "--dry-run"]) == ["a", "--dry_run", "--", "--dry-run"]


def test_both_spellings_reach_the_program_from_a_file_of_flags_too(tmp_path):
    flagfile = tmp_path / "sweep.flags"
    flagfile.write_text("--seeds-per-block=2\n--config.finetune.num-steps=7\n--first_seed=3\n")
    program = (
        "from experiments import sweep\n"
        "from experiments.setup import run\n"
        "def main(argv):\n"
        "    f = sweep.FLAGS\n"
        "    print(f.dry_run, f.seeds_per_block, f.first_seed, f.save_every, f.config.finetune.num_steps)\n"
        "run(main)"
    )
    arguments = ["--dry-run", f"--flagfile={flagfile}", "--save-every", "5"]
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.stdout.split() == ["True", "2", "3", "5.0", "7"], done.stderr


def test_the_packages_configurations_are_found_from_anywhere(tmp_path, monkeypatch):
    """By default, and by the names that README gives; a file of the user's comes first."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    own = "experiments/configs/quickstart.py"
    assert with_config_found(["p", f"--config={own}"]) == ["p", f"--config={ROOT / own}"]
    assert with_config_found(["p", "--config", f"{own}:a:b", own]) == ["p", "--config", f"{ROOT / own}:a:b", own]
    for given, meant in {"~/my.py:x": f"{tmp_path}/home/my.py:x", "my.py": "my.py", "": ""}.items():
        assert with_config_found(["p", f"--config={given}"]) == ["p", f"--config={meant}"]
    assert with_config_found(["p", "--", f"--config={own}"]) == ["p", "--", f"--config={own}"]
    program = (
        "from experiments import sweep\n"
        "from experiments.setup import run\n"
        "run(lambda argv: print(sweep.FLAGS.config.pretrain.num_updates))"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    said = {}
    for argument in ("--seeds=1", f"--config={own}"):
        done = subprocess.run(
            [sys.executable, "-c", program, argument], capture_output=True, text=True, timeout=120, env=environment
        )
        assert done.returncode == 0, done.stderr
        said[argument] = int(done.stdout)
    assert said["--seeds=1"] == get_base().pretrain.num_updates
    assert said[f"--config={own}"] == get_quickstart().pretrain.num_updates
    (tmp_path / own).parent.mkdir(parents=True)
    (tmp_path / own).touch()
    assert with_config_found(["p", f"--config={own}"]) == ["p", f"--config={own}"]


def test_results_go_into_a_folder_of_this_machine(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert results_folder("~/x") == tmp_path / "x"
    (tmp_path / "file").touch()
    for given in ("~/file", "~/file/below"):
        with pytest.raises(ConfigError, match=f"--results={given}: {tmp_path}/file is a file"):
            results_folder(given)
    with pytest.raises(ConfigError, match="is a URL"):
        results_folder("gs://bucket/x")
