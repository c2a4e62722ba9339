"""Promise 4, for source files: none is deleted before its copy was read back from the archive in the same run."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from backports import zstd
from services import release_once
from services.archive import TestArchive, by_day, write_archive

from aspects_orchestration.archive.manifest import ManifestError
from aspects_orchestration.archive.release import UNSEEN, ChangedPlanError, Released, release
from aspects_orchestration.archive.release_plan import ReleasePlan, plan_release
from aspects_orchestration.archive.seal import index_of, seal_day
from aspects_orchestration.archive.subset import EVERYTHING
from aspects_orchestration.archive.verify import verify
from aspects_orchestration.errors import LogStoreError
from aspects_orchestration.samples import SampleSpec, generate_lines
from aspects_orchestration.settings import Settings, load_settings
from aspects_orchestration.tracking.stores import LogStore, S3Options, open_store

if TYPE_CHECKING:
    from services.seaweedfs import S3Server

FIRST = date(2024, 5, 1)
NOW = datetime(2024, 7, 1, tzinfo=UTC)
LINES = list(generate_lines(SampleSpec(lines=200)))


class Place:
    """Logs of five days in a folder, and their archive in another."""

    def __init__(self, folder: Path, archive: str | None = None) -> None:
        self.folder = folder
        self.logs = folder / "logs"
        self.archive_uri = archive or str(folder / "archive")
        self.environ = {
            "ASPECTS_HOME": str(folder / "home"),
            "ASPECTS_TRACKING_LOGS": str(self.logs),
            "ASPECTS_TRACKING_LOG_ARCHIVE": self.archive_uri,
            "ASPECTS_LIVE_LOG": str(self.logs / "tracking.log"),
        }
        self.logs.mkdir(parents=True)
        for number in range(5):
            self.write(f"tracking.log-2024050{number + 1}", FIRST + timedelta(days=number), 10 + number)

    @property
    def settings(self) -> Settings:
        return load_settings(self.environ)

    @property
    def files(self) -> list[Path]:
        return sorted(file for file in self.logs.rglob("*") if file.is_file())

    def write(self, name: str, day: date, lines: int, *, begin: int = 0) -> Path:
        """Write a log that was last written to at noon of a day."""
        path = self.logs / name
        path.write_bytes(b"".join(LINES[begin : begin + lines]))
        noon = datetime(day.year, day.month, day.day, 12, tzinfo=UTC).timestamp()
        os.utime(path, (noon, noon))
        return path

    def seal(self) -> TestArchive:
        """Archive all that is there."""
        return write_archive(self.archive_uri, by_day(self.files))

    def plan(self, *, now: datetime = NOW, live: Collection[Path] = ()) -> ReleasePlan:
        settings = self.settings
        return plan_release(settings, index_of(settings, s3=S3Options()), s3=S3Options(), now=now, live=live)

    def release(
        self,
        asked: str | None = None,
        *,
        said: Callable[[str], None] = lambda _: None,
        live: Callable[[], Collection[Path]] = tuple,
        batch_files: int = 2,
    ) -> Released:
        plan = self.plan()
        return release(
            self.settings,
            plan,
            asked=plan.id if asked is None else asked,
            s3=S3Options(),
            live=live,
            run_id="run",
            now=NOW,
            say=said,
            batch_files=batch_files,
        )


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def names(plan: ReleasePlan) -> list[str]:
    return [one.file.uri.rpartition("/")[2] for one in plan]


def test_a_plan_changes_nothing_and_a_release_does_the_plan(place: Place) -> None:
    archive = place.seal()
    before = {file: file.read_bytes() for file in Path(place.folder).rglob("*") if file.is_file()}
    plan = place.plan()
    assert names(plan) == [f"tracking.log-2024050{number}" for number in range(1, 6)]
    assert plan.bytes == sum(file.stat().st_size for file in place.files)
    assert plan.id == place.plan().id
    after = {file: file.read_bytes() for file in before}
    assert after == before
    raw = {file.name: file.read_bytes() for file in place.files}

    done = place.release()

    assert (done.files, done.bytes, done.left, done.bad) == (5, plan.bytes, 0, ())
    assert done.read_objects == 5
    assert done.read_bytes == sum(one.stored_bytes for one in archive.objects)
    assert place.files == []
    assert verify(place.archive_uri, s3=S3Options(), subset=EVERYTHING).passed
    for one in archive.objects:
        held = zstd.decompress((Path(archive.uri) / one.object).read_bytes())
        assert held == raw[one.source.rpartition("/")[2]]
    record = Path(archive.uri) / "released" / f"{plan.id}.jsonl"
    head, *lines = [json.loads(line) for line in record.read_bytes().splitlines()]
    assert (head["plan"], head["begun_by"]) == (plan.id, "run")
    assert {line["source"] for line in lines} == {one.source for one in archive.objects}
    assert place.plan().files == 0
    assert place.release().files == 0


def test_a_plan_says_what_stays_and_why(place: Place) -> None:
    archived = place.logs / "tracking.log-20240503"
    place.write("tracking.log", FIRST, 3)
    place.seal()
    changed = place.logs / "tracking.log-20240501"
    changed.write_bytes(changed.read_bytes() + LINES[100])
    os.utime(changed, (1_714_600_000, 1_714_600_000))
    place.write("tracking.log-late", FIRST, 4)
    place.write("tracking.log-20240620", date(2024, 6, 20), 4)
    plan = place.plan(live=[place.logs / "tracking.log-20240502"])
    assert names(plan) == ["tracking.log-20240503", "tracking.log-20240504", "tracking.log-20240505"]
    assert {why: count for why, (count, _) in plan.kept.items()} == {
        "live": 1,
        "changed": 1,
        "unsealed": 1,
        "young": 1,
    }
    assert plan.kept["young"][1] == (place.logs / "tracking.log-20240620").stat().st_size
    assert "1 stay" in plan.summary
    assert archived.exists()


@pytest.mark.parametrize("days", [0, 58, 60])
def test_the_newest_days_are_kept(place: Place, days: int) -> None:
    place.seal()
    place.environ["ASPECTS_RELEASE_KEEP_DAYS"] = str(days)
    assert len(names(place.plan())) == {0: 5, 58: 3, 60: 1}[days]


def test_a_log_of_the_future_is_kept(place: Place) -> None:
    place.seal()
    assert place.plan(now=datetime(2024, 4, 1, tzinfo=UTC)).files == 0


def test_a_real_run_does_the_plan_that_was_seen_or_nothing(place: Place) -> None:
    place.seal()
    plan = place.plan()
    with pytest.raises(ChangedPlanError, match=f"it would be plan {plan.id} with 5 files"):
        place.release("")
    place.files[0].unlink()
    with pytest.raises(ChangedPlanError, match=f"has changed since plan {plan.id}"):
        place.release(plan.id)
    for strange in ("0123456789ab", "../manifests/2024-05-01"):
        with pytest.raises(ChangedPlanError):
            place.release(strange)
    assert len(place.files) == 4
    assert place.release(UNSEEN).files == 4


@pytest.mark.parametrize("harm", ["flip", "cut", "grow", "delete", "swap"])
def test_a_file_whose_copy_is_not_what_was_sealed_stays(place: Place, harm: str) -> None:
    archive = place.seal()
    one, other = (Path(archive.uri) / name.object for name in archive.objects[1:3])
    content = one.read_bytes()
    if harm == "delete":
        one.unlink()
    elif harm == "swap":
        one.write_bytes(other.read_bytes())
        other.write_bytes(content)
    else:
        changed = {
            "flip": bytes([*content[:-1], content[-1] ^ 4]),
            "cut": content[:-1],
            "grow": content + b"x",
        }
        one.write_bytes(changed[harm])
    bad = 2 if harm == "swap" else 1
    done = place.release()
    assert done.files == 5 - bad
    assert len(done.bad) == bad
    assert [file.name for file in place.files] == [
        f"tracking.log-2024050{number}" for number in range(2, 2 + bad)
    ]
    assert "not what was sealed" in done.summary


def test_a_broken_chain_releases_nothing(place: Place) -> None:
    archive = place.seal()
    (Path(archive.uri) / "manifests" / "2024-05-02.jsonl").unlink()
    with pytest.raises(ManifestError):
        place.plan()
    assert len(place.files) == 5


def test_a_file_that_grew_needs_all_of_its_objects(place: Place) -> None:
    archive = place.seal()
    grown = place.write("tracking.log-20240501", date(2024, 5, 6), 40)
    archive = write_archive(place.archive_uri, {date(2024, 5, 6): [grown]}, after=archive)
    (supplement,) = archive.days[date(2024, 5, 6)]
    assert supplement.raw_offset > 0
    (planned,) = [one for one in place.plan() if one.file.uri.endswith("20240501")]
    assert [copy.name for copy in planned.copies] == [supplement.object, archive.days[FIRST][0].object]

    beginning = Path(archive.uri) / archive.days[FIRST][0].object
    content = beginning.read_bytes()
    beginning.write_bytes(content[:-1])
    assert place.release().files == 4
    assert place.files == [grown]
    beginning.write_bytes(content)
    assert place.release().files == 1
    assert place.files == []


def test_a_file_that_changes_between_reading_back_and_removing_stays(place: Place) -> None:
    place.seal()
    first, second = place.files[:2]

    def writer() -> list[Path]:
        if first.stat().st_mtime < 1_800_000_000:
            first.write_bytes(first.read_bytes() + LINES[150])
            os.utime(first, (1_800_000_000, 1_800_000_000))
        return [second]

    done = place.release(live=writer)
    assert (done.files, done.left) == (3, 2)
    assert place.files == [first, second]


def test_of_several_releases_at_once_none_fails(place: Place) -> None:
    place.seal()
    asked, ready = place.plan().id, threading.Barrier(3)

    def run(_: int) -> Released:
        found = place.plan()
        ready.wait(30)
        return release(
            place.settings,
            found,
            asked=asked,
            s3=S3Options(),
            live=tuple,
            run_id="run",
            now=NOW,
            say=lambda _: None,
            batch_files=1,
        )

    with ThreadPoolExecutor(3) as threads:
        done = list(threads.map(run, range(3)))
    assert sum(one.files for one in done) == 5
    assert place.files == []


@pytest.mark.parametrize("below", [True, False])
def test_the_archive_itself_is_never_released(tmp_path: Path, below: bool) -> None:
    place = Place(tmp_path, str(tmp_path / "logs" / "archive") if below else None)
    archive = write_archive(place.archive_uri, by_day(place.files))
    if not below:
        place.environ["ASPECTS_TRACKING_LOGS"] = f"{place.archive_uri}/logs,{place.logs}"
    assert len(names(place.plan())) == 5
    assert place.release().files == 5
    assert verify(archive.uri, s3=S3Options(), subset=EVERYTHING).passed


def test_what_a_real_seal_has_archived_is_released(place: Place) -> None:
    seal_day(place.settings, date(2024, 5, 5), s3=S3Options(), run_id="run", now=NOW, say=lambda _: None)
    assert place.release().files == 5
    assert verify(place.archive_uri, s3=S3Options(), subset=EVERYTHING).passed


@pytest.mark.parametrize(
    ("point", "count", "left"),
    [
        ("names the", 1, 5),
        ("read back", 1, 5),
        ("removal", 1, 4),
        ("removal", 2, 3),
        ("removed", 1, 3),
        ("read back", 2, 3),
        ("removal", 3, 2),
        ("removal", 5, 0),
        ("removed", 3, 0),
    ],
)
def test_killed_anywhere_and_run_again_with_the_same_plan(
    place: Place, point: str, count: int, left: int
) -> None:
    archive = place.seal()
    place.environ["ASPECTS_RELEASE_KEEP_DAYS"] = "0"
    asked = place.plan(now=datetime.now(UTC)).id

    def run(*arguments: str) -> int:
        environ = {name: value for name, value in os.environ.items() if not name.startswith("ASPECTS_")}
        return subprocess.run(
            [sys.executable, str(Path(release_once.__file__)), asked, *arguments],
            env=environ | place.environ,
            check=False,
            timeout=300,
        ).returncode

    assert run(point, str(count)) == -signal.SIGKILL
    assert len(place.files) == left
    # What came meanwhile was seen by nobody, so it is not released under this plan.
    late = place.write("tracking.log-late", FIRST, 7)
    write_archive(place.archive_uri, {date(2024, 5, 6): [late]}, after=archive)

    assert run("never") == 0

    assert place.files == [late]
    assert verify(place.archive_uri, s3=S3Options(), subset=EVERYTHING).passed


# --- S3 ------------------------------------------------------------------------------------------------------------


def test_logs_in_s3_are_released_against_an_archive_in_s3(place: Place, s3: S3Server) -> None:
    for file in place.files:
        s3.put(f"logs/{file.name}", file.read_bytes())
    place.environ["ASPECTS_TRACKING_LOGS"] = f"{s3.uri}/logs"
    place.environ["ASPECTS_TRACKING_LOG_ARCHIVE"] = place.archive_uri = f"{s3.uri}/archive"
    place.environ["ASPECTS_RELEASE_KEEP_DAYS"] = "0"
    uris = [one.uri for one in open_store(f"{s3.uri}/logs").list()]
    write_archive(place.archive_uri, {datetime.now(UTC).date(): uris})
    now = datetime.now(UTC) + timedelta(seconds=5)
    plan = place.plan(now=now)
    assert plan.files == 5
    done = release(
        place.settings,
        plan,
        asked=plan.id,
        s3=S3Options(),
        live=tuple,
        run_id="run",
        now=now,
        say=lambda _: None,
    )
    assert (done.files, done.bad) == (5, ())
    assert list(open_store(f"{s3.uri}/logs").list()) == []
    assert verify(place.archive_uri, s3=S3Options(), subset=EVERYTHING).passed


def test_without_permission_to_delete_nothing_goes_and_the_grant_is_named(
    place: Place, s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, bucket = s3.client(), "another-bucket"  # which the other user may read and list, and no more
    if bucket not in {one["Name"] for one in client.list_buckets()["Buckets"]}:
        client.create_bucket(Bucket=bucket)
    prefix = f"s3://{bucket}/{s3.prefix}"
    for file in place.files:
        client.put_object(Bucket=bucket, Key=f"{s3.prefix}/{file.name}", Body=file.read_bytes())
    place.environ["ASPECTS_TRACKING_LOGS"] = prefix
    place.environ["ASPECTS_RELEASE_KEEP_DAYS"] = "0"
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "elsewhere")
    files = list(open_store(prefix).list())
    write_archive(place.archive_uri, {datetime.now(UTC).date(): [one.uri for one in files]})
    now = datetime.now(UTC) + timedelta(seconds=5)
    plan = place.plan(now=now)
    assert plan.files == 5
    with pytest.raises(LogStoreError, match="cannot be deleted: AccessDenied") as refused:
        release(
            place.settings,
            plan,
            asked=plan.id,
            s3=S3Options(),
            live=tuple,
            run_id="run",
            now=now,
            say=lambda _: None,
        )
    assert "s3:DeleteObject" in refused.value.do
    assert list(open_store(prefix).list()) == files


@pytest.fixture(params=["folder", "memory", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> LogStore:
    if request.param == "s3":
        s3: S3Server = request.getfixturevalue("s3")
        return open_store(s3.uri)
    return open_store(str(tmp_path / "made") if request.param == "folder" else f"memory://{tmp_path.name}")


def test_only_the_version_that_was_listed_is_removed(store: LogStore) -> None:
    store.put(f"{store.uri}/one.log", b"first")
    (listed,) = store.list()
    store.put(f"{store.uri}/one.log", b"second, and longer")
    assert not store.remove(listed)
    assert store.get(f"{store.uri}/one.log") == b"second, and longer"
    (now,) = store.list()
    assert store.remove(now)
    assert not store.remove(now)
    assert not store.exists(f"{store.uri}/one.log")


def test_hashes_of_records_are_of_what_they_name(place: Place) -> None:
    archive = place.seal()
    for planned in place.plan():
        for copy in planned.copies:
            content = (Path(archive.uri) / copy.name).read_bytes()
            assert (len(content), hashlib.sha256(content).hexdigest()) == (copy.size, copy.sha256)
