"""The messages on the page about errors are in the source."""

import ast
import re
from pathlib import Path

PROJECT = Path(__file__).parents[2]


def texts() -> str:
    """Returns all strings of the source. Messages with values are in pieces."""
    found = [(PROJECT / "Makefile").read_text(encoding="utf-8")]
    for path in (PROJECT / "smac_jax").rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        found += [
            node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)
        ]
    return "\n".join(found)


def test_messages_are_those_of_the_source():
    page = (PROJECT / "docs" / "pages" / "faq.md").read_text(encoding="utf-8")
    messages = re.findall(r"\*\*`([^`]+(?:`[^`*]+`[^`]+)*)`\*\*", page)
    assert len(messages) > 80
    said = texts()
    for message in messages:
        pieces = [piece.strip() for piece in message.split("…")]
        assert any(len(piece) > 8 for piece in pieces) or message.startswith("Unknown"), message
        for piece in pieces:
            assert piece in said, (message, piece)


def test_every_class_of_errors_is_explained():
    page = (PROJECT / "docs" / "pages" / "faq.md").read_text(encoding="utf-8")
    tree = ast.parse((PROJECT / "smac_jax" / "errors.py").read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            assert f"`{node.name}`" in page
