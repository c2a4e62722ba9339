"""A drill passes where the archive alone gives back what stands, and names what it does not."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import orjson
import pytest
from services.drills import drilled, records, scratches, seal
from services.events import enrolled, who, write_people
from services.retention import RAW, policy, server_of_the_module, site
from services.seaweedfs import S3Server
from services.site import Site

from aspects_orchestration.drill.run import DrilledDay
from aspects_orchestration.drill.statements import differing_places

__all__ = ["server_of_the_module", "site"]

MONTH = "2024-05"
DAY = date(2024, 5, 10)
EVENTS = 40


def write_day(site: Site) -> list[Path]:
    """Two files of a day: one a month only, one that begins in the month before; and a line that is no event."""
    write_people(site)
    may = site.logs / "may.log.1"
    may.write_bytes(
        b"".join(
            enrolled(f"2024-05-10T{n % 24:02d}:00:0{n % 7}.{n:06d}Z", learner=who(n)) for n in range(EVENTS)
        )
        + b"no event\n"
    )
    both = site.logs / "both.log.1"
    both.write_bytes(enrolled("2024-04-30T23:59:59Z") + enrolled("2024-05-01T00:00:00Z"))
    return [both, may]


@pytest.fixture
def loaded(site: Site) -> Site:
    """A site whose statements stand and whose logs are sealed and gone."""
    files = write_day(site)
    site.load("2024-04")
    site.load(MONTH)
    seal(str(site.folder / "archive"), {DAY: files})
    for file in files:
        file.unlink()
    return site


def drill_one(site: Site, **how: object) -> DrilledDay:
    (one,) = drilled(site, **how)  # type: ignore[arg-type]
    assert scratches(site) == []
    assert not (site.home / "drill").exists()
    return one


def ids(site: Site, condition: str = "1") -> list[str]:
    found = site.sql(f"SELECT event_id FROM {RAW} WHERE {condition} ORDER BY event_id FORMAT TSVRaw")
    return found.decode().split()


def rewrite(site: Site, event_id: str, change: str) -> None:
    """Let a statement stand with another body: `change` is an expression of ClickHouse over `event`."""
    site.sql(
        f"CREATE TABLE aspects_orchestration.changed ENGINE = Memory AS SELECT event_id, emission_time, {change} AS event"
        f" FROM {RAW} WHERE event_id = '{event_id}'",
        admin=True,
    )
    delete(site, f"event_id = '{event_id}'")
    site.sql(f"INSERT INTO {RAW} SELECT * FROM aspects_orchestration.changed", admin=True)
    site.sql("DROP TABLE aspects_orchestration.changed SYNC", admin=True)


def delete(site: Site, condition: str) -> None:
    site.sql(f"DELETE FROM {RAW} WHERE {condition} SETTINGS lightweight_deletes_sync = 2", admin=True)


def test_a_day_comes_back_from_the_archive_alone_and_nothing_that_stands_is_touched(loaded: Site) -> None:
    rows = loaded.rows()
    catalog = loaded.sql(
        "SELECT uri FROM aspects_orchestration.tracking_log_catalog ORDER BY ALL", admin=True
    )
    runs = loaded.sql("SELECT * FROM aspects_orchestration.runs ORDER BY ALL", admin=True)
    quarantine = sorted((loaded.folder / "archive").rglob("*"))
    one = drill_one(loaded)
    assert one.passed
    assert one.record.restored == rows.count(b"\n") == EVENTS + 2
    assert [found.month for found in one.months] == ["2024-04", MONTH]
    assert one.record.summary.endswith("all of them stand as they came back")
    assert one.record.rto_day_s > 0
    assert one.record.rto_all_s == pytest.approx(one.record.rto_day_s), "the archive is this day"
    assert one.record.rpo_s is not None
    assert loaded.rows() == rows
    assert (
        loaded.sql("SELECT uri FROM aspects_orchestration.tracking_log_catalog ORDER BY ALL", admin=True)
        == catalog
    )
    assert loaded.sql("SELECT * FROM aspects_orchestration.runs ORDER BY ALL", admin=True) == runs
    assert sorted((loaded.folder / "archive").rglob("*")) == quarantine
    assert records(loaded, "day, outcome, restored") == [["2024-05-10", "passed", str(EVENTS + 2)]]


def test_statements_that_do_not_stand_are_named_with_the_command_that_loads_them(loaded: Site) -> None:
    gone = ids(loaded, "toYYYYMM(emission_time) = 202405")[:7]
    delete(loaded, f"event_id IN {tuple(gone)}")
    one = drill_one(loaded)
    assert not one.passed
    assert (one.record.missing, one.record.different) == (7, 0)
    assert sorted(one.record.ids) == sorted(gone)
    assert "7 statements of 2024-05 do not stand in the table" in one.record.summary
    assert gone[0] in one.record.summary
    assert "and 2 more" in one.record.summary
    assert "--partition 2024-05" in one.record.summary
    assert "actor" not in one.record.summary
    assert records(loaded, "outcome, missing, length(ids)") == [["differs", "7", "7"]]


def test_a_statement_that_says_something_else_is_named_with_the_place(loaded: Site) -> None:
    (changed, *_) = ids(loaded)
    rewrite(loaded, changed, "replaceOne(event, '\"en\":', '\"en-US\":')")
    one = drill_one(loaded)
    assert not one.passed
    assert (one.record.missing, one.record.different, one.record.ids) == (0, 1, (changed,))
    assert "say something else" in one.record.summary
    assert ".en-US (1)" in one.record.summary


def test_the_same_statement_as_another_writer_has_it_is_no_difference(loaded: Site) -> None:
    (one_id, *_) = ids(loaded, "toYYYYMM(emission_time) = 202405")
    (text,) = (
        loaded.sql(f"SELECT event FROM {RAW} WHERE event_id = '{one_id}' FORMAT TSVRaw").decode().splitlines()
    )
    said = orjson.loads(text)
    said["timestamp"] = said["timestamp"].replace("+00:00", "Z")
    said |= {"stored": "2024-05-10T00:00:00Z", "authority": {"name": "lrs"}}
    other = orjson.dumps(dict(reversed(said.items())), option=orjson.OPT_INDENT_2).decode()
    rewrite(loaded, one_id, f"unhex('{other.encode().hex()}')")
    one = drill_one(loaded)
    assert one.passed, one.record.summary
    assert sum(found.rewritten for found in one.months) == 1


def test_of_two_events_with_one_id_either_may_stand(site: Site) -> None:
    write_people(site)
    files = []
    for name in ("a.log.1", "b.log.1"):
        file = site.logs / name
        file.write_bytes(enrolled("2024-05-10T10:00:00Z", session=name[0] * 32))
        files.append(file)
    seal(str(site.folder / "archive"), {DAY: files})
    found = []
    for file in files:
        site.sql(f"DROP TABLE IF EXISTS {RAW} SYNC", admin=True)
        site.load(MONTH, sources=(file.name,))
        assert len(ids(site)) == 1
        one = drill_one(site)
        assert one.passed, one.record.summary
        found.append(sum(month.of_another_event for month in one.months))
    assert sorted(found) == [0, 1], "one of them is the first by name, the other stands in the second round"


def test_lines_that_can_be_loaded_no_more_are_a_difference_and_those_that_never_could_are_none(
    loaded: Site,
) -> None:
    people = loaded.folder / "identities.csv"
    known = people.read_text().splitlines(keepends=True)
    people.write_text("".join(line for line in known if not line.startswith(f"{who(3).user_id},")))
    one = drill_one(loaded)
    assert not one.passed
    assert one.record.newly_quarantined == 1
    assert "can be loaded no more (unknown_user 1)" in one.record.summary
    assert who(3).username not in one.record.summary
    # Had the load itself not known the user, nothing would be lost.
    delete(loaded, "1")
    write_day(loaded)
    loaded.load("2024-04")
    people.write_text("".join(line for line in known if not line.startswith(f"{who(3).user_id},")))
    loaded.load(MONTH)
    again = drill_one(loaded)
    assert again.passed, again.record.summary
    assert again.record.quarantined >= 1
    assert again.record.newly_quarantined == 0


def test_a_drill_in_which_nothing_can_be_loaded_does_not_pass(loaded: Site) -> None:
    loaded.sql("TRUNCATE TABLE aspects_orchestration.runs", admin=True)
    people = loaded.folder / "identities.csv"
    people.write_text(people.read_text().splitlines(keepends=True)[0])
    one = drill_one(loaded)
    assert not one.passed
    assert one.record.restored == 0
    assert "not one statement of 2024-05 came back" in one.record.summary


def test_what_retention_has_let_go_is_said_and_is_no_failure(loaded: Site) -> None:
    policy(loaded, "{raw: {keep_months: 12}, require_archive: false}")
    assert drill_one(loaded).record.expired == 0, "due, and not dropped yet"
    loaded.sql(f"ALTER TABLE {RAW} DROP PARTITION ID '202405'", admin=True)
    one = drill_one(loaded)
    assert one.passed, one.record.summary
    assert one.record.expired == EVENTS + 1
    assert f"{EVENTS + 1} of them stand no more in ClickHouse, by retention" in one.record.summary
    policy(loaded, "{raw: {keep_months: 600}, require_archive: false}")
    kept = drill_one(loaded)
    assert kept.record.missing == EVENTS + 1, "by this policy they should stand"
    loaded.sql(
        "INSERT INTO aspects_orchestration.retention_log (event, target, partition_id, at)"
        f" VALUES ('done', '{RAW}', '202405', now())",
        admin=True,
    )
    assert drill_one(loaded).passed, "dropped by a policy that has changed since"


@pytest.mark.parametrize("kind", ["mbox", "mbox_sha1sum"])
def test_a_day_of_another_actor_type_is_restored_as_it_stands(site: Site, kind: str) -> None:
    files = write_day(site)
    site.environ["XAPI_AGENT_IFI_TYPE"] = kind
    site.load("2024-04")
    site.load(MONTH)
    seal(str(site.folder / "archive"), {DAY: files})
    del site.environ["XAPI_AGENT_IFI_TYPE"]
    one = drill_one(site)
    assert one.passed, one.record.summary
    assert one.record.restored == EVENTS + 2
    assert f"{MONTH} was restored with XAPI_AGENT_IFI_TYPE {kind}" in one.record.summary


def test_a_day_without_lines_has_nothing_to_restore(loaded: Site) -> None:
    empty = loaded.logs / "empty.log.1"
    empty.write_bytes(b"")
    loaded.environ["ASPECTS_TRACKING_LOG_ARCHIVE"] = str(loaded.folder / "other-archive")
    seal(loaded.settings.archive_uri, {date(2024, 5, 11): [], date(2024, 5, 12): [empty]})
    for day in (11, 12):
        one = drill_one(loaded, day=date(2024, 5, day))
        assert one.passed
        assert "there is nothing to restore" in one.record.summary


@pytest.mark.parametrize("how", ["flipped", "cut", "gone", "swapped"])
def test_an_object_that_is_not_what_was_sealed_is_named_and_nothing_is_replayed(
    loaded: Site, how: str
) -> None:
    first, second = sorted((loaded.folder / "archive/logs" / str(DAY)).iterdir())
    content = bytearray(first.read_bytes())
    if how == "gone":
        first.unlink()
    elif how == "swapped":
        first.write_bytes(second.read_bytes())
    else:
        content[len(content) // 2] ^= 1
        first.write_bytes(content if how == "flipped" else content[:-1])
    one = drill_one(loaded)
    assert one.record.outcome == "failed"
    assert first.name in one.error
    assert second.name not in one.error
    assert "1 of 2 objects" in one.error
    assert records(loaded, "outcome, restored") == [["failed", "0"]]


def test_an_archive_in_s3_is_drilled_as_well(site: Site, s3: S3Server) -> None:
    files = write_day(site)
    site.load("2024-04")
    site.load(MONTH)
    site.environ["ASPECTS_TRACKING_LOG_ARCHIVE"] = f"{s3.uri}/archive"
    sealed = seal(site.settings.archive_uri, {DAY: files})
    assert drill_one(site).passed
    name = sealed["may.log.1"].object
    s3.client().delete_object(Bucket=s3.bucket, Key=f"{s3.prefix}/archive/{name}")
    one = drill_one(site)
    assert one.record.outcome == "failed"
    assert f"{name} is missing" in one.error


def test_places_are_told_and_values_are_not() -> None:
    ours = {"a": {"b": "secret", "c": [1, 2]}, "timestamp": "2024-05-10T10:00:00.123456+00:00"}
    theirs = {"a": {"b": "other", "c": [1]}, "stored": "x", "timestamp": "2024-05-10T10:00:00.123Z"}

    def places(one: object, other: object) -> list[str]:
        return differing_places(orjson.dumps(one).decode(), orjson.dumps(other).decode())

    assert places(ours, theirs) == ["a.b", "a.c"]
    assert places(ours, ours) == []
    assert places(ours, {**ours, "timestamp": "2024-05-10T10:00:01Z"}) == ["timestamp"]
    assert places({"a": 1}, {"a": 1, "extra": 1}) == ["extra"]
    assert differing_places("{", "{}") == ["(no JSON)"]
