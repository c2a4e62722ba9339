"""A rotation renames what is due, never over anything, waits for writers, and says which of them does not follow."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from services import log_writer

from aspects_orchestration.archive.live import IDLE_S, RotatedLog, live_files, look, rotated_name
from aspects_orchestration.archive.live_check import live_log_is_rotated
from aspects_orchestration.archive.rotate import (
    Rotated,
    plan_rotation,
    rename_aside,
    rename_over_own,
    rotate,
    said_of,
)
from aspects_orchestration.archive.rotation_rules import parse_rotation
from aspects_orchestration.archive.writers import Credentials, Writer, credentials_of
from aspects_orchestration.errors import LogStoreError, SettingsError
from aspects_orchestration.settings import Settings, load_settings
from aspects_orchestration.tracking.stores import list_all, local_path

NOON = datetime(2024, 5, 1, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "logs"
    made.mkdir()
    return made


def settings_of(*logs: Path, rules: str = "daily", prefixes: Path | None = None) -> Settings:
    given = {"ASPECTS_LIVE_LOG": ",".join(map(str, logs)), "ASPECTS_ROTATE": rules}
    return load_settings(given | {"ASPECTS_TRACKING_LOGS": str(prefixes or logs[0].parent)})


def write(log: Path, *moments: datetime, modified: datetime | None = None) -> Path:
    log.write_text("".join(log_writer.event("learner", n, at) + "\n" for n, at in enumerate(moments)))
    if modified:
        os.utime(log, (modified.timestamp(),) * 2)
    return log


def do(settings: Settings, now: datetime, *, force: bool = False) -> Rotated:
    plan = plan_rotation(settings, now=now, force=force)
    return rotate(plan, say=lambda _: None, wait_s=0)


@contextmanager
def writing(log: Path, handler: str) -> Iterator[log_writer.Writing]:
    writer = log_writer.start(log, "writer", handler=handler)
    try:
        yield writer
    finally:
        log_writer.end(writer)


RULES = [
    ("daily", 10, NOON - HOUR, False),
    ("daily", 10, NOON - 13 * HOUR, True),
    ("daily", 10, None, True),
    ("daily", 0, NOON - 9 * DAY, False),
    ("hourly", 10, NOON - timedelta(seconds=1), True),
    ("hourly", 10, NOON, False),
    ("2KB", 1999, NOON - 9 * DAY, False),
    ("2KB", 2000, NOON, True),
    ("2KiB", 2047, NOON, False),
    ("daily, 1MB", 1_000_000, NOON, True),
    ("1MB,daily", 1, NOON - DAY, True),
]


@pytest.mark.parametrize(("rules", "size", "begun", "due"), RULES)
def test_a_log_is_due_by_day_by_hour_or_by_size(
    rules: str, size: int, begun: datetime | None, due: bool
) -> None:
    assert (parse_rotation(rules).why_due(size, begun, NOON) is not None) == due


@pytest.mark.parametrize(
    "text", ["weekly", "512", "512M", "1B", "0MB", "daily,hourly", "1MB,2MB", "-1MB", ""]
)
def test_other_rules_are_refused_with_what_would_do(text: str) -> None:
    with pytest.raises(SettingsError, match="512MB"):
        parse_rotation(text)


def test_settings_that_cannot_be_are_refused(folder: Path) -> None:
    for value in ("s3://bucket/tracking.log", str(folder), f"{folder}/"):
        with pytest.raises(SettingsError, match="ASPECTS_LIVE_LOG"):
            load_settings({"ASPECTS_LIVE_LOG": value})
    with pytest.raises(SettingsError, match=r"ASPECTS_ROTATE.*512MB"):
        load_settings({"ASPECTS_ROTATE": "sometimes"})
    found = load_settings({"ASPECTS_LIVE_LOG": f"{folder}/a.log, file://{folder}/b%20c.log,{folder}/a.log"})
    assert found.live_logs == (folder / "a.log", folder / "b c.log")


def test_a_day_is_one_of_utc_whatever_the_clock_of_the_server_shows(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the night in which New York puts its clocks forward, too."""
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        before = datetime(2024, 3, 10, 6, 30, tzinfo=UTC)
        assert rotated_name("tracking.log", before) == "tracking.log-20240310-1710052200"
        rules = parse_rotation("hourly")
        assert rules.why_due(1, before, before + timedelta(minutes=29)) is None
        assert rules.why_due(1, before, before + timedelta(minutes=30)) is not None
        settings = settings_of(write(folder / "tracking.log", before), rules="daily")
        assert not plan_rotation(settings, now=datetime(2024, 3, 10, 23, 59, tzinfo=UTC)).renamings
        assert plan_rotation(settings, now=datetime(2024, 3, 11, tzinfo=UTC)).renamings
    finally:
        monkeypatch.undo()
        time.tzset()


def test_what_is_due_is_renamed_and_nothing_else(folder: Path) -> None:
    due, fresh = write(folder / "tracking.log", NOON - DAY), write(folder / "cms.log", NOON)
    empty = write(folder / "empty.log")
    data = due.read_bytes()
    settings = settings_of(due, fresh, empty, folder / "gone.log")
    plan = plan_rotation(settings, now=NOON)
    to = folder / "tracking.log-20240501-1714564800"
    assert [(one.log.path, one.to) for one in plan.renamings] == [(due, to)]
    assert len(plan.left) == 3
    assert due.exists()  # a plan changes nothing
    assert do(settings, NOON).renamed[0].path == to
    assert to.read_bytes() == data
    assert sorted(one.name for one in folder.iterdir()) == ["cms.log", "empty.log", to.name]


def test_asked_for_it_is_rotated_at_any_time_unless_it_is_empty(folder: Path) -> None:
    fresh, empty = write(folder / "tracking.log", NOON), write(folder / "empty.log")
    do(settings_of(fresh, empty), NOON, force=True)
    assert not fresh.exists()
    assert empty.exists()


@pytest.mark.parametrize("rename", [rename_aside, rename_over_own])
def test_nothing_is_ever_renamed_over(folder: Path, rename: Callable[[Path, Path], bool]) -> None:
    log, taken = write(folder / "tracking.log", NOON), write(folder / "taken", NOON, NOON)
    both = log.read_bytes(), taken.read_bytes()
    assert not rename(log, taken)
    assert (log.read_bytes(), taken.read_bytes()) == both
    assert rename(log, folder / "free")
    assert (folder / "free").read_bytes() == both[0]
    with pytest.raises(FileNotFoundError):
        rename(log, folder / "other")
    assert sorted(one.name for one in folder.iterdir()) == ["free", "taken"]


def test_a_name_that_is_taken_is_passed_over(folder: Path) -> None:
    log = write(folder / "tracking.log", NOON - DAY)
    write(folder / rotated_name(log.name, NOON), NOON)
    settings = settings_of(log)
    plan = plan_rotation(settings, now=NOON, force=True)
    # Somebody takes the planned name too, between plan and rotation.
    write(plan.renamings[0].to, NOON, NOON)
    (renamed,) = rotate(plan, say=lambda _: None, wait_s=0).renamed
    assert renamed.path.name == rotated_name(log.name, NOON + timedelta(seconds=2))


def test_a_log_that_somebody_else_rotated_meanwhile_is_left_alone(folder: Path) -> None:
    log = write(folder / "tracking.log", NOON - DAY)
    plan = plan_rotation(settings_of(log), now=NOON)
    log.rename(folder / "tracking.log.1")
    said: list[str] = []
    assert rotate(plan, say=said.append, wait_s=0).renamed == ()
    write(log, NOON)
    assert rotate(plan, say=said.append, wait_s=0).renamed == ()
    assert log.exists()
    assert len(said) == 2


def test_a_link_is_followed(folder: Path, tmp_path: Path) -> None:
    target = write(folder / "real.log", NOON - DAY)
    link = tmp_path / "tracking.log"
    link.symlink_to(target)
    do(settings_of(link), NOON)
    assert link.is_symlink()
    assert (folder / rotated_name("real.log", NOON)).exists()


def test_an_old_event_in_the_first_line_does_not_rotate_again_and_again(folder: Path) -> None:
    """A phone that was offline sends events of last week."""
    log = write(folder / "tracking.log", NOON - 7 * DAY)
    do(settings_of(log), NOON)
    write(log, NOON - 7 * DAY)
    assert not plan_rotation(settings_of(log), now=NOON + HOUR).renamings
    assert plan_rotation(settings_of(log), now=NOON + DAY).renamings


def test_a_log_without_any_event_is_rotated_once_a_day(folder: Path) -> None:
    log = folder / "tracking.log"
    log.write_text("no event\n")
    do(settings_of(log), NOON)
    log.write_text("no event\n")
    assert not plan_rotation(settings_of(log), now=NOON + HOUR).renamings
    assert plan_rotation(settings_of(log), now=NOON + DAY).renamings


def test_a_slow_writer_is_no_failure_and_its_file_counts_as_live(folder: Path) -> None:
    log = folder / "tracking.log"
    settings = settings_of(log)
    with writing(log, "watched") as writer:
        done = do(settings, datetime.now(UTC), force=True)
        (waiting,) = done.waiting
        assert str(writer.pid) in said_of(waiting, done.now)
        assert live_files(settings) == {log, waiting.path}
        log_writer.write_line(writer)  # and so it moves on
        soon = datetime.now(UTC) + timedelta(seconds=61)
        assert live_files(settings, now=soon) == {log}
        assert look([log], now=soon)[0].writers[0].pid == writer.pid
    assert do(settings, soon).waiting == ()


def test_the_next_rotation_waits_for_what_an_earlier_one_left(folder: Path) -> None:
    log = folder / "tracking.log"
    with writing(log, "deaf"):
        (renamed,) = do(settings_of(log), datetime.now(UTC), force=True).renamed
        plan = plan_rotation(settings_of(log), now=datetime.now(UTC))
        assert [one.path for one in plan.earlier] == [renamed.path]
        assert rotate(plan, say=lambda _: None, wait_s=0).waiting[0].path == renamed.path


def test_a_writer_that_does_not_follow_is_noticed_and_told_what_to_do(folder: Path) -> None:
    log = folder / "tracking.log"
    settings = settings_of(log)
    with writing(log, "deaf") as writer:
        ago = datetime.now(UTC) - timedelta(minutes=10)
        renamed = folder / rotated_name(log.name, ago)
        log.rename(renamed)
        log_writer.write_line(writer)
        now = datetime.now(UTC)
        done = do(settings, now)
        (straggler,) = done.stragglers
        assert straggler.path == renamed
        told = said_of(straggler, now)
        assert f"process {writer.pid}" in told
        assert "WatchedFileHandler" in told
        finding = live_log_is_rotated(settings, now)
        assert not finding.passed
        assert told in finding.lines
        assert live_files(settings, now=now) == {log, renamed}
    assert renamed.read_text().count("\n") == 2


def test_a_handle_that_nobody_wrote_to_for_an_hour_holds_up_the_archive_no_more(folder: Path) -> None:
    """But whoever would delete the file is told of it."""
    log = folder / "tracking.log"
    settings = settings_of(log)
    with writing(log, "watched"):
        (renamed,) = do(settings, datetime.now(UTC), force=True).renamed
        later = datetime.now(UTC) + timedelta(seconds=IDLE_S + 1)
        assert live_files(settings, now=later) == {log}
        assert live_files(settings, now=later, idle_too=True) == {log, renamed.path}
        assert plan_rotation(settings, now=later).earlier == ()


def test_whoever_only_reads_a_log_is_not_waited_for(folder: Path) -> None:
    log = write(folder / "tracking.log", NOON, modified=NOON)
    with log.open("rb"):
        done = do(settings_of(log), NOON + DAY)
    assert done.renamed
    assert done.waiting == ()


def test_a_clock_that_is_far_ahead_keeps_no_file_open_for_ever(folder: Path) -> None:
    log = folder / "tracking.log"
    write(folder / "tracking.log.1", NOON, modified=datetime.now(UTC) + 365 * DAY)
    write(folder / "tracking.log.2", NOON, modified=datetime.now(UTC) + timedelta(seconds=5))
    assert live_files(settings_of(log)) == {log, folder / "tracking.log.2"}


def test_a_compressed_file_was_written_late_by_nobody() -> None:
    late = RotatedLog(Path("/l/tracking.log-20240501-1714564800.gz"), 1, NOON + HOUR, NOON)
    assert not late.is_followed_late(NOON + HOUR)
    plain = replace(late, path=Path("/l/tracking.log-20240501-1714564800"))
    assert plain.is_followed_late(NOON + HOUR)
    assert not plain.is_followed_late(NOON + 2 * DAY)


def test_live_files_are_named_as_listings_name_them(folder: Path, tmp_path: Path) -> None:
    """The folder of the logs is a link, and the setting goes another way."""
    (tmp_path / "mounted").symlink_to(folder)
    log = write(folder / "tracking.log", NOON)
    write(folder / "tracking.log-old", NOON, modified=NOON)
    settings = settings_of(log, prefixes=tmp_path / "mounted")
    live = live_files(settings)
    listed = {local_path(file.uri) for _, file in list_all(settings.tracking_log_prefixes)}
    assert listed - live == {tmp_path / "mounted" / "tracking.log-old"}
    assert log in live


def test_without_a_live_log_none_is_known_and_a_rotation_says_what_to_set(folder: Path) -> None:
    settings = load_settings({"ASPECTS_TRACKING_LOGS": str(folder)})
    assert live_files(settings) == set()
    with pytest.raises(LogStoreError, match="ASPECTS_LIVE_LOG"):
        plan_rotation(settings, now=NOON)


def test_a_log_whose_writer_could_make_no_new_one_is_not_rotated(folder: Path) -> None:
    log, other = write(folder / "tracking.log", NOON - DAY), folder.parent / "other.log"
    write(other, NOON - DAY)
    if os.geteuid() == 0:
        os.chown(log, 54321, 54321)
        folder.chmod(0o755)
    else:
        folder.chmod(0o555)
    settings = settings_of(log, other, prefixes=folder.parent)
    plan = plan_rotation(settings, now=NOON)
    (refused,) = plan.refused
    assert "Give that user the right" in str(refused)
    # What can be rotated is.
    assert [one.log.path for one in plan.renamings] == [other]
    folder.chmod(0o777)
    assert plan_rotation(settings, now=NOON).refused == ()


def test_a_log_that_cannot_be_renamed_keeps_no_other_from_it(folder: Path) -> None:
    logs = write(folder / "cms.log", NOON - DAY), write(folder / "lms.log", NOON - DAY)
    plan = plan_rotation(settings_of(*logs), now=NOON)
    first, second = plan.renamings
    # As where the folder's file system is at its limits.
    impossible = replace(plan, renamings=(replace(first, to=folder / ("x" * 300)), second))
    done = rotate(impossible, say=lambda _: None, wait_s=0)
    (failed,) = done.failed
    assert f"{logs[0]} cannot be renamed" in str(failed)
    assert [one.path for one in done.renamed] == [second.to]
    assert logs[0].exists()


CREDENTIALS = [
    (Credentials(1, frozenset({1})), 0o700, False),
    (Credentials(1, frozenset({1})), 0o703, True),
    (Credentials(1, frozenset({1}), everything=True), 0o500, True),
    (Credentials(os.geteuid(), frozenset()), 0o500, False),
    (Credentials(os.geteuid(), frozenset()), 0o300, True),
    (Credentials(1, frozenset({1, os.getegid()})), 0o720, False),
    (Credentials(1, frozenset({1, os.getegid()})), 0o730, True),
]


@pytest.mark.parametrize(("who", "mode", "may"), CREDENTIALS)
def test_who_may_make_files_is_told_by_modes(folder: Path, who: Credentials, mode: int, may: bool) -> None:
    folder.chmod(mode)
    assert who.may_create_in(folder) == may
    folder.chmod(0o700)


def test_credentials_are_those_of_the_process(folder: Path) -> None:
    with writing(folder / "tracking.log", "watched") as writer:
        found = credentials_of(Writer(writer.pid, ""))
    assert found is not None
    assert found.user == os.geteuid()
    assert os.getegid() in found.groups
    assert found.may_create_in(folder)
    assert credentials_of(Writer(2**22 + 1, "")) is None


def test_a_missing_folder_names_the_setting(tmp_path: Path) -> None:
    settings = settings_of(tmp_path / "gone" / "tracking.log")
    with pytest.raises(LogStoreError, match="ASPECTS_LIVE_LOG"):
        plan_rotation(settings, now=NOON)


def test_the_check_tells_of_logs_that_nobody_rotates(folder: Path, tmp_path: Path) -> None:
    log = write(folder / "tracking.log", NOON - HOUR, modified=NOON)
    assert live_log_is_rotated(settings_of(log), NOON).passed
    assert not live_log_is_rotated(settings_of(log), NOON + DAY).passed
    assert "rotate_tracking_logs_when_due" in live_log_is_rotated(settings_of(log), NOON + DAY).summary
    small = settings_of(log, rules="1KB")
    assert live_log_is_rotated(small, NOON).passed  # at 1.1 KB its rotation is due, not overdue
    write(log, NOON, NOON, NOON)
    assert not live_log_is_rotated(small, NOON).passed
    missing = live_log_is_rotated(settings_of(folder / "gone.log"), NOON)
    assert "There is no" in missing.summary
    elsewhere = live_log_is_rotated(settings_of(log, prefixes=tmp_path / "elsewhere"), NOON)
    assert "ASPECTS_TRACKING_LOGS" in elsewhere.summary


def test_the_check_tells_of_a_log_by_the_usual_name_that_no_setting_names(folder: Path) -> None:
    settings = load_settings({"ASPECTS_TRACKING_LOGS": str(folder)})
    assert live_log_is_rotated(settings, NOON).passed
    log = write(folder / "tracking.log", NOON - 10 * DAY, modified=NOON)
    finding = live_log_is_rotated(settings, NOON)
    assert not finding.passed
    assert f"ASPECTS_LIVE_LOG={log}" in finding.summary
    # One that was rotated yesterday, by whomever, is well; and so is one that nobody writes to any more.
    write(folder / rotated_name(log.name, NOON - DAY), NOON - 10 * DAY, modified=NOON - DAY)
    assert live_log_is_rotated(settings, NOON).passed
    (folder / rotated_name(log.name, NOON - DAY)).unlink()
    assert live_log_is_rotated(settings, NOON + 3 * DAY).passed
