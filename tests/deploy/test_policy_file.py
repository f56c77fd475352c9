"""Policies are equal after writing and reading. Damaged files and other files are refused."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from smac_jax.deploy.policy import NumpyPolicy
from smac_jax.deploy.policy_file import read_policy, write_policy
from smac_jax.errors import CheckpointError


@pytest.fixture(scope="module")
def policy(make_actor_critic) -> NumpyPolicy:
    made = make_actor_critic(distribution="box_gaussian", state_dependent_std=False, actor_activation="silu", seeds=2)
    return NumpyPolicy.of(made, [3, 8])


@pytest.fixture(scope="module")
def saved(policy, tmp_path_factory) -> Path:
    """Writes a policy file. Tests must copy it before changes."""
    path = tmp_path_factory.mktemp("policies") / "policy.npz"
    write_policy(path, policy)
    return path


def assert_equal(a: NumpyPolicy, b: NumpyPolicy) -> None:
    assert (a.architecture, a.seeds, set(a.arrays)) == (b.architecture, b.seeds, set(b.arrays))
    for name, array in a.arrays.items():
        assert array.dtype == b.arrays[name].dtype == np.float32
        np.testing.assert_array_equal(array, b.arrays[name])


def change(path: Path, out: Path, about=None, **arrays) -> Path:
    """Writes a copy of a file with another description or other arrays. None removes an array."""
    with np.load(path) as stored:
        content = {name: stored[name] for name in stored.files}
    if about is not None:
        described = json.loads(content["about"].tobytes())
        content["about"] = np.frombuffer(json.dumps(described | about).encode(), np.uint8)
    content = {name: array for name, array in (content | arrays).items() if array is not None}
    np.savez(out, **content)
    return out


@pytest.mark.parametrize("seed", [8, "all"])
def test_a_policy_is_equal_after_writing_and_reading(policy, seed, tmp_path):
    write_policy(tmp_path / "policy.npz", policy.select(seed))
    assert_equal(read_policy(tmp_path / "policy.npz"), policy.select(seed))
    assert [path.name for path in tmp_path.iterdir()] == ["policy.npz"]


def test_the_same_policy_gives_the_same_bytes(saved, policy, tmp_path):
    write_policy(tmp_path / "again", policy)
    assert (tmp_path / "again").read_bytes() == saved.read_bytes()


def test_an_interrupted_write_leaves_the_earlier_file(saved, policy, tmp_path, monkeypatch):
    path = tmp_path / "policy.npz"
    path.write_bytes(saved.read_bytes())

    def fill_the_disk(self: Path, content: bytes) -> None:
        with self.open("wb") as file:
            file.write(content[:100])
        raise OSError("No space left on device")

    monkeypatch.setattr(Path, "write_bytes", fill_the_disk)
    with pytest.raises(OSError, match="No space"):
        write_policy(path, policy.select(3))
    assert_equal(read_policy(path), policy)


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(where=st.floats(0, 1, exclude_max=True), flip=st.integers(1, 255))
def test_a_changed_byte_is_detected_or_has_no_effect(saved, policy, tmp_path, where, flip):
    content = bytearray(saved.read_bytes())
    content[int(where * len(content))] ^= flip
    path = tmp_path / "flipped.npz"
    path.write_bytes(content)
    try:
        read = read_policy(path)
    except CheckpointError:
        return
    assert_equal(read, policy)  # such bytes hold dates and attributes of the entries in the zip file


@settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(share=st.floats(0, 1, exclude_max=True))
def test_a_truncated_policy_file_is_refused(saved, tmp_path, share):
    content = saved.read_bytes()
    path = tmp_path / "part.npz"
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(CheckpointError, match=r"part\.npz is damaged, or no policy file"):
        read_policy(path)


def test_exchanged_arrays_and_descriptions_are_detected(saved, policy, tmp_path):
    kernel = policy.arrays["mean_kernel"].copy()
    kernel[0, 0, 0] += 1e-3
    path = tmp_path / "changed.npz"
    for other in ({"mean_kernel": kernel}, {"about": {"seeds": [3, 9]}}, {"mean_bias": None}, {"more": kernel}):
        with pytest.raises(CheckpointError, match=r"changed\.npz is damaged \(its checksum"):
            read_policy(change(saved, path, **other))


def test_files_of_later_versions_are_refused(saved, tmp_path):
    with pytest.raises(CheckpointError, match="is of version 2, this smac_jax reads version 1"):
        read_policy(change(saved, tmp_path / "later.npz", about={"version": 2}))


@pytest.mark.parametrize("kind", ["text", "empty", "array", "arrays", "zip", "other", "pickle"])
def test_other_files_are_refused(kind, saved, tmp_path):
    path, held = tmp_path / "other.npz", io.BytesIO()
    if kind == "text":
        held.write(b"ONNX?")
    elif kind == "array":
        np.save(held, np.zeros(3))
    elif kind == "arrays":
        np.savez(held, a=np.zeros(3))
    elif kind == "zip":
        with zipfile.ZipFile(held, "w") as file:
            file.writestr("about", "{}")
    elif kind == "pickle":
        np.savez(held, about=np.array([{}], object))
    path.write_bytes(held.getvalue())
    if kind == "other":
        change(saved, path, about={"format": "someone else's"})
    with pytest.raises(CheckpointError, match=r"other\.npz is damaged, or no policy file .*`smac-jax export"):
        read_policy(path)
