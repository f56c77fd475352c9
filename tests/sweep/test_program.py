"""The handling of command lines that all programs share."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest
from absl import flags

from smac_jax.errors import ConfigError
from smac_jax.presets.base import get_config as get_base
from smac_jax.presets.quickstart import get_config as get_quickstart
from smac_jax.sweep.program import PRESETS, config_file, presets, results_folder, underscored, with_config_found

ROOT = Path(__file__).parents[2]


@pytest.fixture
def known(monkeypatch):
    """Returns the flags of a program that is not running."""
    found = flags.FlagValues()
    flags.DEFINE_bool("dry_run", False, "", flag_values=found)
    flags.DEFINE_string("config", None, "", flag_values=found)
    monkeypatch.setattr("smac_jax.sweep.program.flags.FLAGS", found)


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
def test_dashes_in_names_of_flags_become_underscores(known, given, meant):
    assert underscored(["pro-gram", given]) == ["pro-gram", meant]


def test_arguments_after_two_dashes_are_not_flags(known):
    assert underscored(["a", "--dry-run", "--", "--dry-run"]) == ["a", "--dry_run", "--", "--dry-run"]


def test_a_file_of_flags_accepts_both_spellings(tmp_path):
    flagfile = tmp_path / "sweep.flags"
    flagfile.write_text("--seeds-per-job=2\n--config.finetune.num-steps=7\n--first_seed=3\n")
    program = (
        "from smac_jax.commands import sweep\n"
        "from smac_jax.sweep.program import run\n"
        "def main(argv):\n"
        "    f = sweep.FLAGS\n"
        "    print(f.dry_run, f.seeds_per_job, f.first_seed, f.save_every, f.config.finetune.num_steps)\n"
        "run(main)"
    )
    arguments = ["--dry-run", f"--flagfile={flagfile}", "--save-every", "5"]
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.stdout.split() == ["True", "2", "3", "5.0", "7"], done.stderr


def test_presets_are_found_by_name_from_anywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    preset = f"{PRESETS / 'quickstart'}.py"
    assert with_config_found(["p", "--config=quickstart"]) == ["p", f"--config={preset}"]
    assert with_config_found(["p", "--config", "quickstart:a:b", "ours"]) == ["p", "--config", f"{preset}:a:b", "ours"]
    for given, meant in {"~/my.py:x": f"{tmp_path}/home/my.py:x", "my.py": "my.py", "": ""}.items():
        assert with_config_found(["p", f"--config={given}"]) == ["p", f"--config={meant}"]
    assert with_config_found(["p", "--", "--config=quickstart"]) == ["p", "--", "--config=quickstart"]
    with_fields = ["p", "--config.smac.kappa=2", "--seeds=1", "--config=quickstart", "--", "x"]
    assert with_config_found(with_fields) == [
        "p",
        f"--config={preset}",
        "--config.smac.kappa=2",
        "--seeds=1",
        "--",
        "x",
    ]
    with pytest.raises(ConfigError, match=r"The presets are .*wsrl_base. Did you mean quickstart\?"):
        config_file("quikstart")
    program = (
        "from smac_jax.commands import sweep\n"
        "from smac_jax.sweep.program import run\n"
        "run(lambda argv: print(sweep.FLAGS.config.pretrain.num_updates))"
    )
    said = {}
    for argument in ("--seeds=1", "--config=quickstart"):
        done = subprocess.run([sys.executable, "-c", program, argument], capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        said[argument] = int(done.stdout)
    assert said["--seeds=1"] == get_base().pretrain.num_updates
    assert said["--config=quickstart"] == get_quickstart().pretrain.num_updates


@pytest.mark.parametrize("name", presets())
def test_every_preset_is_a_configuration(name):
    assert importlib.import_module(f"smac_jax.presets.{name}").get_config().pretrain.num_updates > 0


def test_results_must_be_in_a_local_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert results_folder("~/x") == tmp_path / "x"
    (tmp_path / "file").touch()
    for given in ("~/file", "~/file/below"):
        with pytest.raises(ConfigError, match=f"--results={given}: {tmp_path}/file is a file"):
            results_folder(given)
    with pytest.raises(ConfigError, match="is a URL"):
        results_folder("gs://bucket/x")


MISTAKES = {
    **{(program, "--sedes=3"): "'sedes'" for program in ("sweep", "reproduce", "landscape", "make_dataset", "status")},
    **{(program, "--helpp"): "'helpp'" for program in ("sweep", "check_dataset", "combine_datasets", "export")},
    **{(program, "-nope"): "'nope'" for program in ("sweep", "report", "compare")},
    ("sweep", "stray"): "unexpected arguments: stray",
    ("sweep", "--dry_run stray --seeds 3"): "unexpected arguments: stray",
    ("sweep", "--seeds 3 -- stray"): "unexpected arguments: stray",
    ("landscape", "a b --points 3 c d"): "unexpected arguments: d",
    ("reproduce", "--seeds=many"): "'many'",
}


@pytest.mark.parametrize(("program", "given"), MISTAKES)
def test_a_mistake_is_refused_before_jax_is_imported(program, given):
    code = (
        f"import atexit, runpy, sys; sys.argv = ['{program}', *{given.split()!r}]\n"
        "atexit.register(lambda: print('jax' in sys.modules))\n"
        f"runpy.run_module('experiments.{program}', run_name='__main__')"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2, done.stderr
    assert MISTAKES[program, given] in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == "False\n"


def test_repeated_flags_have_each_value_once():
    program = (
        "from smac_jax.commands import sweep\n"
        "from smac_jax.sweep.program import run\n"
        "run(lambda argv: print(sweep.FLAGS.vary, sweep.FLAGS.seeds, sweep.FLAGS['seeds'].present))"
    )
    arguments = ["--vary=smac.kappa=1,5", "--vary", "smac.gamma=0.9", "--seeds", "3"]
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.stdout == "['smac.kappa=1,5', 'smac.gamma=0.9'] 3 1\n", done.stderr


def test_help_shows_the_fields_of_the_configuration():
    command = [sys.executable, "-m", "smac_jax", "sweep", "--help"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert "--config" in done.stdout
    assert "--seeds_per_job" in done.stdout
