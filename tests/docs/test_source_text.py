"""The site shows the source as it runs."""

import dataclasses
import inspect
import sys
from pathlib import Path

import pytest

from smac_jax.algorithms import OFFLINE, ONLINE, NetworkConfig, iql
from smac_jax.scores import ScoreModelConfig

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def source_text():
    sys.path.insert(0, str(DOCS))
    try:
        import source_text

        yield source_text
    finally:
        sys.path.remove(str(DOCS))


CONFIGS = {
    *(config for config, _ in (*OFFLINE.values(), *ONLINE.values())),
    NetworkConfig,
    ScoreModelConfig,
}


@pytest.mark.parametrize("config", sorted(CONFIGS, key=lambda c: c.__name__), ids=lambda c: c.__name__)
def test_the_table_has_every_field_with_its_default(source_text, config):
    found = source_text.fields(f"{config.__module__}.{config.__name__}")
    fields = {field.name: field for field in dataclasses.fields(config)}
    assert found.keys() == fields.keys()
    for name, (default, _, doc) in found.items():
        assert doc == fields[name].metadata.get("doc", "")
        if isinstance(default, source_text.Nested):
            expected = fields[name].default_factory()
            assert type(expected).__name__ == default.kind
            assert dataclasses.replace(type(expected)(), **default.changed) == expected
        else:
            assert default == fields[name].default
    # the fields of the class itself come first
    own = [name for name in config.__annotations__ if name in fields]
    assert list(found)[: len(own)] == own


def test_the_range_of_a_field_is_shown(source_text):
    assert source_text.fields("smac_jax.algorithms.iql.IQLConfig")["expectile"].allowed == "0.5 to 0.9999"
    assert source_text.fields("smac_jax.algorithms.smac.SMACConfig")["score"].allowed == "a name in `SCORES`"


def test_code_is_the_function_as_it_runs(source_text):
    assert inspect.getsource(iql.value_loss).strip() in source_text.code("smac_jax.algorithms.iql.value_loss")


def test_a_name_that_does_not_exist_is_refused(source_text):
    for name in ("smac_jax.algorithms.iql.gone", "smac_jax.algorithms.gone.update", "iql"):
        with pytest.raises(LookupError, match=name):
            source_text.code(name)
    with pytest.raises(LookupError, match="there is no such file"):
        source_text.file("docs/examples/gone.py")


def test_the_pages_show_what_exists(source_text):
    named = [
        (page.name, kind, name)
        for page in (DOCS / "pages").rglob("*.md")
        for kind, name in source_text.COMMENT.findall(page.read_text(encoding="utf-8"))
    ]
    assert named
    for page, kind, name in named:
        if kind == "file":
            assert (DOCS.parent / name).read_text(encoding="utf-8").rstrip() in source_text.file(name)
            continue
        module, _ = source_text.find(name)
        assert module.startswith("smac_jax."), (page, kind)


def test_every_algorithm_has_a_page_with_its_fields():
    pages = DOCS / "pages" / "algorithms"
    for name, (config, _) in [*OFFLINE.items(), *ONLINE.items()]:
        text = (pages / f"{name}.md").read_text(encoding="utf-8")
        assert f"<!-- fields: {config.__module__}.{config.__name__} -->" in text
