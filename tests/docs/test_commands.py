"""Commands in the guides name programs, flags and fields that exist."""

import ast
import re
import shlex
from functools import cache
from pathlib import Path

import pytest

from smac_jax import plugins, registry
from smac_jax.cli import COMMANDS
from smac_jax.presets import base
from smac_jax.sweep.program import config_file, presets

PROJECT = Path(__file__).parents[2]
GUIDES = [PROJECT / "README.md", PROJECT / "experiments" / "README.md", *PROJECT.glob("docs/pages/**/*.md")]
COMMAND = re.compile(r"(?:smac-jax ([a-z][a-z-]+)|python -m (experiments|benchmarks)\.(\w+))((?:\\\n|[^\n`])*)")


@cache
def flags_of(path: Path) -> frozenset[str]:
    """Names that a program defines by ``flags.DEFINE_...``, or by ``add_argument``."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        is_call = isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant)
        if is_call and re.match(r".*(DEFINE_\w+|add_argument)$", ast.unparse(node.func)):
            found.add(str(node.args[0].value).lstrip("-"))
    return frozenset(found)


LAUNCHERS = frozenset().union(*map(flags_of, (PROJECT / "smac_jax" / "sweep" / "launchers").glob("*.py")))


def commands(path: Path) -> list[tuple[str, Path, list[str]]]:
    """Every command of a page: its text, the program, its flags."""
    found = []
    for command, folder, module, rest in COMMAND.findall(path.read_text(encoding="utf-8")):
        assert not command or command in COMMANDS, (path, command)
        program = PROJECT / "smac_jax" / "commands" / f"{command.replace('-', '_')}.py"
        if module and module != "NAME":
            program = PROJECT / folder / f"{module}.py"
            if not program.is_file():  # a package that can be run
                program = PROJECT / folder / module / "__main__.py"
            assert program.is_file(), (path, module)
        elif module:
            continue
        words = shlex.split(rest.replace("\\\n", " "), comments=True) if rest.count('"') % 2 == 0 else rest.split()
        found.append((command or module, program, [word for word in words if word.startswith("--")]))
    return found


@pytest.mark.parametrize("page", GUIDES, ids=lambda page: str(page.relative_to(PROJECT)))
def test_flags_of_commands_exist(page):
    for name, program, given in commands(page):
        known = flags_of(program) | {"help", "helpfull", "flagfile", "import", "config", "config.FIELD"}
        if name in ("sweep", "reproduce"):
            known |= LAUNCHERS
        if "benchmarks" in program.parts:
            known |= flags_of(PROJECT / "benchmarks" / "measure.py")
        for flag in given:
            flag = flag.lstrip("-").partition("=")[0].rstrip(".,;:)").replace("-", "_")
            if not flag.startswith("config."):
                assert flag in known or flag.removeprefix("no") in known, (page.name, name, flag)


@pytest.mark.parametrize("page", GUIDES, ids=lambda page: str(page.relative_to(PROJECT)))
def test_fields_and_presets_exist(page):
    text = page.read_text(encoding="utf-8")
    with registry.temporary():
        plugins.load(
            str(PROJECT / name) for name in re.findall(r"--import=(\S+\.py)", text) if (PROJECT / name).is_file()
        )
        config = base.get_config()
    fields = re.findall(r"--(?:config\.|vary=)([a-z]\w*(?:\.\w+)+)=", text)
    for field in fields:
        value = config
        for part in field.split("."):
            assert part in value, (page.name, field)
            value = value[part]
    for preset in re.findall(r"--config=([a-z_]+)\b(?!\.py|/)", text):
        assert preset in presets(), (page.name, preset)
        assert Path(config_file(preset)).is_file()


def test_the_guides_have_commands():
    named = {name for page in GUIDES for name, _, _ in commands(page)}
    assert named >= {*COMMANDS, "reproduce", "study_bases", "updates", "physics", "peers"}


def test_flags_in_the_text_exist():
    programs = [*(PROJECT / "smac_jax" / "commands").glob("*.py"), *(PROJECT / "experiments").glob("*.py")]
    known = LAUNCHERS.union({"help", "helpfull", "flagfile", "import", "verbosity", "config"}, *map(flags_of, programs))
    for page in GUIDES:
        for flag in re.findall(r"`--([\w-]+)", page.read_text(encoding="utf-8")):
            name = flag.replace("-", "_")
            assert name in known or name.removeprefix("no") in known, (page.name, flag)
