"""Servers that answer with lies, noise, redirects or orders to a terminal are refused, and their words shown as they are."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from xml.sax.saxutils import escape

import pytest
from services.http_double import http, http_double
from services.s3_faults import in_front_of
from services.site import Site

from aspects_orchestration.archive.faults import Fault
from aspects_orchestration.errors import (
    AspectsError,
    LogStoreError,
    WarehouseError,
    one_line,
)
from aspects_orchestration.settings import load_settings
from aspects_orchestration.tracking.stores import S3Options, open_store
from aspects_orchestration.warehouse import server
from aspects_orchestration.warehouse.client import Patience, Warehouse

#: Moves a terminal's cursor, rings its bell, turns the direction of writing, begins a line of its own.
TERMINAL = "a\x1b[2J\x1b]0;x\x07\u202eb\r\nroot: all is well"


@contextmanager
def s3_that_lists(*items: str) -> Iterator[S3Options]:
    """An S3 that answers every listing with these."""
    body = '<?xml version="1.0"?><ListBucketResult><IsTruncated>false</IsTruncated>' + "".join(items)
    body += "</ListBucketResult>"

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Say nothing."""

        def do_GET(self) -> None:
            """The same to anybody."""
            self.send_response(200)
            self.send_header("Content-Length", str(len(body.encode())))
            self.end_headers()
            self.wfile.write(body.encode())

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        try:
            yield S3Options(
                endpoint_url=f"http://127.0.0.1:{server.server_address[1]}", region="x", attempts=1
            )
        finally:
            server.shutdown()


def listed(key: str, size: str = "1", etag: str = '"e"', modified: str = "2024-05-01T00:00:00Z") -> str:
    return (
        f"<Contents><Key>{escape(key)}</Key><Size>{size}</Size><ETag>{escape(etag)}</ETag>"
        f"<LastModified>{modified}</LastModified></Contents>"
    )


@pytest.fixture
def s3_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "sesame", "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)


@pytest.mark.usefixtures("s3_credentials")
@pytest.mark.parametrize(
    "item",
    [
        listed("private/payroll.csv"),
        listed("log/../private/x.log"),
        listed("logs"),
        listed("../logs/x.log"),
        listed(""),
        listed("logs/a.log", size="-5"),
        listed("logs/a.log", size="many"),
        listed("logs/a.log", modified="yesterday"),
        "<Contents><Key>logs/a.log</Key></Contents>",
        "<Contents><Key>logs/a.log",
        '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><Contents><Key>&a;</Key></Contents>',
    ],
)
def test_a_listing_that_lies_is_refused_and_nothing_is_read(item: str) -> None:
    with s3_that_lists(item) as s3, pytest.raises(LogStoreError) as refused:
        list(open_store("s3://bucket/logs", s3=s3).list())
    assert "sesame" not in str(refused.value)
    assert "root:" not in str(refused.value)


@pytest.mark.usefixtures("s3_credentials")
def test_odd_keys_below_the_prefix_are_names_and_no_paths() -> None:
    odd = ["logs/../x.log", "logs//y.log", "logs/folder/", "logs/z\u202e.log", "logs/q/../../../w.log"]
    with s3_that_lists(*map(listed, odd)) as s3:
        found = [one.uri for one in open_store("s3://bucket/logs", s3=s3).list()]
    # A key with dots in it is no path in S3; as a folder's name they are hidden, as in a folder of this machine.
    assert found == ["s3://bucket/logs//y.log", "s3://bucket/logs/z\u202e.log"]


def test_what_a_name_says_to_a_terminal_is_shown_and_not_done() -> None:
    for text in (
        str(AspectsError(f"s3://b/{TERMINAL} is bad", do=f"Look at {TERMINAL}")),
        str(Fault("extra", None, TERMINAL, TERMINAL, "Look.")),
        one_line(TERMINAL),
    ):
        assert not [one for one in text if not one.isprintable() and one != "\n"]
        assert "\\x1b[2J" in text
        assert "\\u202e" in text
    assert "\n" not in one_line(TERMINAL) + str(Fault("extra", None, TERMINAL, TERMINAL, "Look."))
    assert one_line("Größe/日本語 ✓.log") == "Größe/日本語 ✓.log"


def test_clickhouse_is_not_followed_elsewhere_and_its_garbage_is_told() -> None:
    with http_double({"/": http(200, "1")}) as elsewhere:
        answers = {
            "another place": http(307, "", f"Location: http://{elsewhere.host}/"),
            "the same, of another kind": http(302, "", f"Location: http://{elsewhere.host}/"),
            "a file": http(302, "", "Location: file:///etc/passwd"),
            "a page": http(200, "<html>log in</html>"),
            "nothing": http(200),
            "noise": http(200, "\x01\x01\x06String" + "\x7f" * 1000),
            "too little": http(200, "abc").replace(b"Length: 3", b"Length: 100000"),
            "not what it says": http(200, "abc", "Content-Encoding: gzip"),
            "an order to the terminal": http(500, f"Code: 60. DB::Exception: {TERMINAL}"),
            "no HTTP": b"\x00" * 100,
        }
        for name, answer in answers.items():
            with http_double({"/": answer}) as server:
                settings = load_settings(
                    {
                        "CLICKHOUSE_HOST": "127.0.0.1",
                        "CLICKHOUSE_PORT": str(server.port),
                        "CLICKHOUSE_ADMIN_USER": "somebody",
                        "CLICKHOUSE_ADMIN_PASSWORD": "sesame",
                    }
                )
                assert settings.clickhouse is not None
                for patience in (Patience(5, 5), Patience()):
                    warehouse = Warehouse(settings.clickhouse, run_id="r", patience=patience)
                    with pytest.raises(WarehouseError) as refused:
                        warehouse.rows("server_version_and_time")
                    warehouse.close()
                    assert refused.value.do, name
                    text = str(refused.value)
                    assert "sesame" not in text
                    assert not [one for one in text if not one.isprintable() and one != "\n"], name
        assert elsewhere.asked == []


def test_an_answer_that_ends_or_changes_on_its_way_is_an_error_that_says_what_to_do(
    shared_site: Site,
) -> None:
    address = server.ensure_running(shared_site.home)
    with in_front_of(f"http://{address.host}:{address.http_port}") as proxy:
        settings = load_settings(
            {
                "CLICKHOUSE_HOST": "127.0.0.1",
                "CLICKHOUSE_PORT": proxy.endpoint.rpartition(":")[2],
                "CLICKHOUSE_ADMIN_USER": address.user,
                "CLICKHOUSE_ADMIN_PASSWORD": address.password,
            }
        )
        assert settings.clickhouse is not None
        warehouse = Warehouse(settings.clickhouse, run_id="r", patience=Patience(5, 5))
        for fault in ("half", "hang up", "500"):
            proxy.fault = lambda *_: None
            assert warehouse.rows("server_version_and_time")
            proxy.fault = lambda *_, fault=fault: fault
            with pytest.raises(WarehouseError) as refused:
                warehouse.rows("server_version_and_time")
            assert refused.value.do
            assert address.password not in str(refused.value)
        warehouse.close()
    assert repr(warehouse.address.password) == "SecretStr('**********')"
