"""Fetching, against a server on this machine that knows ranges, cuts connections, and sends wrong bytes."""

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
    """Serves ``content``; each connection sends at most ``cut_after`` bytes of what it promised."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.content, self.cut_after, self.ranges, self.asked = {"/file": BODY}, None, True, []
        self.refuses, self.tells_length = False, True

    def url(self, path="/file"):
        return f"http://127.0.0.1:{self.server_address[1]}{path}"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        asked = self.headers.get("Range")
        self.server.asked.append(asked)
        body = self.server.content.get(self.path)
        if body is None:
            return self.send_error(404)
        start = int(re.fullmatch(r"bytes=(\d+)-", asked)[1]) if asked and self.server.ranges else 0
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


def test_a_file_comes_whole_and_leaves_nothing_else(server, tmp_path):
    path = tmp_path / "new" / "file"
    download(server.url(), path, size=len(BODY), sha256=DIGEST)
    assert path.read_bytes() == BODY
    assert not (path.parent / ".file.part").exists()
    download(server.url(), path)
    assert len(server.asked) == 1


def test_a_cut_connection_goes_on_where_it_was(server, tmp_path):
    server.cut_after = 100_000
    download(server.url(), tmp_path / "file", size=len(BODY), sha256=DIGEST)
    assert (tmp_path / "file").read_bytes() == BODY
    assert server.asked == [None, "bytes=100000-", "bytes=200000-"]


@pytest.mark.parametrize("size", [len(BODY), None])
def test_what_an_earlier_process_has_fetched_is_not_fetched_again(server, tmp_path, size):
    (tmp_path / ".file.part").write_bytes(BODY[:250_000])
    download(server.url(), tmp_path / "file", size=size, sha256=DIGEST)
    assert (tmp_path / "file").read_bytes() == BODY
    assert server.asked == ["bytes=250000-"]


def test_a_server_without_ranges_sends_all_again(server, tmp_path):
    server.ranges = False
    (tmp_path / ".file.part").write_bytes(b"x" * 250_000)
    download(server.url(), tmp_path / "file", size=len(BODY), sha256=DIGEST)
    assert (tmp_path / "file").read_bytes() == BODY


@pytest.mark.parametrize("size", [len(BODY), None])
@pytest.mark.parametrize("there", [len(BODY), len(BODY) + 7])
def test_a_part_as_long_as_the_file_or_longer(server, tmp_path, size, there):
    (tmp_path / ".file.part").write_bytes((BODY + b"surplus")[:there])
    download(server.url(), tmp_path / "file", size=size, sha256=DIGEST)
    assert (tmp_path / "file").read_bytes() == BODY


def test_wrong_bytes_are_removed(server, tmp_path):
    server.content["/file"] = BODY[:-1] + bytes([BODY[-1] ^ 1])
    with pytest.raises(DatasetError, match=f"was removed.*SHA-256 .*expected {DIGEST}.*put it at {tmp_path}/file"):
        download(server.url(), tmp_path / "file", size=len(BODY), sha256=DIGEST)
    assert not (tmp_path / "file").exists()
    assert not (tmp_path / ".file.part").exists()


def test_another_size_is_refused_before_it_is_fetched(server, tmp_path):
    with pytest.raises(DatasetError, match="has 300,000 bytes, expected 299,999"):
        download(server.url(), tmp_path / "file", size=len(BODY) - 1)
    assert not (tmp_path / "file").exists()


def test_without_a_length_no_more_is_taken_than_expected(server, tmp_path, monkeypatch):
    monkeypatch.setattr(downloading, "CHUNK", 10_000)
    server.tells_length = False
    download(server.url(), tmp_path / "file", size=len(BODY), sha256=DIGEST)
    assert (tmp_path / "file").read_bytes() == BODY
    with pytest.raises(DatasetError, match=r"sends more than the 50,000 bytes expected"):
        download(server.url(), tmp_path / "other", size=50_000)
    assert not (tmp_path / "other").exists()
    assert (tmp_path / ".other.part").stat().st_size <= 50_000


def test_a_server_that_only_cuts_is_given_up_and_what_came_is_kept(server, tmp_path):
    (tmp_path / ".file.part").write_bytes(BODY[:1000])
    server.cut_after = 0
    with pytest.raises(DatasetError, match=r"cut after 1,000 bytes .*goes on from there"):
        download(server.url(), tmp_path / "file", size=len(BODY))
    assert (tmp_path / ".file.part").read_bytes() == BODY[:1000]
    assert len(server.asked) == downloading.ATTEMPTS


def test_a_server_that_cuts_and_then_refuses_to_go_on_is_given_up(server, tmp_path):
    server.cut_after, server.refuses = 100_000, True
    with pytest.raises(DatasetError, match="another try goes on"):
        download(server.url(), tmp_path / "file", size=len(BODY))
    assert len(server.asked) < 20


def test_what_is_not_there_and_no_network_say_where_to_put_the_file(server, tmp_path):
    with pytest.raises(DatasetError, match=f"404 .*fetch {server.url('/none')} .*put it at {tmp_path}/file"):
        download(server.url("/none"), tmp_path / "file")
    with pytest.raises(DatasetError, match=f"cannot be reached .*put it at {tmp_path}/file"):
        download("http://name.invalid/file", tmp_path / "file")


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "folder").write_text("a file")
    with pytest.raises(DatasetError, match=f"could not be fetched to {tmp_path}/folder/file"):
        download("http://name.invalid/file", tmp_path / "folder" / "file")


# by name


@pytest.fixture
def d4rl(server, tmp_path, log, monkeypatch):
    """D4RL's server with one small data set under a name that does not say its task."""
    write_d4rl(tmp_path / "walker_mixed.hdf5", log)
    body = (tmp_path / "walker_mixed.hdf5").read_bytes()
    file = RemoteFile("gym/walker_mixed.hdf5", len(body), hashlib.sha256(body).hexdigest())
    server.content["/gym/walker_mixed.hdf5"] = body
    monkeypatch.setattr(files, "HOST", server.url("/"))
    monkeypatch.setattr(files, "d4rl_files", lambda: {"walker2d-medium-replay-v0": file})
    monkeypatch.setenv("SMAC_JAX_DATA", str(tmp_path / "ours"))
    monkeypatch.setenv("D4RL_DATASET_DIR", str(tmp_path / "theirs"))
    return body


def test_a_name_of_d4rl_is_fetched_once(d4rl, server, tmp_path):
    for _ in range(2):
        data = load_dataset("walker2d-medium-replay-v0")
        assert (data.name, data.task, data.size) == ("walker2d-medium-replay-v0", "walker2d", 12)
        assert dict(data.metadata)["source"] == f"D4RL, {server.url('/gym/walker_mixed.hdf5')}"
    assert len(server.asked) == 1
    assert (tmp_path / "ours" / "walker_mixed.hdf5").read_bytes() == d4rl


@pytest.mark.parametrize("folder", ["ours", "theirs"])
def test_what_is_on_the_disk_is_used_without_a_network(d4rl, server, tmp_path, folder):
    (tmp_path / folder).mkdir()
    (tmp_path / folder / "walker_mixed.hdf5").write_bytes(d4rl)
    assert load_dataset("walker2d-medium-replay-v0").size == 12
    assert not server.asked


def test_what_is_on_the_disk_and_is_something_else_is_read_and_named(d4rl, tmp_path, log):
    (tmp_path / "theirs").mkdir()
    write_d4rl(tmp_path / "theirs" / "walker_mixed.hdf5", log | {"rewards": log["rewards"] + 1.0})
    with pytest.warns(UserWarning, match=r"theirs/walker_mixed\.hdf5: has .* not D4RL's walker2d-medium-replay-v0"):
        data = load_dataset("walker2d-medium-replay-v0")
    np.testing.assert_allclose(data.rewards, log["rewards"] + 1.0, rtol=1e-6)
    assert "not D4RL's file" in dict(data.metadata)["source"]


def test_what_is_on_the_disk_and_was_cut_short_is_refused(d4rl, tmp_path):
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "walker_mixed.hdf5").write_bytes(d4rl[: len(d4rl) // 2])
    with (
        pytest.warns(UserWarning, match="not D4RL's"),
        pytest.raises(DatasetError, match=r"theirs/walker_mixed\.hdf5: is cut short or damaged"),
    ):
        load_dataset("walker2d-medium-replay-v0")


def test_the_embedded_data_are_not_d4rls(d4rl):
    assert "source" not in dict(load_dataset("hopper-medium-replay").metadata)


def test_a_name_like_d4rls_is_told_the_right_one():
    with pytest.raises(DatasetError, match=r"names like this: .*hopper-medium-replay-v2"):
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
        # of these the kinds are tasks of their own
        assert (parse_name(name).kind is None) == (
            name.startswith(("kitchen", "maze2d")) or name[:-1] == "antmaze-umaze-v"
        )
        assert re.fullmatch(r"[\w/.-]+\.hdf5", file.path)
        assert (file.size is None) == (file.sha256 is None) or name == "antmaze-medium-play-v2"
        assert file.sha256 is None or re.fullmatch("[0-9a-f]{64}", file.sha256)
    assert known["kitchen-partial-v0"].path == "kitchen/kitchen_microwave_kettle_light_slider-v0.hdf5"
    assert known["hopper-medium-replay-v0"].path == "gym_mujoco/hopper_mixed.hdf5"
