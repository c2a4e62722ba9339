"""Hours of which the logs hold more than the table are listed; what is usual at a site is not."""

from __future__ import annotations

import base64
import gzip
import json
import re
from collections import Counter
from datetime import UTC, date, datetime, timedelta

import dagster as dg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from services.effort import spent_s
from services.gaps import (
    FIRST,
    MAY,
    hour,
    hours,
    house,
    lines,
    lose,
    numbers,
    of_hours,
    seen,
    write,
    written_live,
)
from services.site import Site

from aspects_orchestration.archive.seal import seal_day
from aspects_orchestration.definitions import defs
from aspects_orchestration.gaps import report
from aspects_orchestration.gaps.compare import Limits, Loaded, compare
from aspects_orchestration.gaps.heal import stretches
from aspects_orchestration.gaps.hours import FileHours, each_once, lines_by_hour
from aspects_orchestration.gaps.look import GapsError, Request, look, window_of
from aspects_orchestration.jobs import gaps as command
from aspects_orchestration.replay.reading import transformer_reader
from aspects_orchestration.tracking.account import LineAccount
from aspects_orchestration.tracking.catalog import FileSummary
from aspects_orchestration.tracking.stores import S3Options, list_all
from aspects_orchestration.warehouse.records import remember_files

__all__ = ["hours", "house"]

#: Five days with quiet nights, and two hours in which nothing happens at all.
DAYS = {number: 10 if number % 24 < 6 else 40 for number in range(120) if number not in {50, 51}}


def test_deleted_hours_are_listed_and_a_replay_of_just_these_heals_them(hours: Site) -> None:
    write(hours, "a.log.1", lines({n: count for n, count in DAYS.items() if n < 70}))
    write(hours, "b.log.1", lines({n: count for n, count in DAYS.items() if n >= 70}))
    hours.load(MAY)
    before = hours.rows()
    assert numbers(seen(hours)) == []

    lose(hours, of_hours(30, 31, 90))
    found = seen(hours)

    assert numbers(found) == [30, 31, 90]
    assert found.comparison.missing == 120
    assert all(one.known for one in found.comparison.gaps)
    assert "3 fall short, in which 120 of " in report.summary(found)
    first, second = stretches(found.comparison.hours)
    assert first.config() == {"since": "2024-05-21T06:00:00Z", "until": "2024-05-21T08:00:00Z"}
    assert second.config() == {"since": "2024-05-23T18:00:00Z", "until": "2024-05-23T19:00:00Z"}
    healed = [hours.load(one.month, since=one.since, until=one.until) for one in (first, second)]
    assert [one.statements.inserted for one in healed if one.statements] == [80, 40]
    assert hours.rows() == before
    assert numbers(seen(hours)) == []


def test_what_a_live_pipeline_always_skips_is_no_gap_and_an_outage_on_top_is(hours: Site) -> None:
    write(hours, "a.log.1", lines(DAYS))
    written_live(hours, "cityHash64(event_id) % 20 = 0")
    usual = seen(hours)
    assert numbers(usual) == []
    assert usual.comparison.usual.is_learned
    assert usual.comparison.usual.hours == len(DAYS)
    assert 0.92 < usual.comparison.usual.ratio < 0.98
    assert "statements a line (median of 118 hours)" in str(usual.comparison.usual)

    lose(hours, of_hours(2, 3, 60))
    lose(hours, f"{of_hours(80)} AND cityHash64(event_id) % 2 = 0")
    outage = seen(hours)
    assert numbers(outage) == [2, 3, 60, 80]
    assert not any(one.known for one in outage.comparison.gaps)


def test_hours_without_events_and_hours_that_are_too_young_are_no_gaps(hours: Site) -> None:
    write(hours, "a.log.1", lines(DAYS))
    written_live(hours)
    lose(hours, of_hours(117, 118, 119))
    assert 50 not in {one.hour - hour(0) for one in seen(hours).comparison.hours}
    assert numbers(seen(hours)) == [117, 118, 119]
    at_the_end = FIRST + timedelta(hours=120, minutes=59)
    assert numbers(seen(hours, until=at_the_end)) == []
    assert numbers(seen(hours, until=at_the_end + timedelta(minutes=1))) == [117]


def test_an_outage_longer_than_all_else_does_not_become_usual(hours: Site) -> None:
    write(hours, "a.log.1", lines(DAYS))
    written_live(hours)
    lose(hours, of_hours(*range(30, 120)))
    assert numbers(seen(hours)) == [number for number in DAYS if number >= 30]


def test_with_too_few_hours_to_learn_from_only_heavy_losses_are_listed_and_that_is_said(hours: Site) -> None:
    write(hours, "a.log.1", lines(dict.fromkeys(range(10), 20)))
    written_live(hours, "cityHash64(event_id) % 4 = 0")
    assert numbers(seen(hours)) == []
    lose(hours, of_hours(4))
    found = seen(hours)
    assert numbers(found) == [4]
    assert "9 hours are too few to learn from" in str(found.comparison.usual)


def test_the_last_hour_of_a_month_is_replayed_with_its_month(hours: Site) -> None:
    border = (datetime(2024, 6, 1, tzinfo=UTC) - FIRST) // timedelta(hours=1)
    write(hours, "a.log.1", lines(dict.fromkeys(range(border - 30, border + 30), 10)))
    written_live(hours, of_hours(border - 1, border), months=(MAY, "2024-06"))
    found = seen(hours, until=FIRST + timedelta(days=20))
    assert numbers(found) == [border - 1, border]
    ends = stretches(found.comparison.hours)
    assert {one.month: one.config() for one in ends} == {
        MAY: {"since": "2024-05-31T23:00:00Z", "until": "2024-06-01T00:00:00Z"},
        "2024-06": {"since": "2024-06-01T00:00:00Z", "until": "2024-06-01T01:00:00Z"},
    }
    for one in ends:
        done = hours.load(one.month, since=one.since, until=one.until)
        assert done.statements is not None
        assert done.statements.inserted == 10
    assert numbers(seen(hours, until=FIRST + timedelta(days=20))) == []


def test_logs_that_come_late_make_a_gap_of_an_hour_that_was_whole(hours: Site) -> None:
    write(hours, "a.log.1", lines(DAYS))
    hours.load(MAY)
    # As old as the others by its date: it was only shipped late.
    write(hours, "late.log.1", lines({40: 25, 41: 25}, seed=500))

    unread = seen(hours)
    assert (numbers(unread), unread.unread) == ([], 1)
    assert "1 logs are not read yet" in report.summary(unread)
    said: list[str] = []
    found = seen(hours, read_new=said.append)
    assert numbers(found) == [40, 41]
    assert any("1 logs are new" in one for one in said)
    (stretch,) = stretches(found.comparison.hours)
    done = hours.load(stretch.month, since=stretch.since, until=stretch.until)
    assert done.statements is not None
    assert done.statements.inserted == 50
    assert numbers(seen(hours)) == []


def test_lines_in_quarantine_are_a_gap_until_a_load_has_found_that_out(hours: Site) -> None:
    write(hours, "a.log.1", lines({n: count for n, count in DAYS.items() if n != 70}))
    write(hours, "b.log.1", lines({70: 40}, unknown=20))
    written_live(hours)
    found = seen(hours)
    assert numbers(found) == [70]
    (stretch,) = stretches(found.comparison.hours)
    done = hours.load(stretch.month, since=stretch.since, until=stretch.until)
    assert done.statements is not None
    assert (done.statements.inserted, done.account.total.quarantined_lines) == (0, 20)
    assert numbers(seen(hours)) == []
    lose(hours, of_hours(70))
    assert seen(hours).comparison.missing == 20, "what the load left is what is expected"


def test_every_line_counts_once_however_often_it_is_kept(hours: Site) -> None:
    morning, evening = lines(dict.fromkeys(range(30), 20)), lines(dict.fromkeys(range(30, 60), 20))
    live = write(hours, "tracking.log", morning + evening)
    written_live(hours, of_hours(45))
    right = seen(hours)
    assert numbers(right) == [45]
    assert sum(one.lines for one in right.comparison.hours) == 1200

    cut = morning.rindex(b"\n", 0, len(morning) - 4000) + 1
    write(hours, "copies/tracking.log-20240521.gz", gzip.compress(morning + evening))
    write(hours, "nightly/tracking.log-20240520", morning[:cut])
    write(hours, "grown/tracking.log-20240521", evening[evening.index(b"\n", 5000) + 1 :])
    with_copies = seen(hours, read_new=lambda _: None)
    assert with_copies.copies == 3
    assert with_copies.comparison == right.comparison

    # Rotated by renaming: the old name's row in the catalog says nothing any more.
    live.rename(live.with_name("tracking.log.1"))
    write(hours, "tracking.log", lines({60: 5}))
    renamed = seen(hours, read_new=lambda _: None)
    assert sum(one.lines for one in renamed.comparison.hours) == 1205
    # What was released is not expected any more.
    for path in hours.logs.rglob("tracking*"):
        if path.is_file() and path.name != "tracking.log":
            path.unlink()
    assert sum(one.lines for one in seen(hours).comparison.hours) == 5


def test_what_is_sealed_counts_once_beside_the_logs_and_alone_when_they_are_released(hours: Site) -> None:
    def sealed(day: date) -> None:
        seal_day(
            hours.settings,
            day,
            s3=S3Options(),
            run_id="test",
            now=FIRST + timedelta(days=9),
            say=lambda _: None,
        )

    rotated = write(hours, "a/tracking.log-20240520", lines(DAYS))
    # It grows after it was sealed, again and again, so that the archive holds it in four pieces.
    for day in range(4):
        grows = write(
            hours,
            "b/tracking.log-20240520",
            lines(dict.fromkeys(range(15 * (day + 1)), 5), seed=300),
            modified=FIRST + timedelta(days=day + 1),
        )
        sealed(date(2024, 5, 21 + day))
    written_live(hours, of_hours(45))
    right = seen(hours)
    assert numbers(right) == [45]

    hours.environ["ASPECTS_TRACKING_LOGS"] = f"{hours.logs},{hours.folder}/archive/logs"
    both = seen(hours, read_new=lambda _: None)
    assert (both.files, both.copies) == (7, 5)
    assert both.comparison == right.comparison
    rotated.unlink()
    grows.unlink()
    assert seen(hours).comparison == right.comparison


def test_a_load_speaks_for_whole_hours_and_all_logs_only(hours: Site) -> None:
    def recorded() -> list[int]:
        found = hours.sql(
            "SELECT hour FROM aspects_orchestration.loaded_hours FINAL ORDER BY hour FORMAT TSV"
        )
        return [int(one) - hour(0) for one in found.split()]

    path = write(hours, "a.log.1", lines({0: 4, 1: 4, 2: 4, 3: 4}, unknown=1))
    hours.load(MAY, sources=(path.name,))
    hours.load(MAY, dry_run=True)
    assert recorded() == []
    hours.load(MAY, since=FIRST + timedelta(minutes=30), until=FIRST + timedelta(hours=2, minutes=30))
    assert recorded() == [1]
    hours.load(MAY, since=FIRST + timedelta(hours=1), until=FIRST + timedelta(hours=3))
    assert recorded() == [1, 2]
    hours.load(MAY, sources=("quarantine",))
    assert recorded() == [1, 2]
    hours.load(MAY)
    assert recorded() == [0, 1, 2, 3]
    rows = hours.sql(
        "SELECT hour, lines, statements FROM aspects_orchestration.loaded_hours FINAL ORDER BY hour FORMAT TSV"
    )
    assert [line.split("\t")[1:] for line in rows.decode().splitlines()] == [["4", "3"]] * 4


def test_a_live_log_counts_as_far_as_it_was_read(hours: Site) -> None:
    path = write(hours, "tracking.log", lines(DAYS) + b'{"name": "half')
    path.touch()
    done = hours.load(MAY)
    assert done.account.half_lines == [path.as_uri()]
    lose(hours, of_hours(44))
    assert numbers(seen(hours)) == [44], "all its lines are known, but for the half-written one"
    with path.open("ab") as log:
        log.write(b"-written line\n" + lines({121: 5}))
    grown = seen(hours)
    assert (numbers(grown), grown.unread, grown.unread_live) == ([], 0, 1)
    assert numbers(seen(hours, read_new=lambda _: None)) == [44, 121]


def test_retention_and_the_first_month_bound_what_is_looked_at(hours: Site) -> None:
    now = FIRST + timedelta(days=10)
    assert window_of(hours.settings, Request(days=5), now) is not None
    hours.environ["ASPECTS_FIRST_MONTH"] = "2024-06"
    assert window_of(hours.settings, Request(days=5), now) is None
    hours.environ |= {
        "ASPECTS_FIRST_MONTH": "2020-01",
        "ASPECTS_DATA_TTL_EXPRESSION": "toDateTime(emission_time) + INTERVAL 1 MONTH",
    }
    window = window_of(hours.settings, Request(days=300), now)
    assert window is not None
    assert window.start == datetime(2024, 4, 30, 1, tzinfo=UTC)
    nothing = seen(hours, until=datetime(2020, 1, 1, tzinfo=UTC))
    assert nothing.window is None
    assert report.picture(nothing) is None
    assert report.summary(nothing).startswith("there are no hours to look at")


def test_the_table_is_read_no_further_than_what_is_looked_at(hours: Site) -> None:
    hours.sql(
        "INSERT INTO xapi.xapi_events_all SELECT generateUUIDv4(), toDateTime64('2014-06-01 00:00:00', 6)"
        " + toIntervalMinute(number * 10), '{}' FROM numbers(526000) SETTINGS max_partitions_per_insert_block = 0",
        admin=True,
    )
    write(hours, "a.log.1", lines(dict.fromkeys(range(5), 3)))
    warehouse = hours.warehouse()
    look(hours.settings, warehouse, s3=S3Options(), now=FIRST + timedelta(days=2), request=Request(days=7))
    hours.sql("SYSTEM FLUSH LOGS", admin=True)
    rows = hours.sql(
        "SELECT sum(read_rows) FROM system.query_log WHERE type = 'QueryFinish'"
        f" AND JSONExtractString(log_comment, 'run_id') = '{warehouse.run_id}'"
        " AND JSONExtractString(log_comment, 'step') = 'statements_by_hour' FORMAT TSV",
        admin=True,
    )
    assert 7 * 144 <= int(rows) <= 31 * 144 + 8192


@pytest.mark.slow
def test_a_look_at_a_hundred_thousand_files_of_ten_years_is_soon_done(hours: Site) -> None:
    for folder in range(100):
        (hours.logs / f"{folder:02d}").mkdir()
        for number in range(1000):
            (hours.logs / f"{folder:02d}" / f"tracking.log-{number}.gz").write_bytes(b"x")
    warehouse, end = hours.warehouse(), hour(240)
    summaries = []
    for number, (_, file) in enumerate(list_all(hours.settings.tracking_log_prefixes)):
        # A file a day from each of 27 servers.
        first = end - 24 * (number // 27 + 1)
        account = LineAccount(lines=5_000, hours=Counter(range(first, first + 24)))
        account.saw(first * 3_600_000_000 + number + 1)
        account.saw((first + 24) * 3_600_000_000 - number - 1)
        summaries.append(FileSummary(file.uri, file.etag, file.size, account))
    database = hours.settings.orchestration_database
    for begin in range(0, len(summaries), 5_000):
        some = summaries[begin : begin + 5_000]
        remember_files(warehouse, database, some, transformer_reader(), FIRST)
    summaries.clear()

    before_s = spent_s(hours)
    found = seen(hours, lag_hours=0)
    took_s = spent_s(hours) - before_s

    assert (found.files, found.unread, found.copies) == (100_000, 0, 0)
    assert [one.lines for one in found.comparison.hours] == [27] * 14 * 24
    assert took_s < 20, "a tick has a minute"


def test_listing_that_takes_too_long_is_said(hours: Site) -> None:
    write(hours, "a.log.1", lines({0: 1}))
    with pytest.raises(GapsError, match="takes longer than 0 s") as refused:
        seen(hours, budget_s=0)
    assert "check_xapi_gaps_daily" in refused.value.do


def test_the_check_shows_hours_picture_and_commands(hours: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    write(hours, "a.log.1", lines(DAYS))
    hours.load(MAY)
    for name, value in hours.variables.items():
        monkeypatch.setenv(name, value)
    asked = {"days": 20, "until": "2024-06-01"}

    def check(**config: object) -> dg.AssetCheckEvaluation:
        ops = {"tracking_logs_xapi_gaps": {"config": {**asked, **config}}}
        done = defs().resolve_job_def("check_xapi_gaps").execute_in_process(run_config={"ops": ops})
        (evaluation,) = done.get_asset_check_evaluations()
        return evaluation

    fine = check()
    assert fine.passed
    assert fine.metadata["hours_with_lines"].value == 118
    lose(hours, of_hours(77))
    short = check()
    assert (short.passed, short.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert "| 2024-05-23 05:00 | 10 | 10 | 0 | 10 | a load left so many |" in str(
        short.metadata["gaps"].value
    )
    assert '"since": "2024-05-23T05:00:00Z"' in str(short.metadata["replay"].value)
    png = base64.b64decode(re.findall(r"base64,([A-Za-z0-9+/=]+)\)", str(short.metadata["by_hour"].value))[0])
    assert png.startswith(b"\x89PNG\r\n")
    assert check(at_least=11).passed
    assert check(tolerance=1).passed
    lose(hours, of_hours(*range(80, 90)))
    assert check().severity == dg.AssetCheckSeverity.ERROR


def test_the_command_prints_the_gaps_and_exits_with_one(
    hours: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write(hours, "a.log.1", lines(DAYS))
    for name, value in hours.variables.items():
        monkeypatch.setenv(name, value)
    asked = ["--days", "20", "--until", "2024-06-01"]
    assert command.main(asked) == 1
    shown = capsys.readouterr()
    assert "118 fall short" in shown.out
    assert "dagster asset materialize --select xapi_events_all --partition 2024-05" in shown.out
    assert "1 logs are new" in shown.err
    hours.load(MAY)
    assert command.main([*asked, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["gaps"] == []
    assert command.main(["--until", "yesterday"]) == 2
    assert "'yesterday' is no time" in capsys.readouterr().err
    assert command.main(["--days", "0"]) == 2
    assert "days" in capsys.readouterr().err


# --- the comparison by itself ------------------------------------------------------------------------------------


def test_several_statements_a_line_are_learned_too() -> None:
    many = dict.fromkeys(range(100), 50)
    found = {number: 150 + (number % 5) for number in range(100)} | {7: 80}
    one = compare(many, found, {})
    assert [gap.hour for gap in one.gaps] == [7]
    assert 3.0 <= one.usual.ratio <= 3.1


def test_what_a_load_found_counts_until_the_logs_hold_more_and_only_for_what_they_still_hold() -> None:
    half = {1: Loaded(lines=100, statements=50)}
    assert not compare({1: 100}, {1: 50}, half).gaps
    assert compare({1: 100}, {1: 40}, half).gaps[0].missing == 10
    assert not compare({1: 60}, {1: 30}, half).gaps, "40 lines are gone from the logs"
    assert compare({1: 160}, {1: 50}, half).gaps, "60 lines have come since"
    assert not compare({1: 0}, {1: 0}, half).hours
    nobody_known = {1: Loaded(lines=100, statements=0)}
    assert not compare({1: 100}, {1: 0}, nobody_known).gaps
    assert compare({1: 160}, {1: 0}, nobody_known).gaps, "of the new lines that is not known"


_COUNTS = st.dictionaries(st.integers(0, 40), st.integers(1, 50), min_size=30)


@given(_COUNTS, st.integers(1, 4), st.data())
def test_an_hour_with_all_that_is_usual_is_never_listed_and_an_empty_one_always(
    many: dict[int, int], ratio: int, data: st.DataObject
) -> None:
    lost = data.draw(st.sampled_from(sorted(many)))
    found = {number: count * ratio for number, count in many.items() if number != lost}
    one = compare(many, found, {}, Limits(at_least=1))
    assert one.usual.ratio == ratio
    assert [(gap.hour, gap.missing) for gap in one.gaps] == [(lost, many[lost] * ratio)]


@given(
    st.lists(
        st.tuples(st.integers(0, 5), st.integers(1, 999_999), st.integers(1, 30)), min_size=1, max_size=8
    )
)
def test_copies_and_beginnings_change_nothing(made: list[tuple[int, int, int]]) -> None:
    files = [
        FileHours(
            f"file:///{number}",
            lines=count * 2,
            undated=0,
            first_micros=start * 3_600_000_000 + micros * 3_000 + number,
            last_micros=(start + 1) * 3_600_000_000 + micros * 2_000 + number,
            hours={start: count, start + 1: count},
        )
        for number, (start, micros, count) in enumerate(made)
    ]
    alone = each_once(files)
    copies = [
        FileHours(f"{one.uri}.gz", one.lines, one.undated, one.first_micros, one.last_micros, dict(one.hours))
        for one in alone
    ]
    assert lines_by_hour(each_once([*copies, *files])) == lines_by_hour(alone)


def test_files_that_begin_in_the_same_second_are_not_taken_for_copies() -> None:
    def file(name: str, micros: int, count: int) -> FileHours:
        return FileHours(name, count, 0, 3_600_000_000 + micros, 3_700_000_000 + count + micros, {1: count})

    assert len(each_once([file("a", 0, 10), file("b", 0, 20)])) == 2
    assert len(each_once([file("a", 5, 10), file("b", 5, 20)])) == 1
