"""Paths from users, and the encoding of files."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import smac_jax
from smac_jax import files
from smac_jax.analysis.captions import save
from smac_jax.analysis.curves import TransferCurve
from smac_jax.data.readers.d4rl import read_d4rl, write_d4rl
from smac_jax.data.readers.demonstrations import read_demonstrations
from smac_jax.errors import ConfigError, SmacError
from smac_jax.files import cache_folder, local_path
from smac_jax.runs.checkpoint import load_actor_critic, save_actor_critic
from smac_jax.runs.folder import RunFolder
from smac_jax.runs.metrics import MetricLogger
from smac_jax.runs.provenance import write_provenance

ROOT = Path(__file__).parents[1]
SOURCES = [path for folder in ("smac_jax", "experiments", "benchmarks") for path in (ROOT / folder).rglob("*.py")]


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home"


@pytest.fixture(scope="module")
def trained(data):
    config = {"network": {"actor_hidden": (8,), "critic_hidden": (8,)}}
    return smac_jax.pretrain("bc", data, num_updates=1, seeds=1, config=config, progress=False)


def test_a_tilde_is_the_home_directory_in_every_path(home, tmp_path, data, trained):
    assert local_path("~/x") == home / "x"
    assert local_path("a/~x") == Path("a/~x")
    assert RunFolder("~/run").folder == home / "run"
    smac_jax.export(trained.actor_critic, "~/p.npz")
    assert smac_jax.load("~/p.npz").architecture.action_size == 3
    write_d4rl("~/hopper.hdf5", data)
    assert read_d4rl("~/hopper.hdf5").size == smac_jax.load_dataset("part:1:~/hopper.hdf5").size == data.size
    save_actor_critic("~/checkpoint", trained.actor_critic)
    assert load_actor_critic("~/checkpoint").observation_mean.shape == (1, 11)
    assert smac_jax.load("~/checkpoint")(np.ones(11)).shape == (3,)
    write_provenance("~/written")
    MetricLogger("~/logged", "run").log("offline", 0, {"x": 1.0})
    curve = TransferCurve(
        **{"task": "hopper", "offline": "bc", "online": "sac", "warm_start": 0},
        **{"offline_updates": np.array([0.0]), "offline_returns": np.ones((1, 1))},
        **{"online_steps": np.array([0.0]), "online_returns": np.ones((1, 1))},
    )
    curve.to_json("~/curve.json")
    assert TransferCurve.from_json("~/curve.json").task == "hopper"
    assert not list(tmp_path.rglob("~*"))


@pytest.mark.parametrize("url", ["gs://bucket/x", "s3://bucket/x.hdf5", "https://host/x.npz", Path("gs://bucket/x")])
def test_a_url_is_refused_in_every_path(home, tmp_path, data, trained, url):
    uses = {
        "run": lambda: RunFolder(url),
        "load": lambda: smac_jax.load(url),
        "export": lambda: smac_jax.export(trained.actor_critic, url, "npz"),
        "load_dataset": lambda: smac_jax.load_dataset(url),
        "write_d4rl": lambda: write_d4rl(url, data),
        "read_demonstrations": lambda: read_demonstrations(url),
        "save": lambda: save_actor_critic(url, trained.actor_critic),
        "load_actor_critic": lambda: load_actor_critic(url),
        "figure": lambda: save(None, url),
    }
    for name, use in uses.items():
        with pytest.raises(ConfigError, match=f"{url} is a URL.*Give a local path") as raised:
            use()
        assert isinstance(raised.value, SmacError), name
    assert [path for path in tmp_path.iterdir() if path != home] == []


def test_names_of_data_sets_are_not_urls():
    for name in ("minari:D4RL/pen/human-v2", "part:0.1:/data/x.hdf5", "gymnasium:Hopper-v4", "C:/data"):
        assert local_path(name) == Path(name)


def test_an_unknown_home_directory_is_refused_with_the_reason(monkeypatch):
    def unknown(path):
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "expanduser", unknown)
    with pytest.raises(ConfigError, match="~/x: the home directory is not known"):
        local_path("~/x")


def test_caches_are_temporary_if_the_home_directory_cannot_be_written(tmp_path, monkeypatch):
    monkeypatch.setattr(files.tempfile, "gettempdir", lambda: str(tmp_path))
    (tmp_path / "file").touch()
    cache_folder.cache_clear()
    try:
        monkeypatch.setenv("HOME", str(tmp_path / "file"))
        with pytest.warns(UserWarning, match=r"file/\.cache/smac_jax cannot be written\. To keep .*, set HOME"):
            assert cache_folder() == tmp_path / f"smac_jax-{os.getuid()}"
        assert (tmp_path / f"smac_jax-{os.getuid()}").stat().st_mode & 0o777 == 0o700
        cache_folder()  # the warning is not repeated
        cache_folder.cache_clear()
        (tmp_path / f"smac_jax-{os.getuid()}").chmod(0o777)  # another user may have put a library there
        with pytest.warns(UserWarning, match="Caches are in"):
            assert cache_folder() != tmp_path / f"smac_jax-{os.getuid()}"
        cache_folder.cache_clear()
        monkeypatch.setenv("HOME", str(tmp_path))
        assert cache_folder() == tmp_path / ".cache" / "smac_jax"
    finally:
        cache_folder.cache_clear()


def test_every_text_file_is_read_and_written_as_utf_8():
    """The encoding must not depend on the locale. An ASCII locale would end a program at its last step."""
    found = []
    for path in SOURCES:
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(call, ast.Call):
                continue
            name = getattr(call.func, "attr", getattr(call.func, "id", ""))
            is_method = isinstance(call.func, ast.Attribute)
            modes = [
                part.value for a in call.args[not is_method :] for part in ast.walk(a) if isinstance(part, ast.Constant)
            ]
            text = name == "read_text" or (name == "write_text" and is_method)
            text |= name in ("open", "fdopen") and not any("b" in str(mode) for mode in modes)
            # a path is opened with a mode at most; other things that can be opened take more
            text &= not (is_method and name == "open" and call.args and not isinstance(call.args[0], ast.Constant))
            text &= not (is_method and getattr(call.func.value, "id", "") == "os")
            if text and "encoding" not in {keyword.arg for keyword in call.keywords}:
                found.append(f"{path.relative_to(ROOT)}:{call.lineno}")
    assert found == []


def test_every_path_of_a_user_goes_through_local_path():
    """Code that expands paths of flags or home directories elsewhere would miss a case."""
    for path in SOURCES:
        text = path.read_text(encoding="utf-8")
        if path != ROOT / "smac_jax" / "files.py":
            assert "expanduser" not in text, path
            assert "Path.home" not in text, path
        assert "Path(FLAGS" not in text, path
        assert "Path(argv" not in text, path


def test_an_ascii_locale_does_not_end_a_program(tmp_path):
    """Written text, printed text, and names of files may have characters that the locale does not have."""
    (tmp_path / "tïny.hdf5").touch()
    program = """
import sys
from pathlib import Path
from smac_jax.sweep.program import run
from smac_jax.files import readable, write_text

def main(argv):
    (name,) = (path.stem for path in Path.cwd().glob("*.hdf5"))
    write_text(Path("written"), f"mean ± {name} {readable(name)}")
    print(f"mean ± {name}")

run(main)
"""
    (tmp_path / "program.py").write_text(program, encoding="utf-8")
    ascii_locale = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "program.py"], cwd=tmp_path, capture_output=True, text=True, env=os.environ | ascii_locale
    )
    assert done.stdout == "mean \\xb1 t\\udcc3\\udcafny\n", done.stderr
    assert (tmp_path / "written").read_text(encoding="utf-8") == "mean ± tïny tïny"
