"""Flip any byte, delete, swap, add or truncate any object or manifest: verify names it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from services.archive import TestArchive, write_archive

from aspects_orchestration.archive.faults import KINDS, Kind
from aspects_orchestration.archive.index import ArchiveIndex
from aspects_orchestration.archive.layout import manifest_name
from aspects_orchestration.archive.subset import (
    EVERYTHING,
    NOTHING,
    Subset,
    SubsetError,
    group_of,
    parse_subset,
)
from aspects_orchestration.archive.verify import Verified, verify
from aspects_orchestration.errors import LogStoreError
from aspects_orchestration.samples import SampleSpec, generate_lines
from aspects_orchestration.tracking.stores import S3Options, open_store

if TYPE_CHECKING:
    from services.seaweedfs import S3Server

FIRST = date(2024, 5, 1)
DAYS = [FIRST + timedelta(days=number) for number in range(5)]
#: Files a day; the third day has none, as a day without logs does.
FILES = (2, 3, 0, 1, 2)


def seen(archive: str | Path, **how: object) -> Verified:
    return verify(str(archive), s3=S3Options(), **how)  # type: ignore[arg-type]


def kinds(found: Verified) -> set[Kind]:
    return set(found.counts)


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> TestArchive:
    """An archive of five days that nobody touches; tests work on copies of it."""
    folder = tmp_path_factory.mktemp("pristine")
    lines = list(generate_lines(SampleSpec(lines=400)))
    days: dict[date, list[str | Path]] = {}
    for day, files in zip(DAYS, FILES, strict=True):
        for number in range(files):
            source = folder / "logs" / f"server{number}" / f"tracking.log-{day:%Y%m%d}"
            source.parent.mkdir(parents=True, exist_ok=True)
            # Each file of another size and content, and one without any line.
            count = 0 if (day, number) == (DAYS[1], 2) else 20 + number + 3 * day.day
            source.write_bytes(b"".join(lines[day.day * 40 : day.day * 40 + count]))
            days.setdefault(day, []).append(source)
    return write_archive(str(folder / "archive"), days)


@pytest.fixture
def archive(pristine: TestArchive, tmp_path: Path) -> Path:
    return Path(shutil.copytree(pristine.uri, tmp_path / "archive"))


def manifest(archive: Path, number: int) -> Path:
    return archive / manifest_name(DAYS[number])


def objects(archive: Path, number: int) -> list[Path]:
    return sorted((archive / "logs" / DAYS[number].isoformat()).iterdir())


def test_an_archive_as_it_was_sealed_passes(pristine: TestArchive) -> None:
    found = seen(pristine.uri, subset=EVERYTHING)
    assert found.passed, found.faults
    assert (found.days, found.first, found.last) == (5, DAYS[0], DAYS[-1])
    assert found.objects == found.read_objects == sum(FILES) == len(pristine.objects)
    assert found.read_bytes == found.stored_bytes == sum(one.stored_bytes for one in pristine.objects)
    assert found.lines == sum(one.lines for one in pristine.objects)
    assert found.head == pristine.hashes[DAYS[-1]]
    assert "all is as it was sealed" in found.summary
    for day in DAYS:
        assert seen(pristine.uri, day=day).passed


def test_without_reading_bytes_names_and_sizes_and_the_chain_are_compared(pristine: TestArchive) -> None:
    found = seen(pristine.uri)
    assert found.passed
    assert (found.objects, found.read_objects) == (8, 0)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_byte_flipped_anywhere_is_named(
    pristine: TestArchive, tmp_path: Path, data: st.DataObject
) -> None:
    files = sorted(file for file in Path(pristine.uri).rglob("*") if file.is_file() and file.stat().st_size)
    file = data.draw(st.sampled_from(files)).relative_to(pristine.uri)
    shutil.rmtree(tmp_path / "copy", ignore_errors=True)
    copy = Path(shutil.copytree(pristine.uri, tmp_path / "copy"))
    content = bytearray((copy / file).read_bytes())
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] ^= 1 << data.draw(st.integers(0, 7))
    (copy / file).write_bytes(content)
    found = seen(copy, subset=EVERYTHING)
    assert {fault.name for fault in found.faults} == {str(file)}
    expected = {"changed_bytes"} if file.parts[0] == "logs" else {"changed_manifest", "swapped"}
    assert kinds(found) <= expected, found.faults


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_anything_cut_off_or_made_longer_is_named(
    pristine: TestArchive, tmp_path: Path, data: st.DataObject
) -> None:
    files = sorted(file for file in Path(pristine.uri).rglob("*") if file.is_file() and file.stat().st_size)
    file = data.draw(st.sampled_from(files)).relative_to(pristine.uri)
    shutil.rmtree(tmp_path / "copy", ignore_errors=True)
    copy = Path(shutil.copytree(pristine.uri, tmp_path / "copy"))
    content = (copy / file).read_bytes()
    cut = data.draw(st.integers(0, len(content) - 1))
    (copy / file).write_bytes(content[:cut] if data.draw(st.booleans()) else content + b"\n")
    found = seen(copy)
    assert {fault.name for fault in found.faults} == {str(file)}
    assert kinds(found) == {"changed_size" if file.parts[0] == "logs" else "changed_manifest"}


def test_every_object_that_is_gone_is_named(archive: Path, pristine: TestArchive) -> None:
    for one in pristine.objects:
        file = archive / one.object
        content = file.read_bytes()
        file.unlink()
        for found in (seen(archive), seen(archive, subset=EVERYTHING)):
            assert [(fault.kind, fault.name) for fault in found.faults] == [("missing_object", one.object)]
            assert found.bad_days == (date.fromisoformat(one.object.split("/")[1]),)
        file.write_bytes(content)
    assert seen(archive, subset=EVERYTHING).passed


@pytest.mark.parametrize("number", range(len(DAYS)))
def test_every_manifest_that_is_gone_is_named(archive: Path, number: int) -> None:
    manifest(archive, number).unlink()
    found = seen(archive)
    assert [(fault.kind, fault.day) for fault in found.faults] == [("missing_manifest", DAYS[number])]
    assert kinds(seen(archive, day=DAYS[number])) == {"missing_manifest"}


def test_the_newest_manifests_that_are_gone_are_remembered_by_this_machine(
    archive: Path, tmp_path: Path
) -> None:
    index = ArchiveIndex(str(archive), tmp_path / "index", s3=S3Options())
    assert index.remembered() == {}
    index.update()
    for number in (2, 3, 4):
        manifest(archive, number).unlink()
        shutil.rmtree(archive / "logs" / DAYS[number].isoformat(), ignore_errors=True)
    assert seen(archive).passed, "nothing that is left tells"
    found = seen(archive, known=index.remembered())
    assert [(fault.kind, fault.day) for fault in found.faults] == [
        ("missing_manifest", day) for day in DAYS[2:]
    ]
    shutil.rmtree(archive)
    found = seen(archive, known=index.remembered())
    assert found.counts == {"missing_manifest": 5}


def test_an_archive_without_any_manifest_does_not_pass(tmp_path: Path) -> None:
    found = seen(tmp_path / "nowhere")
    assert [fault.kind for fault in found.faults] == ["nothing_sealed"]
    assert "Check ASPECTS_TRACKING_LOG_ARCHIVE and its mount" in found.faults[0].do


def test_swapped_objects_are_named(archive: Path) -> None:
    one, other = objects(archive, 0)[0], objects(archive, 3)[0]
    first, second = one.read_bytes(), other.read_bytes()
    one.write_bytes(second)
    other.write_bytes(first)
    found = seen(archive, subset=EVERYTHING)
    assert found.counts == {"swapped": 2}
    assert {fault.name for fault in found.faults} == {str(file.relative_to(archive)) for file in (one, other)}
    assert kinds(seen(archive)) == {"changed_size"}


def test_swapped_manifests_are_named(archive: Path) -> None:
    first, second = manifest(archive, 1).read_bytes(), manifest(archive, 3).read_bytes()
    manifest(archive, 1).write_bytes(second)
    manifest(archive, 3).write_bytes(first)
    found = seen(archive)
    assert [(fault.kind, fault.day) for fault in found.faults] == [
        ("swapped", DAYS[1]),
        ("swapped", DAYS[3]),
    ]


def test_whatever_was_added_is_named(archive: Path) -> None:
    added = [
        archive / "logs" / DAYS[1].isoformat() / "0123456789abcdef-tracking.log.zst",
        archive / "logs" / "stray.gz",
        archive / "logs" / DAYS[0].isoformat() / "deeper" / "x.zst",
        archive / "manifests" / "notes.txt",
    ]
    for file in added:
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(b"x")
    found = seen(archive)
    assert found.counts == {"extra": 4}
    assert {fault.name for fault in found.faults} == {str(file.relative_to(archive)) for file in added}


def rewritten(pristine: TestArchive, archive: Path, number: int) -> None:
    """A day's manifest made anew with one object less, its own hash right."""
    from aspects_orchestration.archive.manifest import Head, Link, encode

    day = DAYS[number]
    before = Link(DAYS[number - 1], pristine.hashes[DAYS[number - 1]]) if number else None
    head = Head(day, before, datetime(2024, 6, 1, tzinfo=UTC), "somebody", "zst")
    lost = pristine.days[day][0]
    manifest(archive, number).write_bytes(b"".join(encode(head, pristine.days[day][1:])))
    (archive / lost.object).unlink()


def test_a_manifest_that_was_made_anew_breaks_the_chain(pristine: TestArchive, archive: Path) -> None:
    rewritten(pristine, archive, 1)
    found = seen(archive)
    assert [(fault.kind, fault.day) for fault in found.faults] == [("broken_chain", DAYS[2])]
    assert kinds(seen(archive, day=DAYS[1])) == kinds(seen(archive, day=DAYS[2])) == {"broken_chain"}


def test_a_newest_manifest_that_was_made_anew_is_not_the_one_seen_before(
    pristine: TestArchive, archive: Path, tmp_path: Path
) -> None:
    rewritten(pristine, archive, 4)
    assert seen(archive).passed, "nothing follows it that could tell"
    found = seen(archive, known=pristine.hashes)
    assert [(fault.kind, fault.day) for fault in found.faults] == [("changed_manifest", DAYS[4])]


def test_days_that_were_never_sealed_are_a_gap(pristine: TestArchive, archive: Path, tmp_path: Path) -> None:
    from aspects_orchestration.archive.manifest import Head, Link, encode

    day = DAYS[4] + timedelta(days=3)
    head = Head(day, Link(DAYS[4], pristine.hashes[DAYS[4]]), datetime(2024, 6, 1, tzinfo=UTC), "x", "zst")
    (archive / manifest_name(day)).write_bytes(b"".join(encode(head, ())))
    found = seen(archive)
    (fault,) = found.faults
    assert (fault.kind, fault.day) == ("gap", DAYS[4] + timedelta(days=1))
    assert "2024-05-06 to 2024-05-07 (2 days) was never sealed" in fault.what


def test_a_chain_that_begins_anew_is_broken(archive: Path) -> None:
    from aspects_orchestration.archive.manifest import Head, encode

    manifest(archive, 2).write_bytes(
        b"".join(encode(Head(DAYS[2], None, datetime(2024, 6, 1, tzinfo=UTC), "x", "zst"), ()))
    )
    assert seen(archive).counts == {"broken_chain": 2}


def test_a_day_that_is_not_sealed_does_not_pass(archive: Path) -> None:
    for day in (FIRST - timedelta(days=1), FIRST - timedelta(days=9), DAYS[-1] + timedelta(days=1)):
        found = seen(archive, day=day)
        assert [(fault.kind, fault.day) for fault in found.faults] == [("missing_manifest", day)]


def test_a_day_is_not_blamed_for_another(archive: Path) -> None:
    objects(archive, 0)[0].unlink()
    objects(archive, 3)[0].write_bytes(b"other bytes")
    assert kinds(seen(archive)) == {"missing_object", "changed_size"}
    assert kinds(seen(archive, day=DAYS[0])) == {"missing_object"}
    assert kinds(seen(archive, day=DAYS[3])) == {"changed_size"}
    assert seen(archive, day=DAYS[1]).passed


@pytest.fixture
def on_s3(pristine: TestArchive, s3: S3Server) -> TestArchive:
    store = open_store(s3.uri)
    for file in sorted(Path(pristine.uri).rglob("*")):
        if file.is_file():
            store.put(f"{s3.uri}/{file.relative_to(pristine.uri)}", file.read_bytes())
    return TestArchive(s3.uri, pristine.days, pristine.hashes)


def test_all_of_it_holds_on_s3(on_s3: TestArchive, s3: S3Server) -> None:
    assert seen(on_s3.uri, subset=EVERYTHING).passed
    store = open_store(s3.uri)
    lost, changed, cut = (on_s3.objects[number].object for number in (0, 1, -1))
    store.delete(f"{s3.uri}/{lost}")
    content = store.get(f"{s3.uri}/{changed}")
    store.put(f"{s3.uri}/{changed}", content[:-1] + bytes([content[-1] ^ 1]))
    store.put(f"{s3.uri}/{cut}", b"short")
    store.put(f"{s3.uri}/logs/{DAYS[2]}/stray.zst", b"x")
    store.delete(f"{s3.uri}/{manifest_name(DAYS[3])}")
    found = seen(on_s3.uri, subset=EVERYTHING)
    assert {(fault.kind, fault.name) for fault in found.faults} == {
        ("missing_object", lost),
        ("changed_bytes", changed),
        ("changed_size", cut),
        ("extra", f"logs/{DAYS[2]}/stray.zst"),
        ("missing_manifest", manifest_name(DAYS[3])),
    }


def test_what_is_wrong_says_what_to_do(archive: Path) -> None:
    objects(archive, 0)[0].unlink()
    (fault,) = seen(archive).faults
    assert str(fault).startswith("missing_object: logs/2024-05-01/")
    assert "Bring it back" in str(fault)
    assert all(meaning and do.endswith(".") for meaning, do in KINDS.values())


def test_storage_that_gives_nothing_is_no_fault_of_objects(
    archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (archive / "manifests").rename(archive / "elsewhere")
    (archive / "manifests").write_text("not a folder")
    assert "extra" in kinds(seen(archive))
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    with pytest.raises(LogStoreError, match="AWS_ENDPOINT_URL_S3"):
        seen("s3://nowhere/archive")


def test_a_share_reads_some_and_groups_read_each_once(pristine: TestArchive) -> None:
    assert seen(pristine.uri, subset=parse_subset("1%")).read_objects == 1
    half = seen(pristine.uri, subset=parse_subset("50%"), seed="a")
    assert 1 <= half.read_objects < 8
    assert half.read_objects == seen(pristine.uri, subset=parse_subset("50%"), seed="a").read_objects
    groups = [seen(pristine.uri, subset=parse_subset(f"{number}/3")).read_objects for number in (1, 2, 3)]
    assert sum(groups) == 8
    assert {group_of(one.object, 3) for one in pristine.objects} == {
        number for number, count in enumerate(groups, 1) if count
    }


@pytest.mark.parametrize(
    ("text", "expected", "shown"),
    [
        ("", NOTHING, "none"),
        ("none", NOTHING, "none"),
        ("0%", NOTHING, "none"),
        ("all", EVERYTHING, "all"),
        ("100%", EVERYTHING, "all"),
        (" 5% ", Subset(0.05), "5%"),
        ("0.5%", Subset(0.005), "0.5%"),
        ("10%", Subset(0.1), "10%"),
        ("2/7", Subset(group=2, groups=7), "2/7"),
    ],
)
def test_a_subset_is_read_as_it_is_written(text: str, expected: Subset, shown: str) -> None:
    assert parse_subset(text) == expected
    assert str(expected) == shown


@pytest.mark.parametrize("text", ["5", "101%", "0/7", "8/7", "1/0", "half", "-5%", "5 %", "1/7/2", "५%"])
def test_what_is_no_subset_is_refused(text: str) -> None:
    with pytest.raises(SubsetError, match="is no part of an archive"):
        parse_subset(text)


def test_thousands_of_faults_are_counted_and_the_first_are_named(tmp_path: Path) -> None:
    source = tmp_path / "tracking.log-1"
    source.write_bytes(next(iter(generate_lines(SampleSpec(lines=1)))))
    made = write_archive(str(tmp_path / "archive"), {FIRST: [source]})
    folder = Path(made.uri) / "logs" / FIRST.isoformat()
    for number in range(1_000):
        (folder / f"{number:016x}-x.zst").write_bytes(b"")
    found = seen(made.uri)
    assert found.counts == {"extra": 1_000}
    assert len(found.faults) == 200


@pytest.fixture(autouse=True)
def _nothing_left_open() -> Iterator[Callable[[], None] | None]:
    """Threads that read back end with the verification."""
    import threading

    yield None
    assert not [one for one in threading.enumerate() if one.name.startswith("read-back")]
