"""Extracts functions and tables of configurations for the site from the package's source, without importing it.

The pages name what they show, in comments of their own, which a reader of the plain Markdown does not see:

    <!-- code: smac_jax.algorithms.iql.value_loss -->      the source text of a function
    <!-- fields: smac_jax.algorithms.iql.IQLConfig -->     a table of a configuration's fields
    <!-- file: docs/examples/my_algorithm.py -->           the text of a file

So both are always those of today, and a name that no longer exists ends the build.
"""

from __future__ import annotations

import ast
import dataclasses
import math
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

PROJECT = Path(__file__).resolve().parent.parent
COMMENT = re.compile(r"^<!-- (code|fields|file): ([\w./]+) -->$", re.MULTILINE)

Definition = ast.ClassDef | ast.FunctionDef


class Field(NamedTuple):
    """A field of a configuration: its default, its allowed values as text, and its meaning."""

    default: Any
    allowed: str
    doc: str


@dataclasses.dataclass(frozen=True)
class Nested:
    """A field that is itself a configuration: the name of its class, and the defaults that differ from the class's."""

    kind: str
    changed: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __call__(self, **changed: Any) -> Nested:
        """The field with other defaults, as a call of the class would set them."""
        return Nested(self.kind, {**self.changed, **changed})


def expanded(markdown: str) -> str:
    """A page in which source text and tables replace comments."""
    return COMMENT.sub(lambda found: {"code": code, "fields": table, "file": file}[found[1]](found[2]), markdown)


def file(name: str) -> str:
    """The text of a project's file as a code block.

    Raises:
      LookupError: there is none of that name.
    """
    path = PROJECT / name
    if not path.is_file():
        raise LookupError(f"{name}: there is no such file.")
    return f'```python title="{name}"\n{path.read_text(encoding="utf-8").rstrip()}\n```'


def code(name: str) -> str:
    """The source text of a function as a code block."""
    module, node = find(name)
    path = _file(module)
    first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
    text = "\n".join(path.read_text(encoding="utf-8").splitlines()[first - 1 : node.end_lineno])
    return f'```python title="{path.relative_to(PROJECT)}"\n{text}\n```'


def table(name: str) -> str:
    """The fields of a configuration as a Markdown table."""
    lines = ["| field | default | allowed | what it is |", "|---|---|---|---|"]
    for field, (default, allowed, doc) in fields(name).items():
        if isinstance(default, Nested):
            changed = ", ".join(f"`{key} = {_text(value)}`" for key, value in default.changed.items())
            shown = f"`{default.kind}`" + (f" with {changed}" if changed else "")
        else:
            shown = f"`{_text(default)}`"
        lines.append(f"| `{field}` | {shown} | {allowed} | {doc.replace('|', chr(92) + '|')} |")
    return "\n".join(lines)


def fields(name: str) -> dict[str, Field]:
    """The fields of a configuration by name: first those of the class itself, then the inherited ones."""
    klass = _class(name)
    named = {f: None for base in klass.__mro__ for f in vars(base).get("declared", {})}
    return {f: next(vars(b)["declared"][f] for b in klass.__mro__ if f in vars(b).get("declared", {})) for f in named}


def find(name: str) -> tuple[str, Definition]:
    """The module that defines a class or a function, and the definition.

    Raises:
      LookupError: there is none of that name.
    """
    module, _, last = name.rpartition(".")
    if not module or not _file(module).is_file():
        raise LookupError(f"{name}: there is no such module.")
    for node in _tree(module).body:
        if isinstance(node, Definition) and node.name == last:
            return module, node
    imported = _imports(module)
    if last not in imported or imported[last] == name:
        raise LookupError(f"{name}: there is no such class or function.")
    return find(imported[last])


@cache
def _tree(module: str) -> ast.Module:
    return ast.parse(_file(module).read_text(encoding="utf-8"))


def _file(module: str) -> Path:
    place = PROJECT.joinpath(*module.split("."))
    return place / "__init__.py" if place.is_dir() else place.with_suffix(".py")


def _imports(module: str) -> dict[str, str]:
    """The names that a module imports from this package: ``{name: dotted name}``."""
    found = {}
    for node in ast.walk(_tree(module)):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("smac_jax"):
            found |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    return found


@cache
def _class(name: str) -> type:
    """A class with the bases of a class in the source and its fields in ``declared``, for Python's order of bases."""
    module, node = find(name)
    imported = _imports(module)
    bases = []
    for base in node.bases if isinstance(node, ast.ClassDef) else []:
        first, *rest = ast.unparse(base).split(".")
        bases.append(_class(".".join([imported.get(first, f"{module}.{first}"), *rest])))
    own = {
        statement.target.id: _field(statement.value)
        for statement in node.body
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name) and statement.value
        if "ClassVar" not in ast.unparse(statement.annotation)
    }
    return type(name, tuple(bases), {"declared": own})


def _field(value: ast.expr) -> Field:
    """The default, the allowed values and the meaning of ``number(...)``, ``choice(...)`` and so on."""
    said = eval(compile(ast.Expression(value), "field", "eval"), {"__builtins__": {}}, _Vocabulary(_VOCABULARY))
    return said if isinstance(said, Field) else Field(said, "", "")


class _Vocabulary(dict[str, Any]):
    """The names that a field's declaration may use, including configurations in the same module."""

    def __missing__(self, name: str) -> Any:
        if name.endswith("Config"):
            return Nested(name)
        return name  # a registry, of which the page tells the name


def _number(default: float, low: float = -math.inf, high: float = math.inf, doc: str = "") -> Field:
    if math.isinf(high):
        return Field(default, "any number" if math.isinf(low) else f"at least {low:g}", doc)
    return Field(default, f"{low:g} to {high:g}", doc)


def _choice(default: str, *options: str, doc: str = "") -> Field:
    return Field(default, ", ".join(f"`{option}`" for option in (default, *options)), doc)


def _choice_from(known: str, default: str, doc: str = "") -> Field:
    return Field(default, f"a name in `{known}`", doc)


def _sizes(*default: int, doc: str = "") -> Field:
    return Field(default, "widths of layers", doc)


def _switch(default: bool, doc: str = "") -> Field:
    return Field(default, "`True`, `False`", doc)


_VOCABULARY: Mapping[str, Any] = {
    "number": _number,
    "choice": _choice,
    "choice_from": _choice_from,
    "sizes": _sizes,
    "switch": _switch,
    "dataclasses": SimpleNamespace(field=lambda default_factory: Field(default_factory, "its own fields", "")),
    "partial": lambda kind, **changed: kind(**changed),
    "True": True,
    "False": False,
    "None": None,
}


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}" if float(f"{value:g}") == value else repr(round(value, 4))
    return str(value)
