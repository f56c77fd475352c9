"""The public names of the package."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import smac_jax


def imported_by(statement: str) -> set[str]:
    """Returns the modules that a statement imports, without those of Python itself."""
    code = f"import sys; before = set(sys.modules); {statement}; print(*set(sys.modules) - before)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return {name for name in done.stdout.split() if name.partition(".")[0] not in sys.stdlib_module_names}


def test_importing_the_package_imports_only_its_version():
    """Everything that takes time is imported when a name is first used, so the import is quick."""
    assert imported_by("import smac_jax") == {"smac_jax", "smac_jax.version"}


def test_acting_needs_numpy_only():
    brought = {name.partition(".")[0] for name in imported_by("import smac_jax; smac_jax.load")}
    assert brought <= {"smac_jax", "numpy"}
    assert "numpy" in brought


def test_every_public_name_can_be_imported():
    for name in smac_jax.__all__:
        assert getattr(smac_jax, name) is not None
    assert set(smac_jax.__all__) <= set(dir(smac_jax))


def test_the_embedded_data_are_as_the_readme_describes():
    data = smac_jax.load_dataset("hopper-medium-replay")
    assert (data.size, data.observations.shape[1], data.actions.shape[1], data.task) == (149_998, 11, 3, "hopper")
    described = dict(data.metadata)
    assert described["command"].startswith("python -m experiments.make_dataset --task=hopper")
    assert 278 < data.episode_returns().mean() < 280


def test_all_places_have_the_same_version():
    root = Path(__file__).parents[1]
    assert f"\nversion: {smac_jax.__version__}\n" in (root / "CITATION.cff").read_text(encoding="utf-8")
    newest = re.search(r"^## (\d\S+)", (root / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert newest is not None
    assert newest[1] == smac_jax.__version__
