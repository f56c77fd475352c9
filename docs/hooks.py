"""Hooks of the site: they add the project's Markdown, published results, examples, and a page for every module."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import source_text
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

PROJECT = Path(__file__).resolve().parent.parent
PAGES = PROJECT / "docs" / "pages"
LINK = re.compile(r"(?<=\]\()(?![a-z]+:)([^)\s#]+)(?=[)\s#])")
TAKEN = (
    "README.md",
    "WORKSPACE.md",
    "CHANGELOG.md",
    "*/README.md",
    "docs/examples/*",
    "experiments/configs/*",
    "experiments/paper/published.tsv",
    "benchmarks/NOTES.md",
    "benchmarks/results/*",
    "results/reference/**/*",
)
PUBLISHED = {".md", ".png", ".json", ".csv", ".tsv", ".py"}


def modules() -> list[str]:
    """The dotted names of the public modules; a package comes before its modules."""
    found = []
    for path in sorted((PROJECT / "smac_jax").rglob("*.py")):
        parts = path.relative_to(PROJECT).with_suffix("").parts
        parts = parts[:-1] if parts[-1] == "__init__" else parts
        if not parts[-1].startswith("_"):
            found.append(".".join(parts))
    return sorted(found)


def on_config(config: Any) -> Any:
    """Adds the reference to the navigation, with a section for each package."""
    sections: dict[str, list[dict[str, str]]] = {}
    for name in modules():
        package = name.split(".")[1] if name.count(".") else ""
        section = package if (PROJECT / "smac_jax" / package).is_dir() else ""
        title = (
            name.removeprefix("smac_jax.").removeprefix(f"{section}.") if section else name.removeprefix("smac_jax.")
        )
        sections.setdefault(section, []).append({title: f"reference/{name}.md"})
    top = sections.pop("")
    config.nav.append({"Reference": top + [{section: pages} for section, pages in sections.items()]})
    return config


def on_files(files: Files, config: Any) -> Files:
    """Adds files of the project under their own paths, so that links between them work."""
    for pattern in TAKEN:
        for path in sorted(PROJECT.glob(pattern)):
            if path.suffix in PUBLISHED and not path.is_relative_to(PAGES):
                files.append(File.generated(config, path.relative_to(PROJECT).as_posix(), abs_src_path=str(path)))
    for name in modules():
        files.append(File.generated(config, f"reference/{name}.md", content=f"# {name}\n\n::: {name}\n"))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Inserts source text into a page, and converts its links to links of the site.

    The links in the files are relative paths in the project, which also work there. A link to a module's source becomes
    a link to its page in the reference.
    """
    if page.file.abs_src_path is None:  # a page of the reference
        return markdown
    here = Path(page.file.abs_src_path).parent

    def to_site(found: re.Match[str]) -> str:
        target = (here / found[1]).resolve()
        if not target.is_file() or not target.is_relative_to(PROJECT):
            return found[1]
        place = target.relative_to(PAGES if target.is_relative_to(PAGES) else PROJECT)
        if place.suffix == ".py" and place.parts[0] == "smac_jax":
            parts = place.with_suffix("").parts
            place = Path("reference", ".".join(parts[:-1] if parts[-1] == "__init__" else parts) + ".md")
        return Path(os.path.relpath(place, Path(page.file.src_uri).parent)).as_posix()

    return source_text.expanded(LINK.sub(to_site, markdown))


def on_page_content(html: str, **_: Any) -> str:
    """Removes the roles from names in docstrings, which are shown as code."""
    return re.sub(r":(?:func|class|data|mod|meth|attr):(<code>)~?", r"\1", html)
