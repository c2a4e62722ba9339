"""Log storage is listed as a stream, read to its end over broken connections, and says what to do when it cannot be."""

from __future__ import annotations

import os
import pickle
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from aspects_orchestration.errors import LogStoreError
from aspects_orchestration.tracking.stores import (
    LogFile,
    LogFileChangedError,
    LogStore,
    S3Options,
    list_all,
    open_store,
    open_stores,
)

if TYPE_CHECKING:
    from services.seaweedfs import S3Server

MIB = 1024 * 1024
QUICK = S3Options(attempts=3, pause_s=0.01, connect_timeout_s=2, read_timeout_s=2)


class BrokenLine:
    """A TCP proxy that cuts each connection after so many bytes of the answer."""

    def __init__(self, endpoint: str, bytes_a_connection: int) -> None:
        host, port = endpoint.removeprefix("http://").split(":")
        self._to = (host, int(port))
        self._limit = bytes_a_connection
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.connections = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, socket.create_connection(self._to) as server:
            threading.Thread(target=self._copy, args=(client, server, None), daemon=True).start()
            self._copy(server, client, self._limit)
            # An abrupt end, as of a balancer that is restarted.
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            with suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)

    @staticmethod
    def _copy(source: socket.socket, target: socket.socket, limit: int | None) -> None:
        left = limit
        try:
            while left is None or left > 0:
                data = source.recv(65536 if left is None else min(65536, left))
                if not data:
                    return
                target.sendall(data)
                left = None if left is None else left - len(data)
        except OSError:
            return


@pytest.fixture
def broken_line(s3: S3Server) -> Iterator[Callable[[int], BrokenLine]]:
    made: list[BrokenLine] = []

    def make(bytes_a_connection: int) -> BrokenLine:
        made.append(BrokenLine(s3.endpoint, bytes_a_connection))
        return made[-1]

    yield make
    for line in made:
        line.close()


@pytest.fixture(params=["local", "s3", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> LogStore:
    """A store of each kind, with nothing in it."""
    if request.param == "local":
        return open_store(str(tmp_path), s3=QUICK)
    if request.param == "memory":
        return open_store(f"memory://{secrets.token_hex(6)}", s3=QUICK)
    s3: S3Server = request.getfixturevalue("s3")
    return open_store(s3.uri, s3=QUICK)


def names(store: LogStore) -> list[str]:
    folder = store.uri.rpartition("/")[2] + "/"
    return sorted(file.uri.partition(folder)[2] for file in store.list())


def test_logs_are_listed_and_what_is_no_log_is_not(store: LogStore) -> None:
    logs = ["tracking.log", "lms-1/tracking.log-20240501.gz", "lms-1/a/b/c.zst", "empty.log"]
    for name in logs:
        store.put(f"{store.uri}/{name}", b"" if name == "empty.log" else b"x\n")
    for name in (
        ".hidden",
        "a.tmp",
        "b.part",
        ".snapshots/a.log",
        "quarantine/a.gz",
        "lms-1/quarantine/a.gz",
        "c~",
    ):
        store.put(f"{store.uri}/{name}", b"x\n")
    assert names(store) == sorted(logs)
    sizes = {file.uri.rpartition("/")[2]: file.size for file in store.list()}
    assert (sizes["empty.log"], sizes["tracking.log"]) == (0, 2)
    assert all(file.modified.tzinfo is not None and file.etag for file in store.list())


def test_a_file_comes_back_as_it_was_written(store: LogStore) -> None:
    data = os.urandom(3 * MIB)
    uri = (
        f"{store.uri}/quarantine/2024-05/part 1 ü%23.gz" if store.uri[:4] != "file" else f"{store.uri}/a/b.gz"
    )
    assert not store.exists(uri)
    store.write(uri, (data[at : at + 100_000] for at in range(0, len(data), 100_000)))
    assert store.exists(uri)
    assert store.get(uri) == data
    store.put(uri, b"other")
    assert store.get(uri) == b"other"
    store.delete(uri)
    store.delete(uri)
    assert not store.exists(uri)


def test_a_large_file_is_uploaded_in_parts(s3: S3Server) -> None:
    store = open_store(s3.uri)
    block = os.urandom(MIB)
    store.write(f"{s3.uri}/large", (block for _ in range(20)))
    assert store.get(f"{s3.uri}/large") == block * 20


def test_a_file_that_breaks_off_while_it_is_written_is_not_there(store: LogStore) -> None:
    def chunks() -> Iterator[bytes]:
        yield b"x" * 100_000
        raise LogStoreError("broken", do="nothing")

    with pytest.raises(LogStoreError, match="broken"):
        store.write(f"{store.uri}/a.log", chunks())
    assert names(store) == []


def test_a_file_is_read_from_any_byte(store: LogStore) -> None:
    data = os.urandom(300_000)
    store.put(f"{store.uri}/a.log", data)
    (file,) = store.list()
    with store.open(file) as stream:
        assert stream.read() == data
        stream.seek(1000)
        assert stream.read(10) == data[1000:1010]
    with store.open(file, offset=299_990) as stream:
        assert stream.read() == data[-10:]
    with store.open(file, offset=300_000) as stream:
        assert stream.read() == b""


def test_an_empty_file_is_read_as_nothing(store: LogStore) -> None:
    store.put(f"{store.uri}/a.log", b"")
    (file,) = store.list()
    with store.open(file) as stream:
        assert stream.read() == b""


def test_a_prefix_may_be_one_file(store: LogStore) -> None:
    store.put(f"{store.uri}/a.log", b"x\n")
    store.put(f"{store.uri}/a.log-old", b"x\n")
    (file,) = open_store(f"{store.uri}/a.log").list()
    assert file.uri.endswith("/a.log")


def test_a_changed_file_is_never_mixed_with_what_it_was(store: LogStore) -> None:
    store.put(f"{store.uri}/a.log", b"a" * (2 * MIB))
    (file,) = store.list()
    store.put(f"{store.uri}/a.log", b"b" * (2 * MIB + 1))
    with pytest.raises(LogFileChangedError, match=r"a\.log.*listed.*Run again"), store.open(file) as stream:
        stream.read()


def test_a_file_that_is_gone_is_a_change(store: LogStore) -> None:
    store.put(f"{store.uri}/a.log", b"a")
    (file,) = store.list()
    store.delete(file.uri)
    with pytest.raises(LogFileChangedError), store.open(file) as stream:
        stream.read()


def test_a_store_goes_to_another_process(store: LogStore) -> None:
    store.put(f"{store.uri}/a.log", b"a")
    copy: LogStore = pickle.loads(pickle.dumps(store))  # noqa: S301
    assert list(copy.list()) == list(store.list())


def test_overlapping_prefixes_list_a_file_once(tmp_path: Path) -> None:
    for name in ("a/1.log", "a/b/2.log", "a/quarantine/3.log", "ab/4.log"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x\n")
    prefixes = [f"{tmp_path}/a/b, {tmp_path}/a", f"file://{tmp_path}/a/", f"{tmp_path}/ab"]
    found = sorted(file.uri.rpartition("/")[2] for _, file in list_all(prefixes))
    assert found == ["1.log", "2.log", "4.log"]
    # Naming a quarantine is asking for it.
    assert len(open_stores([f"{tmp_path}/a", f"{tmp_path}/a/quarantine"])) == 2


def test_local_names_of_any_bytes_and_links_in_circles(tmp_path: Path) -> None:
    odd = ["a b.log", "50%20.log", "ü#?.log", os.fsdecode(b"\xff\xfe.log")]
    for name in odd:
        (tmp_path / name).write_bytes(name.encode("utf-8", "surrogateescape"))
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "up").symlink_to(tmp_path)
    (tmp_path / "itself").symlink_to(tmp_path / "itself")
    (tmp_path / "nowhere").symlink_to(tmp_path / "gone")
    os.mkfifo(tmp_path / "pipe.log")
    store = open_store(str(tmp_path))
    files = list(store.list())
    assert len(files) == len(odd)
    read = set()
    for file in files:
        with store.open(file) as stream:
            read.add(stream.read())
    assert read == {name.encode("utf-8", "surrogateescape") for name in odd}


def test_many_local_files_are_listed_at_twenty_thousand_a_second(tmp_path: Path) -> None:
    for folder in range(10):
        (tmp_path / str(folder)).mkdir()
        for number in range(2_000):
            os.close(os.open(tmp_path / str(folder) / f"tracking.log-{number}.gz", os.O_CREAT | os.O_WRONLY))
    # Of this process: how busy the machine is otherwise says nothing of how a folder is listed.
    started = time.process_time()
    first = next(iter(open_store(str(tmp_path)).list()))
    assert isinstance(first, LogFile)
    assert time.process_time() - started < 0.5
    assert sum(1 for _ in open_store(str(tmp_path)).list()) == 20_000
    assert time.process_time() - started < 1.5


def test_written_files_are_for_their_owner_alone(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    store.put(f"{store.uri}/quarantine/2024-05/a.gz", b"x")
    path = tmp_path / "quarantine" / "2024-05" / "a.gz"
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert path.parent.parent.stat().st_mode & 0o777 == 0o700


def test_a_local_file_that_becomes_shorter_while_it_is_read_is_told(tmp_path: Path) -> None:
    path = tmp_path / "tracking.log"
    path.write_bytes(b"x" * (4 * MIB))
    store = open_store(str(tmp_path))
    (file,) = store.list()
    with store.open(file) as stream:
        stream.read(MIB)
        os.truncate(path, 2 * MIB)
        with pytest.raises(LogFileChangedError, match="shorter"):
            stream.read()


def test_a_local_file_that_was_rotated_away_is_told(tmp_path: Path) -> None:
    path = tmp_path / "tracking.log"
    path.write_bytes(b"x\n")
    store = open_store(str(tmp_path))
    (file,) = store.list()
    path.rename(tmp_path / "tracking.log.1")
    path.write_bytes(b"x\ny\n")
    with pytest.raises(LogFileChangedError, match="rotated"), store.open(file) as stream:
        stream.read()


def test_reading_goes_on_where_a_connection_broke(
    s3: S3Server, broken_line: Callable[[int], BrokenLine]
) -> None:
    data = os.urandom(5 * MIB)
    s3.put("a.log", data)
    (file,) = open_store(s3.uri).list()
    line = broken_line(700_000)
    store = open_store(s3.uri, s3=replace(QUICK, endpoint_url=line.endpoint))
    with store.open(file) as stream:
        assert stream.read() == data
    assert line.connections >= 5 * MIB // 700_000


def test_a_file_that_changed_between_two_connections_is_told(
    s3: S3Server, broken_line: Callable[[int], BrokenLine]
) -> None:
    s3.put("a.log", b"a" * (5 * MIB))
    (file,) = open_store(s3.uri).list()
    store = open_store(s3.uri, s3=replace(QUICK, endpoint_url=broken_line(3 * MIB).endpoint))
    with store.open(file) as stream:
        stream.read(MIB)
        s3.put("a.log", b"b" * (5 * MIB))
        with pytest.raises(LogFileChangedError, match="changed while it was read"):
            stream.read()


def test_a_connection_that_brings_nothing_is_given_up(
    s3: S3Server, broken_line: Callable[[int], BrokenLine]
) -> None:
    s3.put("a.log", b"a" * MIB)
    (file,) = open_store(s3.uri).list()
    store = open_store(s3.uri, s3=replace(QUICK, endpoint_url=broken_line(50).endpoint))
    with pytest.raises(LogStoreError, match="AWS_ENDPOINT_URL_S3") as raised, store.open(file) as stream:
        stream.read()
    assert not isinstance(raised.value, LogFileChangedError)


def test_many_objects_are_listed_page_by_page(s3: S3Server) -> None:
    client = s3.client()

    def put(number: int) -> None:
        client.put_object(Bucket=s3.bucket, Key=f"{s3.prefix}/{number:05}.log", Body=b"x")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(put, range(1100)))
    s3.put("a b/ü+%.log", b"odd")
    assert sum(1 for _ in open_store(s3.uri).list()) == 1101


def test_a_prefix_is_a_folder_not_the_beginning_of_a_name(s3: S3Server) -> None:
    s3.put("logs/a.log", b"x")
    s3.put("logs-old/b.log", b"x")
    assert [file.uri for file in open_store(f"{s3.uri}/logs").list()] == [f"{s3.uri}/logs/a.log"]


def advice(store: LogStore, *forbidden: str) -> str:
    with pytest.raises(LogStoreError) as raised:
        list(store.list())
    message = str(raised.value)
    assert not any(secret in message for secret in forbidden)
    return message


def test_a_missing_folder_names_the_setting(tmp_path: Path) -> None:
    assert "ASPECTS_TRACKING_LOGS" in advice(open_store(str(tmp_path / "gone")))
    other = open_store(str(tmp_path / "gone"), setting="ASPECTS_QUARANTINE")
    assert "ASPECTS_QUARANTINE" in advice(other)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_read_says_so(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir(mode=0o000)
    assert "Give the user" in advice(open_store(str(tmp_path)))


def test_a_missing_bucket_names_the_setting(s3: S3Server) -> None:
    message = advice(open_store("s3://no-such-bucket/logs"))
    assert "s3://no-such-bucket/logs" in message
    assert "ASPECTS_TRACKING_LOGS" in message


def test_a_wrong_secret_names_the_credentials(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-the-secret")
    message = advice(open_store(s3.uri), "not-the-secret", s3.access_key + "/", s3.secret_key)
    assert "AWS_SECRET_ACCESS_KEY" in message


def test_an_unknown_key_names_the_credentials(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKUNKNOWN")
    assert "AWS_ACCESS_KEY_ID" in advice(open_store(s3.uri), "AKUNKNOWN")


def test_a_missing_grant_says_which(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "elsewhere")
    assert "s3:ListBucket" in advice(open_store(s3.uri))
    with pytest.raises(LogStoreError, match="s3:PutObject"):
        open_store(s3.uri).put(f"{s3.uri}/a", b"x")


def test_no_credentials_says_which_to_set(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    assert "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY" in advice(open_store(s3.uri))


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:9", "http://no-such-host.invalid", "not a url"])
def test_an_endpoint_that_does_not_answer_names_its_setting(s3: S3Server, endpoint: str) -> None:
    store = open_store(s3.uri, s3=replace(QUICK, endpoint_url=endpoint))
    assert "AWS_ENDPOINT_URL_S3" in advice(store)


def test_a_scheme_that_nothing_reads_names_the_setting() -> None:
    assert "ASPECTS_TRACKING_LOGS" in advice(open_store("gopher://logs"))
    with pytest.raises(LogStoreError, match="ASPECTS_TRACKING_LOGS"):
        open_store(" ")
    with pytest.raises(LogStoreError, match="ASPECTS_TRACKING_LOGS"):
        open_store("s3://")
