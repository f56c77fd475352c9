"""Data sets by name and by path."""

import subprocess
import sys
from pathlib import Path

import pytest

import smac_jax.data
from smac_jax.data import embedded_datasets, load_dataset
from smac_jax.data.readers.d4rl import write_d4rl
from smac_jax.data.sources import short_name
from smac_jax.errors import DatasetError


@pytest.fixture
def embedded(tmp_path, log, monkeypatch):
    """Two small data sets in place of those that come with the package."""
    folder = tmp_path / "package" / "embedded"
    folder.mkdir(parents=True)
    for name in ("hopper-tiny", "ant-tiny"):
        write_d4rl(folder / f"{name}.hdf5", log, metadata={"task": name.partition("-")[0]})
    monkeypatch.setattr(smac_jax.data.resources, "files", lambda package: tmp_path / "package")
    return folder


def test_embedded_data_sets_load_by_name(embedded):
    assert list(embedded_datasets().items()) == [(n, embedded / f"{n}.hdf5") for n in ("ant-tiny", "hopper-tiny")]
    assert load_dataset("hopper-tiny").task == "hopper"
    assert load_dataset("ant-tiny").name == "ant-tiny"


@pytest.mark.parametrize("absent", ["hopper-huge", "hopper-huge.hdf5", "nowhere/hopper-tiny"])
def test_an_unknown_name_lists_the_embedded_data_sets(embedded, absent):
    with pytest.raises(DatasetError, match=rf"'{absent}' .*Embedded: ant-tiny, hopper-tiny\. .*smac-jax make-dataset"):
        load_dataset(absent)


def test_the_error_says_if_nothing_is_embedded(embedded):
    for path in embedded.iterdir():
        path.unlink()
    with pytest.raises(DatasetError, match="Embedded: none"):
        load_dataset("hopper-tiny")


def test_a_file_loads_by_its_path(tmp_path, log, monkeypatch):
    path = tmp_path / "walker2d-mine.hdf5"
    write_d4rl(path, log)
    monkeypatch.setenv("HOME", str(tmp_path))
    for given in (path, str(path), "~/walker2d-mine.hdf5"):
        data = load_dataset(given)
        assert (data.name, data.task, data.size) == ("walker2d-mine", "walker2d", 12)


def test_an_embedded_name_takes_precedence_over_a_file_in_the_working_folder(embedded, tmp_path, monkeypatch):
    (tmp_path / "hopper-tiny").write_text("not HDF5")
    monkeypatch.chdir(tmp_path)
    assert load_dataset("hopper-tiny").size == 12
    with pytest.raises(DatasetError, match="not an HDF5 file"):
        load_dataset("./hopper-tiny")


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(DatasetError, match="is a folder"):
        load_dataset(tmp_path)


def test_the_embedded_data_sets_can_be_read():
    for name in embedded_datasets():
        data = load_dataset(name)
        assert data.task is not None
        assert data.size > 0


def test_importing_the_package_does_not_import_jax():
    code = "import sys, smac_jax.data; sys.exit('jax' in sys.modules or 'h5py' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], check=False).returncode == 0


def test_short_names_of_different_data_sets_differ():
    names = ("hopper-medium-replay-v2", "a/hopper_medium-v2.hdf5", "minari:D4RL/pen/human-v2")
    assert [short_name(name) for name in names] == [names[0], "hopper_medium-v2", names[2]]
