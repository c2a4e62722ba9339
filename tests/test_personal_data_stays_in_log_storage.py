"""Promise 5: names, addresses and lines of logs are in log storage, and nowhere else."""

import gzip
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest
from services.events import enrolled, quarantine_records, who
from services.site import Site, stop_server

from aspects_orchestration.samples import SampleSpec

MONTH = "2024-05"
STRANGER = who(7_777)
#: Odd enough to raise in a transformer, with personal data in what is raised.
ODD = "Ms. Odd Person <odd.person@example.org>"


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Site, bytes]]:
    """A site whose month was loaded by the real command, and all that the command has printed."""
    site = Site(tmp_path_factory.mktemp("site"))
    site.write_samples(SampleSpec(lines=4_000, damage=0.05), files=4)
    lines = [
        enrolled("2024-05-03T00:00:00Z", learner=STRANGER),
        enrolled("2024-05-03T00:00:01Z", course=ODD),
        enrolled(ODD),
        enrolled("2024-05-03T00:00:02Z", context=ODD),
        enrolled("2024-05-03T00:00:03Z", username=ODD, context={"user_id": ODD}),
        enrolled("2024-05-03T00:00:04Z")[:-40] + b"\n",
    ]
    (site.logs / "odd.log.1").write_bytes(b"".join(lines))
    printed = site.materialize(MONTH)
    assert b"inserted" in printed.stdout
    yield site, printed.stdout
    stop_server(site.home)


@pytest.fixture(scope="module")
def personal(done: tuple[Site, bytes]) -> set[bytes]:
    """Usernames, addresses of people and of machines: as text, and as JSON escapes it.

    Not sessions: event-routing-backends puts their ids into statements.
    """
    site, _ = done
    found: set[str] = {STRANGER.username, STRANGER.email, "odd.person@example.org"}
    for path in site.logs.iterdir():
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        for line in content.splitlines():
            try:
                event = orjson.loads(line[line.index(b"{") :])
            except ValueError:
                continue
            found.update(str(event.get(name) or "") for name in ("username", "ip"))
    found.update(who(number).email for number in range(200))
    kept = {text for text in found if len(text) > 5}
    assert len(kept) > 300
    escaped = {text.encode("ascii", "backslashreplace") for text in kept}
    return {text.encode() for text in kept} | escaped


def present(personal: set[bytes], content: bytes) -> list[int]:
    """How many of them are in a text, without naming any."""
    return [number for number, text in enumerate(sorted(personal)) if text in content]


def test_the_test_can_fail(done: tuple[Site, bytes], personal: set[bytes]) -> None:
    records = quarantine_records(done[0].folder / "archive")
    assert present(personal, orjson.dumps(records))
    reasons = {record["reason"] for record in records}
    assert {"unknown_user", "unknown_course", "unreadable_time", "cut"} <= reasons
    assert any(reason.startswith("error_") for reason in reasons)


def test_nothing_of_it_is_printed(done: tuple[Site, bytes], personal: set[bytes]) -> None:
    assert not present(personal, done[1])
    assert b"Odd Person" not in done[1]


def test_nothing_of_it_is_in_dagsters_event_log_or_metadata(
    done: tuple[Site, bytes], personal: set[bytes]
) -> None:
    files = [path for path in (done[0].folder / "dagster").rglob("*") if path.is_file()]
    databases = [path for path in files if path.suffix == ".db"]
    assert databases
    content = b"".join(path.read_bytes() for path in files)
    assert b"account_by_reason" in content
    assert not present(personal, content)
    assert b"Odd Person" not in content


def test_nothing_of_it_is_in_clickhouse(done: tuple[Site, bytes], personal: set[bytes]) -> None:
    site, _ = done
    site.sql("SYSTEM FLUSH LOGS", admin=True)
    tables = site.sql(
        "SELECT database, name FROM system.tables WHERE (database NOT IN ('system', 'information_schema',"
        " 'INFORMATION_SCHEMA') OR name IN ('query_log', 'part_log', 'errors')) FORMAT TSVRaw",
        admin=True,
    ).decode()
    names = [".".join(f"`{part}`" for part in line.split("\t")) for line in tables.splitlines()]
    assert "`xapi`.`xapi_events_all`" in names
    assert "`system`.`query_log`" in names
    for name in names:
        content = site.sql(f"SELECT * FROM {name} FORMAT JSONEachRow", admin=True)
        assert not present(personal, content), name
        assert b"Odd Person" not in content, name


def test_nothing_of_it_is_in_the_servers_log_files(done: tuple[Site, bytes], personal: set[bytes]) -> None:
    logs = [path for path in (done[0].home / "clickhouse").rglob("*.log*") if path.is_file()]
    assert logs
    content = b"".join(path.read_bytes() for path in logs)
    assert not present(personal, content)
    assert b"Odd Person" not in content


def test_the_index_of_identities_is_for_its_owners_eyes(done: tuple[Site, bytes]) -> None:
    folder: Path = done[0].home / "identities"
    assert folder.stat().st_mode & 0o077 == 0
    indexes = list(folder.iterdir())
    assert indexes
    assert all(path.stat().st_mode & 0o077 == 0 for path in indexes)
