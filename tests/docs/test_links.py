"""Links in the project's Markdown files lead to existing files and headings."""

import os
import re
from functools import cache
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
MARKDOWN = [
    *PROJECT.glob("*.md"),
    *PROJECT.glob("*/README.md"),
    *PROJECT.glob("benchmarks/*.md"),
    *PROJECT.glob("docs/pages/**/*.md"),
]
LINK = re.compile(r"(?<=\]\()([^)\s]+)(?=[)\s])")


@cache
def anchors(path: Path) -> set[str]:
    """Returns the anchors of a page's headings, as GitHub and the site make them.

    Repeated headings are not linked to.
    """
    text = re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    plain = (re.sub(r"\[(.*?)\]\(.*?\)", r"\1", title).lower() for title in titles)
    return {re.sub(r"[^\w\- ]", "", title).replace(" ", "-") for title in plain}


@pytest.mark.parametrize("page", MARKDOWN, ids=lambda page: str(page.relative_to(PROJECT)))
def test_every_link_has_a_target(page):
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    for link in LINK.findall(text):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        if module := re.fullmatch(r"reference/([\w.]+)\.md", name):  # only the site has these: a page for each module
            name = os.path.relpath(PROJECT / module[1].replace(".", "/"), page.parent)
            name += "" if (page.parent / name).is_dir() else ".py"
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), f"{page}: {link}"
        if anchor:
            assert anchor in anchors(target), f"{page}: {link}"


def test_every_guide_is_in_the_navigation():
    navigation = (PROJECT / "docs" / "mkdocs.yml").read_text(encoding="utf-8").partition("nav:")[2]
    pages = PROJECT / "docs" / "pages"
    for page in pages.rglob("*.md"):
        assert f" {page.relative_to(pages).as_posix()}\n" in navigation
