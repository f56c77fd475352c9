"""Downloads from a local server that supports ranges, interrupts connections, and sends wrong bytes."""

import contextlib
import functools
import hashlib
import http.server
import re
import threading

import numpy as np
import pytest

from smac_jax.data import load_dataset
from smac_jax.data.readers import d4rl_files as files
from smac_jax.data.readers import download as downloading
from smac_jax.data.readers.d4rl import write_d4rl
from smac_jax.data.readers.d4rl_files import RemoteFile
from smac_jax.data.readers.download import download
from smac_jax.errors import DatasetError

BODY = np.random.default_rng(0).bytes(300_000)
DIGEST = hashlib.sha256(BODY).hexdigest()


class Server(http.server.ThreadingHTTPServer):
    """Serves ``content``. Each connection sends at most ``cut_after`` bytes of the announced ones."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.content, self.cut_after, self.ranges, self.requests = {"/file": BODY}, None, True, []
        self.refuses, self.tells_length = False, True

    def url(self, path="/file"):
        return f"http://127.0.0.1:{self.server_address[1]}{path}"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        requested = self.headers.get("Range")
        self.server.requests.append(requested)
        body = self.server.content.get(self.path)
        if body is None:
            return self.send_error(404)
        start = int(re.fullmatch(r"bytes=(\d+)-", requested)[1]) if requested and self.server.ranges else 0
        if start and (start >= len(body) or self.server.refuses):
            return self.send_error(416)
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        if self.server.tells_length:
            self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(body[start:][: self.server.cut_after])
        return None

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    with Server() as server:
        threading.Thread(target=functools.partial(server.serve_forever, poll_interval=0.02), daemon=True).start()
        yield server
        server.shutdown()


def test_a_download_leaves_the_file_and_nothing_else(server, tmp_path):
    path = tmp_path / "new" / "file"
    download(server.url(), path, size=len(BODY), sha256=DIGEST)
    assert path.read_bytes() == BODY
    assert not (path.parent / ".file.part").exists()
    download(server.url(), path)
    assert len(server.requests) == 1


def test_an_interrupted_download_is_resumed(server, tmp_path):
    server.cut_after = 100_000
    download(server.url(), tmp_path / "file", size=len(BODY), sha256=DIGEST)
    assert (tmp_path / "file").read_bytes() == BODY
    assert server.requests == [None, "bytes=100000-", "bytes=200000-"]


@pytest.mark.parametrize("size", [len(BODY), None])
def test_a_part_from_an_earlier_process_is_resumed(server, tmp_path, size):
    (tmp_path / ".file.part").write_bytes(BODY[:250_000])
    download(server.url(), tmp_path / "file", size=size, sha256=DIGEST)
    assert (tmp_path / "file").read_bytes() == BODY
    assert server.requests == ["bytes=250000-"]


def test_without_support_for_ranges_the_whole_file_is_sent_again(server, tmp_path):
    server.ranges = False
    (tmp_path / ".file.part").write_bytes(b"x" * 250_000)
    download(server.url(), tmp_path / "file", size=len(BODY), sha256=DIGEST)
    assert (tmp_path / "file").read_bytes() == BODY


@pytest.mark.parametrize("size", [len(BODY), None])
@pytest.mark.parametrize("there", [len(BODY), len(BODY) + 7])
def test_a_part_that_is_not_shorter_than_the_file_is_replaced(server, tmp_path, size, there):
    (tmp_path / ".file.part").write_bytes((BODY + b"surplus")[:there])
    download(server.url(), tmp_path / "file", size=size, sha256=DIGEST)
    assert (tmp_path / "file").read_bytes() == BODY


def test_a_file_with_a_wrong_checksum_is_removed(server, tmp_path):
    server.content["/file"] = BODY[:-1] + bytes([BODY[-1] ^ 1])
    with pytest.raises(DatasetError, match=f"was removed.*SHA-256 .*expected {DIGEST}.*put it at {tmp_path}/file"):
        download(server.url(), tmp_path / "file", size=len(BODY), sha256=DIGEST)
    assert not (tmp_path / "file").exists()
    assert not (tmp_path / ".file.part").exists()


def test_a_wrong_size_is_refused_before_the_download(server, tmp_path):
    with pytest.raises(DatasetError, match="has 300,000 bytes, expected 299,999"):
        download(server.url(), tmp_path / "file", size=len(BODY) - 1)
    assert not (tmp_path / "file").exists()


def test_no_more_bytes_than_expected_are_kept_without_an_announced_length(server, tmp_path, monkeypatch):
    monkeypatch.setattr(downloading, "CHUNK", 10_000)
    server.tells_length = False
    download(server.url(), tmp_path / "file", size=len(BODY), sha256=DIGEST)
    assert (tmp_path / "file").read_bytes() == BODY
    with pytest.raises(DatasetError, match=r"sends more than the 50,000 bytes expected"):
        download(server.url(), tmp_path / "other", size=50_000)
    assert not (tmp_path / "other").exists()
    assert (tmp_path / ".other.part").stat().st_size <= 50_000


def test_a_download_without_progress_fails_and_keeps_the_part(server, tmp_path):
    (tmp_path / ".file.part").write_bytes(BODY[:1000])
    server.cut_after = 0
    with pytest.raises(DatasetError, match=r"stopped after 1,000 bytes .*resumes from there"):
        download(server.url(), tmp_path / "file", size=len(BODY))
    assert (tmp_path / ".file.part").read_bytes() == BODY[:1000]
    assert len(server.requests) == downloading.ATTEMPTS


def test_a_server_that_refuses_to_resume_makes_the_download_fail(server, tmp_path):
    server.cut_after, server.refuses = 100_000, True
    with pytest.raises(DatasetError, match="another attempt resumes"):
        download(server.url(), tmp_path / "file", size=len(BODY))
    assert len(server.requests) < 20


def test_errors_of_server_and_network_name_the_place_for_the_file(server, tmp_path):
    with pytest.raises(DatasetError, match=f"404 .*download {server.url('/none')} .*put it at {tmp_path}/file"):
        download(server.url("/none"), tmp_path / "file")
    with pytest.raises(DatasetError, match=f"cannot be reached .*put it at {tmp_path}/file"):
        download("http://name.invalid/file", tmp_path / "file")


def test_an_unwritable_folder_is_named(tmp_path):
    (tmp_path / "folder").write_text("a file")
    with pytest.raises(DatasetError, match=f"could not be downloaded to {tmp_path}/folder/file"):
        download("http://name.invalid/file", tmp_path / "folder" / "file")


# D4RL's data sets by name


@pytest.fixture
def d4rl(server, tmp_path, log, monkeypatch):
    """A server with one small data set, whose file name does not contain the task."""
    write_d4rl(tmp_path / "walker_mixed.hdf5", log)
    body = (tmp_path / "walker_mixed.hdf5").read_bytes()
    file = RemoteFile("gym/walker_mixed.hdf5", len(body), hashlib.sha256(body).hexdigest())
    server.content["/gym/walker_mixed.hdf5"] = body
    monkeypatch.setattr(files, "HOST", server.url("/"))
    monkeypatch.setattr(files, "d4rl_files", lambda: {"walker2d-medium-replay-v0": file})
    monkeypatch.setenv("SMAC_JAX_DATA", str(tmp_path / "smac_jax"))
    monkeypatch.setenv("D4RL_DATASET_DIR", str(tmp_path / "d4rl"))
    return body


def test_a_file_of_d4rl_is_downloaded_once(d4rl, server, tmp_path):
    for _ in range(2):
        data = load_dataset("walker2d-medium-replay-v0")
        assert (data.name, data.task, data.size) == ("walker2d-medium-replay-v0", "walker2d", 12)
        assert dict(data.metadata)["source"] == f"D4RL, {server.url('/gym/walker_mixed.hdf5')}"
    assert len(server.requests) == 1
    assert (tmp_path / "smac_jax" / "walker_mixed.hdf5").read_bytes() == d4rl


@pytest.mark.parametrize("folder", ["smac_jax", "d4rl"])
def test_a_file_on_disk_is_used_without_a_network(d4rl, server, tmp_path, folder):
    (tmp_path / folder).mkdir()
    (tmp_path / folder / "walker_mixed.hdf5").write_bytes(d4rl)
    assert load_dataset("walker2d-medium-replay-v0").size == 12
    assert not server.requests


def test_a_file_on_disk_that_is_not_d4rls_is_read_with_a_warning(d4rl, tmp_path, log):
    (tmp_path / "d4rl").mkdir()
    write_d4rl(tmp_path / "d4rl" / "walker_mixed.hdf5", log | {"rewards": log["rewards"] + 1.0})
    with pytest.warns(UserWarning, match=r"d4rl/walker_mixed\.hdf5 has .* not D4RL's walker2d-medium-replay-v0"):
        data = load_dataset("walker2d-medium-replay-v0")
    np.testing.assert_allclose(data.rewards, log["rewards"] + 1.0, rtol=1e-6)
    assert "not D4RL's file" in dict(data.metadata)["source"]


def test_a_truncated_file_on_disk_is_refused(d4rl, tmp_path):
    (tmp_path / "d4rl").mkdir()
    (tmp_path / "d4rl" / "walker_mixed.hdf5").write_bytes(d4rl[: len(d4rl) // 2])
    with (
        pytest.warns(UserWarning, match="not D4RL's"),
        pytest.raises(DatasetError, match=r"d4rl/walker_mixed\.hdf5 is truncated or damaged"),
    ):
        load_dataset("walker2d-medium-replay-v0")


def test_embedded_data_do_not_name_d4rl_as_their_source(d4rl):
    assert "source" not in dict(load_dataset("hopper-medium-replay").metadata)


def test_a_misspelled_name_of_d4rl_lists_similar_names():
    with pytest.raises(DatasetError, match=r"similar names: .*hopper-medium-replay-v2"):
        load_dataset("hopper-medium-replay-v3")


HANDS = ("pen", "door", "hammer", "relocate")


def test_every_name_has_its_own_file_and_a_task():
    from smac_jax.tasks import parse_name

    everything = files.d4rl_files()
    known = {name: file for name, file in everything.items() if "-binary-" not in name}
    assert {everything[f"{hand}-binary-v0"] for hand in HANDS} == {known[f"{hand}-human-v1"] for hand in HANDS}
    assert len(everything) == 119
    assert len({file.name for file in known.values()}) == len(known) == 115
    for name, file in known.items():
        # each data set of these families has a task of its own
        assert (parse_name(name).kind is None) == (
            name.startswith(("kitchen", "maze2d")) or name[:-1] == "antmaze-umaze-v"
        )
        assert re.fullmatch(r"[\w/.-]+\.hdf5", file.path)
        assert (file.size is None) == (file.sha256 is None) or name == "antmaze-medium-play-v2"
        assert file.sha256 is None or re.fullmatch("[0-9a-f]{64}", file.sha256)
    assert known["kitchen-partial-v0"].path == "kitchen/kitchen_microwave_kettle_light_slider-v0.hdf5"
    assert known["hopper-medium-replay-v0"].path == "gym_mujoco/hopper_mixed.hdf5"
