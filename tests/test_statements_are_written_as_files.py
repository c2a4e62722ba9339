"""Destination files, in a real S3: each id once, whole or absent, and loaded by ClickHouse they are the rows of a load."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from services.events import enrolled, peopled_site
from services.runs import kill, said, start
from services.seaweedfs import S3Server
from services.site import Site

from aspects_orchestration.errors import SettingsError, WarehouseError
from aspects_orchestration.replay import encode_statements
from aspects_orchestration.replay.attempt import Attempt
from aspects_orchestration.replay.destinations import Destination, DestinationError, require_possible
from aspects_orchestration.replay.load import load_month
from aspects_orchestration.replay.plan import LoadRequest
from aspects_orchestration.replay.result import LoadResult, utc_now
from aspects_orchestration.samples import SampleSpec
from aspects_orchestration.tracking.stores import S3Options
from aspects_orchestration.warehouse.publish import Slice
from aspects_orchestration.warehouse.staged import batches

ROOT = Path(__file__).resolve().parents[1]
FORMATS = ("parquet", "ndjson.gz", "ndjson.zst")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    for site in peopled_site(tmp_path_factory):
        site.warehouse()
        yield site


@pytest.fixture
def town(shared: Site, s3: S3Server) -> Site:
    """The site as each test finds it: an empty table, and files that go to S3."""
    shared.environ = {**s3.environment(), "ASPECTS_STATEMENT_FILES": f"{s3.uri}/statements"}
    shared.sql("TRUNCATE TABLE xapi.xapi_events_all", admin=True)
    for log in shared.logs.iterdir():
        log.unlink()
    return shared


def written(site: Site, month: str, told: list[str] | None = None, **request: object) -> LoadResult:
    """Load a month into files."""
    return site.load(month, told, destination=Destination.FILES, **request)


def objects(s3: S3Server) -> dict[str, bytes]:
    """All objects of this test, by name below `statements`."""
    client, prefix = s3.client(), f"{s3.prefix}/statements/"
    listed = client.list_objects_v2(Bucket=s3.bucket, Prefix=prefix).get("Contents", [])
    return {
        one["Key"].removeprefix(prefix): client.get_object(Bucket=s3.bucket, Key=one["Key"])["Body"].read()
        for one in listed
    }


def loaded_by_clickhouse(site: Site, s3: S3Server, kind: str) -> bytes:
    """The raw table after the statement of docs/statements-as-files.md, which is sent twice."""
    text = (ROOT / "docs/statements-as-files.md").read_text()
    (statement,) = [
        one
        for one in re.findall(r"^```sql\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
        if "INSERT INTO" in one
    ]
    for documented, ours in {
        "https://my-bucket.s3.eu-central-1.amazonaws.com/statements": f"{s3.endpoint}/{s3.bucket}/{s3.prefix}/statements",
        "<access key>": s3.access_key,
        "<secret key>": s3.secret_key,
        "parquet": kind,
        "'Parquet'": "'Parquet'" if kind == "parquet" else "'JSONEachRow'",
    }.items():
        assert documented in statement
        statement = statement.replace(documented, ours)
    for _ in range(2):
        site.sql(statement, admin=True)
    return site.rows()


@pytest.mark.slow
def test_clickhouse_loads_the_files_as_the_rows_of_a_load(town: Site, s3: S3Server) -> None:
    town.write_samples(SampleSpec(lines=900, damage=0.01), files=1)
    direct = town.load("2024-05")
    expected = town.rows()
    for kind in FORMATS:
        town.sql("TRUNCATE TABLE xapi.xapi_events_all", admin=True)
        town.environ["ASPECTS_STATEMENT_FORMAT"] = kind
        result = written(town, "2024-05")
        assert result.statements == direct.statements, "the same account as that of a load"
        assert town.rows() == b"", "nothing of it stands in the table"
        found = objects(s3)
        folder = f"xapi_events_all/{kind}/2024-05"
        manifest = json.loads(found.pop(f"{folder}/manifest.json"))
        assert manifest["complete"]
        assert manifest["statements"] == result.ids == sum(one["statements"] for one in manifest["files"])
        for one in manifest["files"]:
            data = found.pop(f"{folder}/{one['name']}")
            assert (len(data), hashlib.sha256(data).hexdigest()) == (one["bytes"], one["sha256"])
        assert not [name for name in found if name.startswith(folder)], (
            "nothing that the manifest does not name"
        )
        assert loaded_by_clickhouse(town, s3, kind) == expected


def test_again_writes_nothing_and_what_has_grown_replaces_its_day_alone(town: Site, s3: S3Server) -> None:
    log = town.logs / "2021-02.log.1"
    lines = [enrolled(f"2021-02-{day:02d}T10:00:00.000001+00:00") for day in (3, 4, 5) for _ in range(2)]
    log.write_bytes(b"".join(lines))  # each twice: one id a day
    first = written(town, "2021-02")
    assert first.notes["files_written"] == 3
    before = objects(s3)
    again = written(town, "2021-02")
    assert again.statements is not None
    assert (again.notes["files_written"], again.statements.inserted, again.statements.already_there) == (
        0,
        0,
        3,
    )
    assert {name: data for name, data in objects(s3).items() if "manifest" not in name} == {
        name: data for name, data in before.items() if "manifest" not in name
    }
    with log.open("ab") as file:
        file.write(enrolled("2021-02-04T11:00:00.000001+00:00"))
    # A part of a day is widened to all of it: the file holds what was in it too.
    grown = written(town, "2021-02", since=_at("2021-02-04T10:30"), until=_at("2021-02-04T12:00"))
    assert grown.notes["files_written"] == 1
    after = objects(s3)
    changed = {name for name, data in after.items() if before.get(name) != data}
    assert {name.rpartition("/")[2] for name in changed} == {"2021-02-04.parquet", "manifest.json"}
    manifest = json.loads(after["xapi_events_all/parquet/2021-02/manifest.json"])
    assert [(one["day"], one["statements"]) for one in manifest["files"]] == [
        ("2021-02-03", 1),
        ("2021-02-04", 2),
        ("2021-02-05", 1),
    ]
    assert manifest["complete"]


def test_files_that_would_lose_statements_are_left(town: Site, s3: S3Server) -> None:
    log = town.logs / "2021-03.log.1"
    lines = [enrolled(f"2021-03-03T10:0{minute}:00.000001+00:00") for minute in range(5)]
    later = [enrolled("2021-03-09T10:00:00.000001+00:00")]
    log.write_bytes(b"".join(lines + later))
    written(town, "2021-03")
    before = objects(s3)
    log.write_bytes(b"".join(lines[:2]))
    with pytest.raises(WarehouseError, match=r"2 files .* 2021-03-03: 5, and 2 in the logs.*allow_loss"):
        written(town, "2021-03")
    assert objects(s3) == before
    written(town, "2021-03", allow_loss=True)
    manifest = json.loads(objects(s3)["xapi_events_all/parquet/2021-03/manifest.json"])
    assert [(one["day"], one["statements"]) for one in manifest["files"]] == [("2021-03-03", 2)]
    assert not any("2021-03-09" in name for name in objects(s3))


@pytest.mark.slow
def test_a_killed_run_leaves_whole_files_and_the_next_writes_the_others(town: Site, s3: S3Server) -> None:
    days = range(1, 11)
    lines = [enrolled(f"2021-04-{day:02d}T10:{n:02d}:00.000001+00:00") for day in days for n in range(40)]
    (town.logs / "2021-04.log.1").write_bytes(b"".join(lines))
    process = start(town, "2021-04", "100", "merge", "files")
    assert said(process, "wrote 2021-04-03")
    kill(process, 0.0)
    cut_off = json.loads(objects(s3)["xapi_events_all/parquet/2021-04/manifest.json"])
    assert not cut_off["complete"]
    assert 3 <= len(cut_off["files"]) < 10
    result = written(town, "2021-04")
    assert result.notes["files_left_as_they_stand"] == len(cut_off["files"])
    assert result.notes["files_written"] == 10 - len(cut_off["files"])
    assert result.statements is not None
    assert (result.statements.inserted + result.statements.already_there, result.ids) == (400, 400)
    town.environ["ASPECTS_STATEMENT_FILES"] = f"{s3.uri}/undisturbed"
    written(town, "2021-04")
    client = s3.client()
    for name, data in objects(s3).items():
        if not name.endswith("manifest.json"):
            key = f"{s3.prefix}/undisturbed/{name}"
            assert client.get_object(Bucket=s3.bucket, Key=key)["Body"].read() == data


def test_a_dry_run_writes_nothing_and_what_cannot_be_is_refused(town: Site, s3: S3Server) -> None:
    (town.logs / "2021-05.log.1").write_bytes(enrolled("2021-05-05T10:00:00.000001+00:00"))
    result = written(town, "2021-05", dry_run=True)
    assert (result.account.total.statements, objects(s3)) == (1, {})
    with pytest.raises(DestinationError, match="only some of the lines"):
        written(town, "2021-05", sources=("2021-05.log.1",))
    town.environ |= {
        "ASPECTS_SEVERAL_MACHINES": "true",
        "ASPECTS_STATEMENT_FILES": str(town.home / "statements"),
        "ASPECTS_CLICKHOUSE_URL": "http://127.0.0.1:1",
    }
    elsewhere, request = town.settings, LoadRequest("2021-05", destination=Destination.FILES)
    with pytest.raises(SettingsError, match="ASPECTS_STATEMENT_FILES lies in ASPECTS_HOME"):
        require_possible(elsewhere, request)


def test_files_go_to_a_folder_in_groups_and_batches_of_bounded_size(
    town: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many statements a day has, no more are held than a row group, and no more are read than a batch."""
    town.environ = {}
    monkeypatch.setattr(encode_statements, "_GROUP_ROWS", 30)
    lines = [enrolled(f"2021-06-07T10:{n // 60:02d}:{n % 60:02d}.000001+00:00") for n in range(200)]
    (town.logs / "2021-06.log.1").write_bytes(b"".join(lines))
    monkeypatch.setattr("aspects_orchestration.replay.statement_files._BATCH", 20)
    written(town, "2021-06")
    file = pq.ParquetFile(town.home / "statements/xapi_events_all/parquet/2021-06/2021-06-07.parquet")
    groups = [file.metadata.row_group(n).num_rows for n in range(file.metadata.num_row_groups)]
    assert groups == [40] * 5
    assert not list((town.home / "statements").rglob("*.part"))
    # The same reading, in small pages and by bytes.
    warehouse = town.warehouse()
    plan = town.plan("2021-06", warehouse)
    attempt = Attempt(town.settings, plan, warehouse, S3Options(), lambda _: None, utc_now())
    load_month(town.settings, plan, warehouse, s3=S3Options(), say=lambda _: None, keep_staging=True)
    whole = Slice(plan.window.start_micros, plan.window.end_micros, 1, 0)
    found = list(batches(warehouse, attempt.target, whole, most=50, most_bytes=8_000, page=70))
    ids = [one.id for batch in found for one in batch]
    assert len(ids) == len(set(ids)) == 200
    assert all(sum(len(one.body) for one in batch) <= 8_000 for batch in found)
    one_by_one = list(batches(warehouse, attempt.target, whole, most=50, most_bytes=1))
    assert [len(batch) for batch in one_by_one] == [1] * 200


def _at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)
