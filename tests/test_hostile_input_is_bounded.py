"""Input made to keep a reader busy, fill its memory or lead it elsewhere costs little, and is named.

Times are of the processor, with much room: what they guard against took minutes to days.
"""

from __future__ import annotations

import bz2
import gzip
import io
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from backports import zstd
from services.events import enrolled, write_people
from services.site import Site

from aspects_orchestration.archive import recompress
from aspects_orchestration.archive.manifest import ArchivedObject, Head, ManifestError, ManifestReader, encode
from aspects_orchestration.errors import (
    IdentityError,
    SettingsError,
)
from aspects_orchestration.monitoring.rules import load_rules
from aspects_orchestration.retention.policy import read_policy
from aspects_orchestration.settings import load_settings
from aspects_orchestration.settings.given import NAMES
from aspects_orchestration.tracking import compression
from aspects_orchestration.tracking.chunks import Chunk, OversizePart, read_chunks
from aspects_orchestration.tracking.compression import Damage, decompressed
from aspects_orchestration.tracking.lines import unwrap
from aspects_orchestration.xapi.identities_files import index_file

AT = "2024-05-03T10:00:00+00:00"
MIB = 1024 * 1024


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """The block takes no more of the processor's time."""
    began = time.process_time()
    yield
    assert time.process_time() - began < seconds


def damages(stored: bytes) -> tuple[int, list[Damage]]:
    """How many bytes a file gives, and its damages."""
    size, found = 0, []
    for piece in decompressed(io.BytesIO(stored)):
        if isinstance(piece, Damage):
            found.append(piece)
        else:
            size += len(piece)
    return size, found


# --- bombs -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stored", "least_times"),
    [
        pytest.param(zstd.compress(bytes(256 * MIB)), 20_000, id="zst"),
        pytest.param(bz2.compress(bytes(48 * MIB)), 100_000, id="bz2"),
    ],
)
def test_a_bomb_is_left_when_it_holds_what_no_log_does(
    monkeypatch: pytest.MonkeyPatch, stored: bytes, least_times: int
) -> None:
    assert 256 * MIB // len(stored) > least_times or least_times > 20_000
    monkeypatch.setattr(compression, "BOMB_BYTES", 32 * MIB)
    many = stored * 1000
    size, (damage,) = damages(many)
    assert (damage.kind, damage.resumed_at) == ("bomb", None)
    # No more than what is allowed for the whole file, where it would have been some hundred gigabytes.
    assert size <= max(32 * MIB, compression.BOMB_TIMES * len(many)) + 256 * MIB


def test_a_log_that_compresses_well_is_no_bomb() -> None:
    data = b'{"the same line": 1}\n' * 3_000_000
    assert damages(zstd.compress(data)) == (len(data), [])
    assert not compression.is_bomb(len(gzip.compress(bytes(MIB))), compression.BOMB_BYTES)
    # The most that gzip can do is read, whatever its size.
    assert not compression.is_bomb(10**9, 1032 * 10**9)


def test_what_would_be_a_bomb_in_the_archive_is_archived_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compression, "BOMB_BYTES", 16 * MIB)
    hole = bytes(200 * MIB)
    with pytest.raises(recompress.DamagedSourceError, match="next to nothing"):
        for _ in recompress.Recompressed(lambda: io.BytesIO(hole), threads=1):
            pass
    kept = recompress.Recompressed(lambda: io.BytesIO(hole), verbatim=True)
    assert sum(map(len, kept)) == len(hole)


@pytest.mark.parametrize("name", ["gz", "zst", "bz2"])
def test_a_million_tiny_members_take_no_time_each(name: str) -> None:
    one = {"gz": gzip.compress, "zst": zstd.compress, "bz2": bz2.compress}[name](b"")
    with within(30):
        assert damages(one * (600_000 // len(one))) == (0, [])


def test_damages_are_remembered_up_to_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compression, "MOST_DAMAGES", 50)
    size, found = damages((gzip.compress(b"a\n") + b"x") * 1000)
    assert len(found) == 51
    assert size == 2 * 51
    assert found[-1].resumed_at is None
    assert "the rest was not read" in found[-1].detail


def test_a_frame_that_asks_for_gigabytes_of_memory_is_refused() -> None:
    compressor = zstd.ZstdCompressor(options={zstd.CompressionParameter.window_log: 30})
    frame = compressor.compress(b"abc\n" * 1000, mode=compressor.FLUSH_BLOCK)
    frame += compressor.compress(b"abc\n", mode=compressor.FLUSH_FRAME)
    size, (damage,) = damages(frame)
    assert (size, damage.kind) == (0, "corrupt")


# --- lines -------------------------------------------------------------------------------------------------------


def test_a_line_in_a_million_pieces_is_not_read_a_million_times() -> None:
    data = b'{"log":"{}"}\n' * 40_000
    with within(20):
        (line,) = unwrap(data)
        assert (line.raw, line.body, line.source_lines) == (data, None, 40_000)
    # Whatever was made of it, the next event is found.
    assert [one.body for one in unwrap(data + enrolled(AT))][-1] == enrolled(AT).rstrip()
    with within(60):
        items = list(
            read_chunks([data[at : at + 999] for at in range(0, len(data), 999)], chunk_bytes=50_000)
        )
    assert b"".join(one.data for one in items if isinstance(one, Chunk | OversizePart)) == data


def test_what_no_parser_takes_goes_to_quarantine_and_the_rest_is_loaded(site: Site) -> None:
    write_people(site)

    def nested(depth: int, opened: str = "[", closed: str = "]") -> str:
        return opened * depth + closed * depth

    inner = orjson.loads(enrolled(AT))
    texts = [
        *(nested(depth) for depth in (100, 253, 254, 255, 600, 1023, 1024, 1500, 100_000)),
        nested(3000, '{"a":', "}").replace(":}", ":1}"),
        *("9" * digits for digits in (19, 20, 400, 4300, 4301, 10_000_000)),
        *("1e400", "-1e-400", "0." + "1" * 5_000_000, "NaN", "Infinity", "-0"),
        *('"\\ud800"', '"\\u0000"', '"' + "\\u202e" * 1000 + '"', '"' + "A" * 5_000_000 + '"'),
        '{"a":1,"a":2}',
    ]
    lines = [enrolled(AT).rstrip()]
    for number, text in enumerate(texts):
        for field in ("mode", "extra"):
            inner["event"] = {**orjson.loads(enrolled(AT))["event"], field: "HERE"}
            inner["time"] = f"2024-05-03T10:{number:02}:{len(lines) % 60:02}+00:00"
            lines.append(orjson.dumps(inner).replace(b'"HERE"', text.encode()))
        lines.append(text.encode())
        lines.append(f'{{"message": {orjson.dumps(text).decode()}}}'.encode())
    (site.logs / "tracking.log").write_bytes(b"\n".join(lines) + b"\n")
    loaded = site.load("2024-05")
    assert loaded.account.total.lines == len(lines)
    assert loaded.ids >= 1
    assert int(site.sql("SELECT count() FROM xapi.xapi_events_all", admin=True)) == loaded.ids


# --- what people write -------------------------------------------------------------------------------------------

LAUGHS = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{one}: &{one} [{','.join(['*' + before] * 9)}]\n"
    for before, one in zip("abcdefg", "bcdefgh", strict=True)
)
DOUBLING = "A0: x\nB0: x\n" + "".join(
    f'{side}{n}: "{{{{A{n - 1}}}}}{{{{B{n - 1}}}}}"\n' for n in range(1, 40) for side in "AB"
)


@pytest.mark.parametrize(
    "text",
    [
        LAUGHS + "LMS_HOST: *h\n",
        LAUGHS.replace("[", "{<<: [").replace("]", "]}").replace("x,", "").replace("[x]", "{}"),
        "LMS_HOST: &a [*a]\n",
        "LMS_HOST: " + "[" * 20_000,
        "LMS_HOST: " + "9" * 10_000 + "\n",
        "# " + "x" * 3_000_000,
    ],
    ids=["laughs", "merges", "itself", "deep", "digits", "long"],
)
def test_yaml_that_grows_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "file.yaml"
    path.write_text(text)
    readers: tuple[Callable[[], object], ...] = (
        lambda: load_settings({"ASPECTS_HOME": str(tmp_path), "ASPECTS_TUTOR_CONFIG": str(path)}),
        lambda: load_rules(path),
        lambda: read_policy("", path),
    )
    for read in readers:
        with within(10), pytest.raises(SettingsError):
            read()


@pytest.mark.parametrize(
    "text",
    [
        "LMS_HOST: \"{{ 'a' * 10**10 }}\"\n",
        'LMS_HOST: "{{ 10**10**9 }}"\n',
        'LMS_HOST: "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"\n',
        "LMS_HOST: \"{{ '%1000000000d' % 1 }}\"\n",
        "LMS_HOST: \"{{ 'a'.replace('', 'b') }}\"\n",
        DOUBLING + 'LMS_HOST: "{{A39}}"\n',
        "A0: x\n"
        + "".join(f'A{n}: "{{{{A{n - 1}}}}}"\n' for n in range(1, 3000))
        + 'LMS_HOST: "{{A2999}}"\n',
    ],
)
def test_templates_that_grow_are_refused_by_name(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config.yml"
    path.write_text(text)
    with within(10), pytest.raises(SettingsError, match="LMS_HOST"):
        load_settings({"ASPECTS_HOME": str(tmp_path), "ASPECTS_TUTOR_CONFIG": str(path)})


#: Secrets are shown to nobody, and may hold what they like.
VERBATIM = {
    "CLICKHOUSE_ADMIN_PASSWORD",
    "EVENT_BUS_KAFKA_API_SECRET",
    "RALPH_LMS_PASSWORD",
    "REDIS_PASSWORD",
}


@pytest.mark.parametrize(
    "value", ["a\nb", "a\rb", "a\0b", "\x1b[31mx", "x\u202ey", "s3://b/a\nb", "/tmp/\x1b]0;\x07"]
)
def test_no_setting_breaks_a_line_or_a_terminal(value: str) -> None:
    with pytest.raises(SettingsError) as refused:
        load_settings(dict.fromkeys(NAMES, value))
    text = str(refused.value)
    assert not [one for one in text if not one.isprintable() and one != "\n"]
    # The config.yml that is named is not there: what is in the environment is refused by itself.
    assert {name for name in NAMES if not re.search(rf"^ *{name}\b", text, re.MULTILINE)} <= VERBATIM


@pytest.mark.parametrize(
    "value",
    ["%s%n%x", "{0.__class__}", "'; DROP TABLE x; --", "$(id)", "../../etc", "\\", "\ud800", "x" * 100_000],
)
def test_a_setting_is_a_value_or_refused_by_name(tmp_path: Path, value: str) -> None:
    for name in (
        "ASPECTS_HOME",
        "ASPECTS_TRACKING_LOGS",
        "ASPECTS_XAPI_DATABASE",
        "ASPECTS_DATA_TTL_EXPRESSION",
        "REDIS_HOST",
    ):
        environ = {"ASPECTS_HOME": str(tmp_path), name: value}
        try:
            settings = load_settings(environ)
        except SettingsError:
            with pytest.raises(SettingsError, match=name):
                load_settings(environ)
            continue
        assert name in {"ASPECTS_HOME", "ASPECTS_TRACKING_LOGS"}, "a name in SQL is a plain one"
        assert value in {str(settings.home), *settings.tracking_log_prefixes} or Path(value).name in str(
            settings
        )


@pytest.mark.parametrize(
    ("ending", "data", "why"),
    [
        ("csv", b"user_id,username,external_user_id\n" + b"9" * 400 + b",a,\n", "row 1"),
        ("csv", b"user_id,username,external_user_id\n18446744073709551616,a,\n", "row 1"),
        (
            "csv",
            b"user_id,username,external_user_id\n1,=cmd|'/c calc'!A1,\n2,=cmd|'/c calc'!A1,\n",
            "two users",
        ),
        ("csv", b"user_id,username,external_user_id\n1,a,\n1,b,\n", "contradict"),
        ("csv", b"user_id,username,external_user_id\n1," + b"a" * 5_000_000 + b",\n", "no readable csv"),
        ("csv", b'user_id,username,external_user_id\n1,"' + b"a\n" * 1_000_000, "no readable csv"),
        ("csv", b"user_id,username,external_user_id\n1,\xff\xfe,\n", "no readable csv"),
        ("ndjson", b'{"user_id": [1], "username": {"a": 1}, "external_user_id": true}\n', "row 1"),
        ("ndjson", b'{"user_id": 1e400, "username": "a", "external_user_id": null}\n', "no readable ndjson"),
        ("ndjson", b"[" * 100_000 + b"\n", "no readable ndjson"),
        ("ndjson", b'{"user_id": 1, "username": "' + b"a" * 5_000_000, "no readable ndjson"),
        ("parquet", b"PAR1" + bytes(1000) + b"PAR1", "no readable parquet"),
    ],
)
def test_identities_that_nobody_has_are_refused_by_row(
    tmp_path: Path, ending: str, data: bytes, why: str
) -> None:
    with within(10), pytest.raises(IdentityError, match=why) as refused:
        index_file(
            "users", f"f.{ending}", "e", lambda: io.BytesIO(data), tmp_path, setting="ASPECTS_IDENTITIES"
        )
    assert "calc" not in str(refused.value)
    assert [one.name for one in tmp_path.iterdir() if one.name.endswith(".sqlite")] == []


def test_identities_of_odd_types_in_parquet_are_refused(tmp_path: Path) -> None:
    table = pa.table({"user_id": [[1], [2]], "username": [b"a", b"b"], "external_user_id": [1.5, None]})
    pq.write_table(table, tmp_path / "f.parquet")
    with pytest.raises(IdentityError, match="row 1"):
        index_file(
            "users",
            "f.parquet",
            "e",
            lambda: (tmp_path / "f.parquet").open("rb"),
            tmp_path,
            setting="ASPECTS_IDENTITIES",
        )


# --- the archive -------------------------------------------------------------------------------------------------


def archived(**changed: Any) -> dict[str, Any]:
    """A line of a manifest, changed."""
    zero = "0" * 64
    one = ArchivedObject(
        "logs/2024-05-01/x.zst", "file:///x", "e", 1, datetime(2024, 5, 1, tzinfo=UTC), 0, 1, zero, 1, zero,
        1, None, None, {}, 0, 0, zero,
    )  # fmt: skip
    return {**one.as_json(), **changed}


@pytest.mark.parametrize(
    "changed",
    [
        {"object": "../../etc/passwd"},
        {"object": "logs/2024-05-01/../../../etc/passwd"},
        {"object": "/etc/passwd"},
        {"object": "logs/2024-05-01/a/b"},
        {"object": "logs/2024-05-01/.."},
        {"object": "logs/2024-05-01/a\n"},
        {"object": "s3://elsewhere/x"},
        {"object": None},
        {"stored_bytes": "1"},
        {"raw_bytes": -1},
        {"lines": 1.5},
        {"lines": True},
        {"months": []},
        {"stored_sha256": None},
        {"verbatim": "yes"},
    ],
)
def test_a_manifest_names_nothing_outside_of_the_archive(changed: dict[str, Any]) -> None:
    head = b"".join(encode(Head(date(2024, 5, 1), None, datetime(2024, 5, 2, tzinfo=UTC), "r", "zst"), []))
    lines = [head.splitlines(keepends=True)[0], orjson.dumps(archived(**changed)) + b"\n"]
    with pytest.raises(ManifestError, match="no object of a manifest"):
        list(ManifestReader(lines, "m"))
    sound = [lines[0], orjson.dumps(archived()) + b"\n"]
    with pytest.raises(ManifestError, match="cut off"):
        list(ManifestReader(sound, "m"))
