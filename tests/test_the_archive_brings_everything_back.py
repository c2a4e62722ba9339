"""A month comes back from the archive alone: to the row, found without a catalog, and never from what was tampered with."""

import gzip
import os
import shutil
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from services.archive import TestArchive, by_day, write_archive
from services.events import enrolled, peopled_site, statements, who
from services.seaweedfs import S3Server
from services.site import Site, stop_server

from aspects_orchestration.archive.reading import UnsoundArchiveError
from aspects_orchestration.archive.seal import seal_day
from aspects_orchestration.errors import AspectsError
from aspects_orchestration.replay.plan import Mode
from aspects_orchestration.replay.result import LoadResult
from aspects_orchestration.replay.sources import ARCHIVE, BOTH, NoLogsError
from aspects_orchestration.samples import SampleSpec
from aspects_orchestration.tracking.stores import S3Options

SPEC = SampleSpec(lines=1_500, damage=0.02)
MONTHS = ("2024-04", "2024-05", "2024-06")


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site of three months, loaded from its logs; all but the live one are sealed."""
    site = Site(tmp_path_factory.mktemp("original"))
    files = site.write_samples(SPEC, files=9)
    for month in MONTHS:
        site.load(month)
    write_archive(str(site.folder / "archive"), by_day(files[:-1]))
    yield site
    stop_server(site.home)


@pytest.fixture
def elsewhere(site: Site, original: Site) -> Site:
    """Another machine with an empty ClickHouse, the archive, and who is who; no logs."""
    shutil.copytree(original.folder / "archive", site.folder / "archive")
    for name in ("identities.csv", "courses.csv"):
        shutil.copy(original.folder / name, site.folder / name)
    return site


def test_the_archive_alone_brings_back_all_that_is_sealed_and_reads_only_objects_of_the_month(
    original: Site, elsewhere: Site
) -> None:
    result = elsewhere.load("2024-05", sources=ARCHIVE)
    logs = original.load("2024-05", dry_run=True)
    live = original.load("2024-05", dry_run=True, sources=("tracking.log",))
    assert result.account.total.statements == logs.account.total.statements - live.account.total.statements
    assert all("/archive/logs/" in uri for uri in result.account.files)
    assert 0 < len(result.account.files) < 8, "objects of other months are not read"
    again = elsewhere.load("2024-05", sources=ARCHIVE)
    assert again.statements is not None
    assert again.statements.inserted == 0
    elsewhere.load("2024-04", sources=ARCHIVE)
    assert elsewhere.load("2024-06", sources=ARCHIVE).account.total.statements > 0
    shutil.copy(original.logs / "tracking.log", elsewhere.logs)
    elsewhere.load("2024-06")
    assert elsewhere.rows() == original.rows()


def test_both_bring_back_every_row_and_read_every_log_once(original: Site, elsewhere: Site) -> None:
    elsewhere.environ["ASPECTS_TRACKING_LOGS"] = str(original.logs)
    results = [elsewhere.load(month, sources=BOTH) for month in reversed(MONTHS)]
    assert elsewhere.rows() == original.rows()
    for one in results:
        assert one.statements is not None
        assert one.statements.duplicates == doubles(original, one.month)
    files = {uri for one in results for uri in one.account.files}
    assert {uri for uri in files if "/archive/" not in uri} == {f"file://{original.logs}/tracking.log"}


def doubles(site: Site, month: str) -> int:
    """Statements that stand in a site's own logs more than once."""
    result = site.load(month)
    assert result.statements is not None
    return result.statements.duplicates


def test_what_is_read_from_the_archive_is_not_counted_a_second_time_in_the_catalog(
    original: Site, elsewhere: Site
) -> None:
    elsewhere.load("2024-05", sources=ARCHIVE)
    assert (
        elsewhere.sql("SELECT count() FROM aspects_orchestration.tracking_log_catalog", admin=True) == b"0\n"
    )


# --- both: each event once ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    yield from peopled_site(tmp_path_factory)


def archive_of(town: Site, name: str) -> str:
    """An archive of its own for a test."""
    town.environ["ASPECTS_TRACKING_LOG_ARCHIVE"] = str(town.folder / name)
    return town.environ["ASPECTS_TRACKING_LOG_ARCHIVE"]


def read_of(result: LoadResult) -> dict[str, int]:
    """Lines by file name of those that had any."""
    return {uri.rpartition("/")[2]: one.lines for uri, one in result.account.files.items() if one.lines}


def test_a_log_that_grew_is_read_as_it_is_and_its_objects_are_left_out(town: Site) -> None:
    archive = archive_of(town, "grown")
    log = town.logs / "grown.log.1"
    log.write_bytes(enrolled("2021-01-03T00:00:00Z") + enrolled("2021-01-04T00:00:00Z"))
    days = by_day([log])
    write_archive(archive, days)
    untouched = town.load("2021-01", sources=BOTH)
    assert [name.partition("-")[2] for name in read_of(untouched)] == ["grown.log.1.zst"]
    with log.open("ab") as more:
        more.write(enrolled("2021-01-05T00:00:00Z"))
    result = town.load("2021-01", sources=BOTH)
    assert read_of(result) == {"grown.log.1": 3}
    assert result.statements is not None
    assert (result.statements.inserted, result.statements.duplicates) == (1, 0)


def test_logs_that_lie_elsewhere_now_are_read_and_what_is_sealed_of_them_is_not(
    town: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = archive_of(town, "moved")
    old = town.logs / "2021-05"
    old.mkdir()
    days = [f"2021-05-{day:02d}T00:00:00Z" for day in range(1, 9)]
    whole, renamed, grows, packed = (old / f"moved.log-{name}" for name in ("1", "2", "3", "4.gz"))
    whole.write_bytes(enrolled(days[0]))
    renamed.write_bytes(enrolled(days[1]) + enrolled(days[2]))
    grows.write_bytes(enrolled(days[3]))
    packed.write_bytes(gzip.compress(enrolled(days[4])))
    write_archive(archive, by_day([whole, renamed, grows, packed]))
    monkeypatch.setitem(town.environ, "ASPECTS_TRACKING_LOGS", str(town.folder / "elsewhere"))
    old.rename(town.folder / "elsewhere")
    (town.folder / "elsewhere" / renamed.name).rename(town.folder / "elsewhere" / "other name")
    with (town.folder / "elsewhere" / grows.name).open("ab") as more:
        more.write(enrolled(days[5]))
    # Of the same size, and another log.
    (town.folder / "elsewhere" / "alike").write_bytes(enrolled(days[6]))
    result = town.load("2021-05", sources=BOTH)
    assert read_of(result) == {whole.name: 1, "other%20name": 2, grows.name: 2, packed.name: 1, "alike": 1}
    assert len(statements(town, "2021-05")) == 7


def test_a_supplement_and_what_it_supplements_are_both_read(town: Site) -> None:
    archive = archive_of(town, "supplement")
    log = town.logs / "supplemented.log.1"
    log.write_bytes(enrolled("2021-02-03T00:00:00Z"))
    (day,) = by_day([log])
    first = write_archive(archive, {day: [log]})
    with log.open("ab") as more:
        more.write(enrolled("2021-02-05T00:00:00Z"))
    write_archive(archive, {day.replace(year=day.year + 1): [log]}, after=first)
    result = town.load("2021-02", sources=BOTH)
    assert len(result.account.files) == 2
    assert result.account.total.lines == 2
    log.unlink()
    assert town.load("2021-02", sources=ARCHIVE).account.total.lines == 2
    assert len(statements(town, "2021-02")) == 2


def test_a_log_that_has_taken_the_place_of_a_sealed_one_hides_nothing(town: Site) -> None:
    archive = archive_of(town, "replaced")
    log = town.logs / "replaced.log.1"
    log.write_bytes(enrolled("2021-03-03T00:00:00Z") + enrolled("2021-03-04T00:00:00Z"))
    write_archive(archive, by_day([log]))
    log.write_bytes(b"".join(enrolled(f"2021-03-{day}T00:00:00Z", learner=who(day)) for day in range(10, 20)))
    result = town.load("2021-03", sources=BOTH)
    assert result.account.total.lines == 12
    assert len(statements(town, "2021-03")) == 12


def test_what_was_sealed_as_it_was_because_it_is_damaged_gives_what_can_be_read(town: Site) -> None:
    archive_of(town, "verbatim")
    log = town.logs / "verbatim.log.1.gz"
    lines = [enrolled(f"2021-11-{day:02d}T00:00:00Z", learner=who(day)) for day in range(1, 29)]
    log.write_bytes(gzip.compress(b"".join(lines[:14])) + gzip.compress(b"".join(lines[14:]))[:-40])
    os.utime(log, (1_638_400_000, 1_638_400_000))  # in December
    live = town.load("2021-11", dry_run=True, sources=(log.name,)).account.total.statements
    assert live >= 14
    result = seal_day(
        town.settings,
        date(2021, 12, 1),
        s3=S3Options(),
        run_id="test",
        now=datetime(2021, 12, 3, tzinfo=UTC),
        say=lambda _: None,
    )
    assert result.sealed is not None
    both = town.load("2021-11", dry_run=True, sources=BOTH)
    assert f"file://{log}" not in both.account.files
    log.unlink()
    restored = town.load("2021-11", sources=ARCHIVE)
    assert restored.account.total.statements == live
    assert restored.account.damages


def test_an_archive_below_the_logs_is_not_among_them(town: Site) -> None:
    archive = archive_of(town, "logs/archive")
    log = town.logs / "below.log.1"
    log.write_bytes(enrolled("2021-04-03T00:00:00Z"))
    write_archive(archive, by_day([log]))
    for source in (("live",), ("logs",), BOTH):
        assert town.load("2021-04", sources=source).account.total.lines == 1
    shutil.rmtree(archive)


def test_the_objects_are_logs_like_any_other(town: Site) -> None:
    archive = archive_of(town, "as-logs")
    log = town.logs / "as-logs.log.1"
    log.write_bytes(enrolled("2021-05-03T00:00:00Z"))
    write_archive(archive, by_day([log]), compression="gz")
    reader = Site(town.folder, {**town.environ, "ASPECTS_TRACKING_LOGS": f"{archive}/logs"})
    assert reader.load("2021-05").ids == 1
    assert reader.load("2021-05", sources=BOTH).account.total.lines == 1


def test_a_window_reads_no_object_that_ends_before_it(town: Site) -> None:
    archive = archive_of(town, "window")
    logs = []
    for day in (3, 10, 17):
        logs.append(town.logs / f"window-{day}.log.1")
        logs[-1].write_bytes(enrolled(f"2021-06-{day:02d}T12:00:00Z"))
    write_archive(archive, by_day(logs))
    result = town.load(
        "2021-06",
        sources=ARCHIVE,
        since=datetime(2021, 6, 10, tzinfo=UTC),
        until=datetime(2021, 6, 17, tzinfo=UTC),
    )
    assert [name.partition("-")[2] for name in read_of(result)] == ["window-10.log.1.zst"]


# --- what is not what was sealed ---------------------------------------------------------------------------------


@pytest.fixture
def sealed(town: Site, request: pytest.FixtureRequest) -> tuple[Site, TestArchive, str]:
    """Three logs of a month of the test's own, sealed and gone."""
    month = f"2022-{int(request.node.callspec.params['number']):02d}"
    archive = archive_of(town, f"sealed-{month}")
    logs = []
    for number in range(3):
        logs.append(town.logs / f"sealed-{month}-{number}.log.1")
        logs[-1].write_bytes(enrolled(f"{month}-0{number + 1}T00:00:00Z", learner=who(number)))
    written = write_archive(archive, by_day(logs))
    for log in logs:
        log.unlink()
    return town, written, month


def path_of(archive: TestArchive, number: int) -> Path:
    (one,) = [one for one in archive.objects if f"-{number}.log.1" in one.object]
    return Path(archive.uri) / one.object


def flip_a_byte(archive: TestArchive) -> None:
    path = path_of(archive, 1)
    stored = bytearray(path.read_bytes())
    stored[len(stored) // 2] ^= 1
    path.write_bytes(stored)


def cut(archive: TestArchive) -> None:
    path = path_of(archive, 1)
    path.write_bytes(path.read_bytes()[:-1])


def take_away(archive: TestArchive) -> None:
    path_of(archive, 1).unlink()


def swap(archive: TestArchive) -> None:
    shutil.copy(path_of(archive, 2), path_of(archive, 1))


@pytest.mark.parametrize(
    ("number", "harm", "kind"),
    [(1, flip_a_byte, "changed"), (2, cut, "changed"), (3, take_away, "missing"), (4, swap, "changed")],
)
def test_an_object_that_is_not_what_was_sealed_stops_the_load_and_is_left_out_where_that_is_wanted(
    sealed: tuple[Site, TestArchive, str], number: int, harm: object, kind: str
) -> None:
    site, archive, month = sealed
    assert callable(harm)
    harm(archive)
    for how in ({}, {"dry_run": True}):
        with pytest.raises(
            UnsoundArchiveError, match=rf"sealed-{month}-1\.log\.1\.zst is {kind}.*allow_loss"
        ):
            site.load(month, sources=ARCHIVE, **how)
    assert statements(site, month) == []
    result = site.load(month, sources=ARCHIVE, allow_loss=True)
    assert result.ids == 2
    assert [one.kind for one in result.account.damages] == [kind]
    assert not site.check(month)["logs_readable"].passed


def test_an_archive_in_which_nothing_is_sealed_is_refused(town: Site) -> None:
    archive_of(town, "nothing")
    with pytest.raises(NoLogsError, match="nothing is sealed under"):
        town.load("2021-07", sources=ARCHIVE)


def test_a_manifest_that_was_changed_stops_the_load(town: Site) -> None:
    archive = archive_of(town, "changed-manifest")
    log = town.logs / "manifest.log.1"
    log.write_bytes(enrolled("2021-08-03T00:00:00Z"))
    (day,) = by_day([log])
    write_archive(archive, {day: [log]})
    manifest = Path(archive) / "manifests" / f"{day}.jsonl"
    manifest.write_bytes(manifest.read_bytes().replace(b'"2021-08":1', b'"2021-09":1'))
    with pytest.raises(AspectsError, match="does not have the hash that it carries"):
        town.load("2021-08", sources=ARCHIVE)


def test_a_rebuild_from_the_archive_drops_nothing_that_the_archive_does_not_hold(town: Site) -> None:
    archive = archive_of(town, "rebuilt")
    log = town.logs / "rebuilt.log.1"
    log.write_bytes(enrolled("2021-09-03T00:00:00Z"))
    write_archive(archive, by_day([log]))
    (town.logs / "later.log.1").write_bytes(enrolled("2021-09-04T00:00:00Z"))
    town.load("2021-09")
    with pytest.raises(AspectsError, match="a rebuild would lose them"):
        town.load("2021-09", mode=Mode.REBUILD, sources=ARCHIVE)
    assert town.load("2021-09", mode=Mode.REBUILD, sources=BOTH).ids == 2
    assert len(statements(town, "2021-09")) == 2


def test_it_works_on_s3(town: Site, s3: S3Server) -> None:
    archive = town.environ["ASPECTS_TRACKING_LOG_ARCHIVE"] = f"{s3.uri}/archive"
    log = town.logs / "on-s3.log.1"
    log.write_bytes(enrolled("2021-10-03T00:00:00Z"))
    (one,) = write_archive(archive, by_day([log])).objects
    log.unlink()
    assert town.load("2021-10", sources=ARCHIVE).ids == 1
    key = f"{s3.prefix}/archive/{one.object}"
    stored = s3.client().get_object(Bucket=s3.bucket, Key=key)["Body"].read()
    s3.client().put_object(Bucket=s3.bucket, Key=key, Body=stored[:-1] + b"x")
    with pytest.raises(UnsoundArchiveError, match=r"on-s3\.log\.1\.zst is changed"):
        town.load("2021-10", sources=ARCHIVE)
