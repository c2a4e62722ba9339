"""A seal takes every closed file of its day, whatever became of it since, and says of each line where it is."""

from __future__ import annotations

import gzip
import hashlib
import json
import shutil
import subprocess
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from services.seals import FIRST, NOW, SealSite, event, events, town

from aspects_orchestration.archive import store_object
from aspects_orchestration.archive.manifest import ManifestError
from aspects_orchestration.archive.seal import SealError, unsealed
from aspects_orchestration.archive.store_object import ReadBackError

__all__ = ["town"]

DAY_2, DAY_3, DAY_4 = date(2024, 5, 2), date(2024, 5, 3), date(2024, 5, 4)


def at(day: date, hour: int = 12) -> datetime:
    return datetime(day.year, day.month, day.day, hour, tzinfo=UTC)


def test_files_are_sealed_with_the_day_of_their_last_write(town: SealSite) -> None:
    town.put_days(3, 2)
    town.put("now.log", events(900, 5), at(date(2024, 6, 30), 23))
    town.seal(FIRST)
    result = town.seal(DAY_3)
    assert [one.day for one in result.sealed_now] == [DAY_2, DAY_3]
    by_day: dict[str, int] = {}
    for one in town.objects():
        by_day[one.object.split("/")[1]] = by_day.get(one.object.split("/")[1], 0) + 1
        assert one.supplements is None
    assert by_day == {"2024-05-01": 2, "2024-05-02": 2, "2024-05-03": 2}
    assert result.plan.later == 1


def test_a_manifest_says_what_is_in_each_object(town: SealSite) -> None:
    april, may = datetime(2024, 4, 30, 23, 59, tzinfo=UTC), datetime(2024, 5, 1, 0, 1, tzinfo=UTC)
    content = event(1, april) + event(2, may) + event(3, may) + b'{"event_type": "cut", "event_so\n\n'
    path = town.put("tracking.log-1", content, at(FIRST))
    town.seal(FIRST)
    (one,) = town.objects()
    stored = town.stored()[one.object]
    assert (one.source, one.source_bytes, one.source_modified) == (path.as_uri(), len(content), at(FIRST))
    assert (one.raw_bytes, one.raw_sha256) == (len(content), hashlib.sha256(content).hexdigest())
    assert (one.stored_bytes, one.stored_sha256) == (len(stored), hashlib.sha256(stored).hexdigest())
    assert (one.lines, one.undated, one.months) == (5, 1, {"2024-04": 1, "2024-05": 2})
    assert (one.first_event, one.last_event) == (april, may)
    assert (one.covered_bytes, one.covered_sha256) == (one.raw_bytes, one.raw_sha256)


def test_manifests_carry_their_own_hash_and_that_of_the_day_before(town: SealSite) -> None:
    town.put_days(3)
    town.seal(FIRST)
    town.seal(DAY_3)
    before = None
    for day in (FIRST, DAY_2, DAY_3):
        manifest = Path(town.archive) / "manifests" / f"{day}.jsonl"
        lines = manifest.read_bytes().splitlines(keepends=True)
        assert json.loads(lines[0])["previous"] == before
        sha = hashlib.sha256(b"".join(lines[:-1])).hexdigest()
        assert json.loads(lines[-1])["sha256"] == sha
        if shutil.which("sha256sum"):
            shell = subprocess.run(
                ["sh", "-c", f"head -n -1 {manifest} | sha256sum"], capture_output=True, text=True, check=True
            )
            assert shell.stdout.split()[0] == sha
        before = {"day": day.isoformat(), "sha256": sha}


@pytest.mark.parametrize("compression", ["zst", "gz"])
def test_the_reader_of_tracking_logs_reads_the_archive_as_it_is(town: SealSite, compression: str) -> None:
    town.environ["ASPECTS_ARCHIVE_COMPRESSION"] = compression
    town.put_days(2, 3)
    town.put("packed.log.gz", gzip.compress(events(5000, 30)), at(DAY_2))
    town.seal(DAY_2)
    assert town.lines() == town.lines(str(town.logs))
    assert all(one.object.endswith(f".log.{compression}") for one in town.objects() if "packed" in one.object)
    # The archive as the logs to read: all of it is sealed, so nothing is sealed again.
    town.environ["ASPECTS_TRACKING_LOGS"] = f"{town.archive}/logs"
    assert town.seal(DAY_3).sealed_now[0].objects == 0


def test_a_day_waits_until_it_is_over_and_its_late_files_had_their_time(town: SealSite) -> None:
    town.put_days(1)
    with pytest.raises(SealError, match="2024-05-01 cannot be sealed before 2024-05-02 06:00 UTC"):
        town.seal(FIRST, now=datetime(2024, 5, 2, 5, 59, tzinfo=UTC))
    with pytest.raises(SealError, match="cannot be sealed before 2024-05-02 00:00 UTC"):
        town.seal(FIRST, now=datetime(2024, 5, 1, 23, 59, tzinfo=UTC), lateness_hours=0)
    assert town.stored() == {}
    assert town.seal(FIRST, now=datetime(2024, 5, 2, tzinfo=UTC), lateness_hours=0).sealed is not None
    town.environ["ASPECTS_ARCHIVE_LATENESS_HOURS"] = "30"
    with pytest.raises(SealError, match="before 2024-05-04 06:00 UTC"):
        town.seal(DAY_2, now=datetime(2024, 5, 4, 5, tzinfo=UTC))


def test_an_outage_of_the_archiver_heals_and_every_day_has_a_manifest(town: SealSite) -> None:
    town.put_days(1)
    town.seal(FIRST)
    town.put_days(9)
    result = town.seal(date(2024, 5, 10))
    assert [one.day.day for one in result.days] == list(range(1, 11))
    assert [one.objects for one in result.days] == [1] * 9 + [0]
    assert all(b.previous == a.day for a, b in zip(result.days, result.days[1:], strict=False))


def test_a_day_that_is_sealed_stays_as_it_is(town: SealSite) -> None:
    town.put_days(2, 2)
    town.seal(DAY_2)
    before = town.stored()
    town.put("late.log", events(700, 3), at(FIRST))
    assert town.seal(DAY_2).sealed_now == ()
    assert town.stored() == before


def test_the_first_seal_takes_all_that_is_older_and_days_before_it_are_refused(town: SealSite) -> None:
    town.put_days(3, 2)
    town.seal(DAY_3)
    assert [one.supplements for one in town.objects()].count(None) == 2
    assert {one.supplements for one in town.objects()} == {None, "2024-05-01", "2024-05-02"}
    with pytest.raises(SealError, match="2024-05-02 is before the first day of the archive"):
        town.seal(DAY_2)


def test_a_file_that_came_late_is_a_supplement_of_the_next_day(town: SealSite) -> None:
    town.put_days(1)
    town.seal(FIRST)
    late = town.put("late.log", events(700, 3), at(FIRST, 3))
    assert [file.uri for file in unsealed(town.settings, FIRST, s3=town.s3)] == [late.as_uri()]
    town.seal(DAY_2)
    assert list(unsealed(town.settings, FIRST, s3=town.s3)) == []
    (found,) = [one for one in town.objects() if one.source == late.as_uri()]
    assert (found.object.split("/")[1], found.supplements, found.raw_offset) == (
        "2024-05-02",
        "2024-05-01",
        0,
    )


def test_of_a_file_that_grew_only_what_follows_is_archived(town: SealSite) -> None:
    whole = events(0, 30)
    cut = len(events(0, 20)) + 40  # the 21st line is half written
    path = town.put("tracking.log", whole[:cut], at(FIRST))
    town.seal(FIRST)
    town.put("tracking.log", whole, at(DAY_2))
    town.seal(DAY_2)
    first, second = town.objects()
    assert (first.raw_offset, first.covered_bytes) == (0, len(events(0, 20)))
    assert (second.raw_offset, second.raw_bytes) == (first.covered_bytes, len(events(20, 10)))
    assert (second.lines, second.supplements, second.source) == (10, "2024-05-01", path.as_uri())
    assert second.covered_sha256 == hashlib.sha256(whole).hexdigest()
    assert set(whole.splitlines()) <= set(town.lines())


def test_a_file_that_was_rewritten_is_archived_anew(town: SealSite) -> None:
    town.put("tracking.log", events(0, 20), at(FIRST))
    town.seal(FIRST)
    town.put("tracking.log", events(500, 40), at(DAY_2))
    town.seal(DAY_2)
    town.put("tracking.log", events(500, 41), at(DAY_3))
    town.seal(DAY_3)
    town.put("tracking.log", events(600, 1), at(DAY_4))
    town.seal(DAY_4)
    assert [(one.raw_offset > 0, one.lines) for one in town.objects()] == [
        (False, 20),
        (False, 40),
        (True, 1),
        (False, 1),
    ]


def test_a_file_that_was_only_touched_brings_nothing_but_its_version(town: SealSite) -> None:
    town.put("tracking.log", events(0, 20), at(FIRST))
    town.seal(FIRST)
    town.put("tracking.log", events(0, 20), at(DAY_2))
    town.seal(DAY_2)
    assert [one.raw_bytes for one in town.objects()] == [len(events(0, 20)), 0]
    assert town.seal(DAY_3).plan.sealed == 1


def test_empty_files_count(town: SealSite) -> None:
    town.put("empty.log", b"", at(FIRST))
    town.seal(FIRST)
    (one,) = town.objects()
    assert (one.raw_bytes, one.lines, one.months) == (0, 0, {})
    assert town.seal(DAY_2).plan.sealed == 1


def test_an_archive_that_is_damaged_is_kept_byte_for_byte(town: SealSite) -> None:
    damaged = gzip.compress(events(0, 400))[:-2000]
    town.put("tracking.log-1.gz", damaged, at(FIRST))
    town.seal(FIRST)
    (one,) = town.objects()
    assert one.verbatim
    assert one.object.endswith("-tracking.log-1.gz")
    assert town.stored()[one.object] == damaged
    assert (one.raw_sha256, one.stored_sha256) == (hashlib.sha256(damaged).hexdigest(),) * 2
    assert list(town.index.of_month("1999-01")) == [one], "it may hold anything"


@pytest.mark.parametrize("becomes", [None, events(30, 20), events(30, 5)], ids=["gone", "another", "shorter"])
def test_a_file_that_changes_while_it_is_read_is_left_out_and_comes_later(
    town: SealSite, becomes: bytes | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = town.put("tracking.log", events(10, 20), at(FIRST))
    town.put("other.log", events(100, 20), at(FIRST))
    original = store_object._to_the_end

    def changing(made: Any, source: Any) -> Iterator[bytes]:
        if source.file.uri != path.as_uri():
            yield from original(made, source)
            return
        yield from made
        if becomes is None:
            path.unlink()
        else:
            town.put("tracking.log", becomes, at(DAY_2))
        yield from original(iter(()), source)

    monkeypatch.setattr(store_object, "_to_the_end", changing)
    result = town.seal(FIRST)
    monkeypatch.undo()
    assert [one.uri for one in result.left_out] == [path.as_uri()]
    assert [one.source for one in town.objects()] == [(town.logs / "other.log").as_uri()]
    town.seal(DAY_2)
    assert len(town.objects()) == (1 if becomes is None else 2)
    assert town.lines() == town.lines(str(town.logs))


def test_live_files_and_what_is_the_archives_own_are_no_sources(town: SealSite) -> None:
    town.archive = str(town.logs / "archive")
    live = town.put("tracking.log", events(0, 3), at(FIRST))
    town.put("tracking.log-1", events(10, 3), at(FIRST))
    town.seal(FIRST, live={live})
    assert [one.source for one in town.objects()] == [(town.logs / "tracking.log-1").as_uri()]
    for path in Path(town.archive).rglob("*"):
        if path.is_file():
            town.put(str(path.relative_to(town.logs)), path.read_bytes(), at(DAY_2))
    result = town.seal(DAY_2, live={live})
    assert result.plan.files == 0
    (town.folder / "link").symlink_to(town.archive)
    town.archive = str(town.folder / "link")
    assert town.seal(DAY_3, live={live}).plan.files == 0


def test_the_live_log_of_the_settings_is_sealed_once_it_is_rotated(town: SealSite) -> None:
    live = town.put("tracking.log", events(0, 3), at(FIRST))
    town.environ["ASPECTS_LIVE_LOG"] = str(live)
    assert town.seal(FIRST).plan.files == 0
    assert list(unsealed(town.settings, FIRST, s3=town.s3)) == []
    rotated = live.rename(live.with_name("tracking.log-20240501-1714521600"))
    town.seal(DAY_2)
    assert [one.source for one in town.objects()] == [rotated.as_uri()]


def test_a_dry_run_tells_what_a_seal_would_do_and_writes_nothing(town: SealSite) -> None:
    town.put_days(3, 2)
    before = {path: path.stat() for path in town.logs.rglob("*")}
    result = town.seal(DAY_3, dry_run=True)
    assert result.sealed is None
    assert town.stored() == {}
    assert {path: path.stat() for path in town.logs.rglob("*")} == before
    done = town.seal(DAY_3)
    assert done.plan == result.plan
    assert sum(one.objects for one in done.sealed_now) == result.plan.files == 6


def test_what_is_read_back_otherwise_than_written_never_counts(
    town: SealSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    town.put_days(1, 2)
    names: list[str] = []
    original = type(store_object_store(town)).find

    def damaging(self: Any, uri: str) -> Any:
        found = original(self, uri)
        if found is not None and "/logs/2024" in uri:
            path = Path(uri.removeprefix("file://")) if uri.startswith("file://") else Path(uri)
            data = bytearray(path.read_bytes())
            data[len(data) // 2] ^= 1
            path.write_bytes(data)
            names.append(uri)
            return original(self, uri)
        return found

    monkeypatch.setattr(type(store_object_store(town)), "find", damaging)
    with pytest.raises(ReadBackError, match="is read back as something else"):
        town.seal(FIRST)
    monkeypatch.undo()
    assert names
    assert not any(name.startswith("manifests/") for name in town.stored())
    town.seal(FIRST)
    assert {one.lines for one in town.objects()} == {20}
    assert all("/2024-05-01/" in one.object for one in town.objects())
    stored = town.stored()
    for one in town.objects():
        assert hashlib.sha256(stored[one.object]).hexdigest() == one.stored_sha256


def store_object_store(site: SealSite) -> Any:
    from aspects_orchestration.tracking.stores import open_store

    return open_store(site.archive)


def test_nothing_is_sealed_on_top_of_manifests_that_are_not_whole(town: SealSite) -> None:
    town.put_days(3)
    town.seal(FIRST)
    town.seal(DAY_2)
    manifest = Path(town.archive) / "manifests" / "2024-05-01.jsonl"
    manifest.write_bytes(manifest.read_bytes().replace(b'"lines":20', b'"lines":19'))
    with pytest.raises(ManifestError, match="does not have the hash that it carries"):
        town.seal(DAY_3)
    manifest.unlink()
    with pytest.raises(ManifestError, match="no manifest of 2024-05-01 any more"):
        town.seal(DAY_3)


def test_the_newest_line_is_no_later_than_its_file(town: SealSite) -> None:
    content = event(1) + event(2, datetime(2094, 1, 1, tzinfo=UTC))
    town.put("skewed.log", content, at(FIRST))
    assert town.seal(FIRST).newest_line == at(FIRST)
    town.put("fine.log", event(3, at(DAY_2, 11)), at(DAY_2))
    assert town.seal(DAY_2).newest_line == at(DAY_2, 11)
    assert NOW - at(DAY_2, 11) > timedelta(0)
