"""Files of users are found, imported once, identified by their checksums, and named with a line in errors."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from smac_jax import plugins, registry
from smac_jax.errors import ConfigError
from smac_jax.runs.provenance import write_provenance

ROOT = Path(__file__).parents[2]
READER = (
    "from smac_jax.extend import register_dataset\n\n\n@register_dataset('{name}')\ndef read(name):\n    return name\n"
)


def refused(name: str) -> str:
    with pytest.raises(ConfigError) as error:
        plugins.load([name])
    return str(error.value)


def test_a_file_is_imported_once_and_recorded_with_its_checksum(write, tmp_path, monkeypatch):
    path = write(READER.format(name="lab"))
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.chdir(tmp_path)
    plugins.load(["my_lab.py"])
    write("raise ValueError")
    plugins.load([str(path), "./my_lab.py"])
    assert registry.READERS.added() == ("lab",)
    expected = {"name": str(path), "module": "my_lab", "file": str(path), "sha256": sha256, "entry_point": None}
    assert plugins.record() == [expected]
    assert plugins.names() == (str(path),)
    assert write_provenance(tmp_path / "run")["imports"] == [expected]
    assert json.loads((tmp_path / "run" / "provenance.json").read_text())["imports"] == [expected]
    assert registry.READERS.code("lab") == {"my_lab.py": sha256}
    assert registry.READERS.code("minari") == {}


def test_a_module_is_found_in_the_current_folder_by_its_dotted_name(write, tmp_path, monkeypatch):
    write("", "lab/__init__.py")
    path = write(READER.format(name="lab"), "lab/readers.py")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    plugins.load(["lab.readers"])
    (found,) = plugins.record()
    assert (found["name"], found["file"]) == ("lab.readers", str(path))
    assert registry.READERS.code("lab") == {"lab/readers.py": found["sha256"]}


def test_a_file_can_import_its_neighbors_which_are_recorded(write):
    other = write("def read(name):\n    return 7\n", "readers_beside.py")
    path = write(
        "from readers_beside import read\nfrom smac_jax.extend import register_dataset\nregister_dataset('lab', read)"
    )
    plugins.load([str(path)])
    assert registry.READERS["lab"]("") == 7
    digests = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in (other, path)}
    assert registry.READERS.code("lab") == digests


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x = 1\ny = x.nothing\n", "my_lab.py, line 2: AttributeError: 'int' object has no attribute 'nothing'"),
        ("x = 1\ndef f():\n    raise ValueError('one\\ntwo')\nf()\n", "my_lab.py, line 3: ValueError: one"),
        ("x = (1,\n", "my_lab.py, line 1: SyntaxError: '(' was never closed"),
        (
            "import os\nimport not_there_at_all\n",
            "my_lab.py, line 2: ModuleNotFoundError: No module named 'not_there_at_",
        ),
        ("import sys\nsys.exit(3)\n", "my_lab.py, line 2: it ends the program (3)"),
        ("raise KeyboardInterrupt", None),
        ("raise AssertionError", "my_lab.py, line 1: AssertionError"),
        (
            "from smac_jax.extend import register_dataset\n\nregister_dataset('minari', print)\n",
            "my_lab.py, line 3: 'minari' cannot be the name of a new source of data: smac_jax has a source of data",
        ),
        (
            "import jax\n\njax.jit(lambda x: x.reshape(7))(jax.numpy.ones(3))\n",
            "my_lab.py, line 3: TypeError: cannot reshape array of shape (3,)",
        ),
    ],
)
def test_an_error_in_a_file_is_one_line_that_names_the_file_and_the_line(text, words, write, tmp_path, monkeypatch):
    path = write(text)
    monkeypatch.chdir(tmp_path)
    if words is None:
        with pytest.raises(KeyboardInterrupt):
            plugins.load([str(path)])
        return
    said = refused("my_lab.py")
    assert said.startswith(f"--import=my_lab.py: {words}")
    assert "\n" not in said
    assert plugins.record() == []
    write("")  # after an error the file can be imported again
    plugins.load(["my_lab.py"])


def test_an_error_in_a_neighboring_file_names_that_file(write):
    beside = write("\n\nraise ValueError('here')\n", "beside_it.py")
    path = write("import beside_it\n")
    assert f"{beside}, line 3: ValueError: here" in refused(str(path))


def test_missing_files_and_modules_are_refused(write, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert refused("nowhere.py") == f"--import=nowhere.py: the file {tmp_path}/nowhere.py does not exist."
    assert refused("sub/nowhere") == f"--import=sub/nowhere: the file {tmp_path}/sub/nowhere does not exist."
    assert "there is no module 'nowhere'. It is neither installed nor in" in refused("nowhere")
    assert "there is no module 'smac_jax.nowhere'" in refused("smac_jax.nowhere.more")
    assert f"{tmp_path} is a folder" in refused(f"{tmp_path}/")
    assert "is a URL" in refused("https://example.org/my_lab.py")
    assert "give the path of a .py file, or the name of a module" in refused("my-lab")
    assert "'my-lab' cannot be the name of a module" in refused(str(write("", "my-lab.py")))


def test_a_file_with_the_name_of_another_module_is_refused(write):
    assert f"there is another module named json ({Path(json.__file__)})" in refused(str(write("", "json.py")))
    assert "there is another module named sys (it belongs to Python)" in refused(str(write("", "sys.py")))
    first, second = write(""), write("", "other/my_lab.py")
    plugins.load([str(first)])
    assert f"there is another module named my_lab ({first})" in refused(str(second))


def test_the_files_of_enclosed_functions_belong_to_a_thing(write):
    write("import functools\n\n\ndef f(x, y):\n    return x\n\n\ng = functools.partial(f, 1)\n", "inner_code.py")
    path = write(
        "import functools, jax\nimport inner_code\n\n\ndef around(function):\n    return lambda x: function(x)\n\n\n"
        "class A:\n    def method(self):\n        pass\n\n\nclass B(A):\n    pass\n\n\n"
        "compiled = jax.jit(around(inner_code.g))\n"
    )
    plugins.load([str(path)])
    lab, inner = sys.modules["my_lab"], sys.modules["inner_code"]

    def files(*things: object) -> list[str]:
        return list(plugins.code_of(things))

    assert files(inner.g) == ["inner_code.py"]
    assert files(lab.around(len)) == ["my_lab.py"]
    assert files(lab.around(inner.g)) == files(lab.compiled) == ["inner_code.py", "my_lab.py"]
    assert files(lab.B) == files(lab.B()) == files(lab.B().method) == files(lab) == ["my_lab.py"]
    assert files(len, json.loads, Path, plugins.load, 3) == []
    recursive = [lambda: recursive]
    assert files(recursive) == ["test_imports.py"]


def test_code_of_an_interactive_session_is_identified_by_its_text():
    """A notebook stores the text of its cells in Python's cache of lines, as this test does."""
    code = (
        "import hashlib, linecache\nfrom smac_jax import plugins\n"
        "text = 'def f(x):\\n    return x\\n'\n"
        "linecache.cache['<cell>'] = (len(text), None, text.splitlines(True), '<cell>')\n"
        "exec(compile(text, '<cell>', 'exec'))\n"
        "print(plugins.code_of([f]) == {'__main__.f': hashlib.sha256(text.encode()).hexdigest()})\n"
        "exec('def g(x): return x'); print(plugins.code_of([g]))"
    )
    assert run(code, dict(os.environ)).stdout.splitlines() == ["True", "{}"]


def installed(folder: Path, text: str, module: str = "lab_plugin") -> dict[str, str]:
    """Installs a package in a folder, and returns the environment variables with which Python finds it."""
    (folder / f"{module}.py").write_text(text)
    info = folder / "lab_plugin-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: lab-plugin\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[smac_jax.plugins]\nlab = {module}\n")
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)])}


def run(code: str, environment: dict[str, str]) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True, timeout=120
    )


def test_an_installed_plugin_is_imported_when_a_name_is_unknown(tmp_path):
    environment = installed(tmp_path, READER.format(name="lab"))
    code = (
        "import sys\nfrom smac_jax import plugins, registry\n"
        "registry.READERS['minari']; print('lab_plugin' in sys.modules)\n"
        "print(registry.READERS['lab']('x'), *registry.READERS)\n"
        "(found,) = plugins.record(); print(found['name'], found['entry_point'], plugins.names())"
    )
    assert run(code, environment).stdout.splitlines() == [
        "False",
        "x minari ogbench part chunks lab",
        "lab_plugin lab-plugin ()",
    ]


def test_an_installed_plugin_that_fails_causes_a_warning(tmp_path):
    environment = installed(tmp_path, "\nraise ValueError('broken')\n")
    done = run("from smac_jax import registry; print(*registry.READERS)", environment)
    assert done.stdout == "minari ogbench part chunks\n"
    assert "The plugin lab_plugin of lab-plugin was left out: " in done.stderr
    assert "lab_plugin.py, line 2: ValueError: broken" in done.stderr


def command(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "smac_jax", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=300
    )


@pytest.mark.parametrize("name", ["sweep", "status", "report", "evaluate", "export", "landscape", "check-dataset"])
def test_every_command_has_the_flag_import(name, write, tmp_path):
    needed = ["--out=policy.npz"] if name == "export" else []
    places = [] if name == "sweep" else [str(tmp_path)]
    done = command(name, f"--import={write('x = 1 / 0')}", *needed, *places)
    assert done.returncode == 2
    assert "my_lab.py, line 1: ZeroDivisionError: division by zero" in done.stderr
    assert "Traceback" not in done.stderr


def test_help_describes_the_flag_import():
    done = command("status", "--help")
    assert "--import: A Python file, or the name of a module" in done.stdout


def test_an_error_in_a_users_function_is_one_line_unless_the_traceback_is_requested(write):
    path = write(
        "from smac_jax.extend import register_dataset\n\n\n"
        "@register_dataset('lab')\ndef read(name):\n    return {}[name]\n"
    )
    done = command("check-dataset", f"--import={path}", "lab:thing")
    assert done.returncode == 2
    assert f"error: {path}, line 6: KeyError: 'thing' (--verbosity=1 shows the traceback)" in done.stderr
    assert "Traceback" not in done.stderr
    done = command("check-dataset", f"--import={path}", "lab:thing", "--verbosity=1")
    assert "Traceback" in done.stderr
