"""Fixtures: registrations of one test are undone before the next."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from smac_jax import plugins, registry

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"


@pytest.fixture(autouse=True)
def forgotten(monkeypatch):
    """Undoes registrations and imports of users' files."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(
        sys, "dont_write_bytecode", True
    )  # a file must be read again even if it is changed within a second
    before = dict(sys.modules)
    with registry.temporary():
        yield
    for name in set(sys.modules) - set(before):
        if plugins._file_of(sys.modules[name]) is not None and plugins._is_users_file(sys.modules[name].__file__):
            del sys.modules[name]


@pytest.fixture
def write(tmp_path) -> Callable[..., Path]:
    """Writes a user's file."""

    def write(text: str, name: str = "my_lab.py") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    return write


@pytest.fixture
def example() -> Callable[[str], object]:
    """Imports one of the examples."""

    def load(name: str) -> object:
        plugins.load([str(EXAMPLES / f"{name}.py")])
        return sys.modules[name]

    return load
