"""Promise 8: a failure says what happened, where, and what to do next; and nothing is published or lost by it."""

import gzip
import os
import secrets
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from backports import zstd
from services.events import enrolled, who, write_people
from services.runs import said, start
from services.seaweedfs import S3Server
from services.site import Site, stop_server

from aspects_orchestration.errors import AspectsError, IdentityError, LogStoreError, WarehouseError
from aspects_orchestration.replay.sources import NoLogsError
from aspects_orchestration.resources.clickhouse import schema_names
from aspects_orchestration.samples import SampleSpec
from aspects_orchestration.warehouse import server
from aspects_orchestration.warehouse.answers import UnreachableError
from aspects_orchestration.warehouse.schema import pipeline_grants
from aspects_orchestration.window import WindowError

MONTH = "2021-05"
SAMPLES = SampleSpec(lines=2_000)
HEADER = "user_id,username,external_user_id\n"
FIRST_ID = "00000000-0000-4000-8000-000000000001"
SECOND_ID = "00000000-0000-4000-8000-000000000002"


@pytest.fixture
def peopled(site: Site) -> Site:
    """A site with one event, loaded, and another that is not loaded yet."""
    write_people(site)
    (site.logs / "first.log.1").write_bytes(enrolled("2021-05-01T00:00:00Z"))
    site.load(MONTH)
    (site.logs / "second.log.1").write_bytes(enrolled("2021-05-02T00:00:00Z", learner=who(1)))
    return site


def refused(site: Site, kind: type[AspectsError], **request: object) -> AspectsError:
    """The error of a load, by which nothing is published and nothing lost."""
    before = site.rows()
    logs = {path: path.read_bytes() for path in site.logs.rglob("*") if path.is_file()}
    with pytest.raises(kind) as error:
        site.load(str(request.pop("month", MONTH)), **request)
    assert site.rows() == before
    assert {path: path.read_bytes() for path in site.logs.rglob("*") if path.is_file()} == logs
    return error.value


def loads_both(site: Site) -> None:
    assert site.load(MONTH).ids == 2
    assert site.rows().count(b"\n") == 2


# --- log storage -------------------------------------------------------------------------------------------------


def test_a_missing_folder_is_named_with_its_setting(peopled: Site) -> None:
    peopled.environ["ASPECTS_TRACKING_LOGS"] = str(peopled.folder / "nowhere")
    error = refused(peopled, LogStoreError)
    assert str(peopled.folder / "nowhere") in error.what
    assert "ASPECTS_TRACKING_LOGS" in error.do
    del peopled.environ["ASPECTS_TRACKING_LOGS"]
    loads_both(peopled)


def test_a_folder_without_logs_is_not_taken_for_a_month_without_events(peopled: Site) -> None:
    empty = peopled.folder / "empty"
    empty.mkdir()
    peopled.environ["ASPECTS_TRACKING_LOGS"] = str(empty)
    error = refused(peopled, NoLogsError)
    assert str(empty) in error.what
    assert "ASPECTS_TRACKING_LOGS" in error.do


def test_a_missing_bucket_and_a_wrong_secret_are_told_apart(
    peopled: Site, s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3.put("tracking.log-20210601.gz", gzip.compress(enrolled("2021-05-03T00:00:00Z", learner=who(2))))
    peopled.environ["ASPECTS_TRACKING_LOGS"] = "s3://no-such-bucket/logs"
    error = refused(peopled, LogStoreError)
    assert "no-such-bucket" in error.what
    assert "ASPECTS_TRACKING_LOGS" in error.do

    peopled.environ["ASPECTS_TRACKING_LOGS"] = s3.uri
    wrong = secrets.token_hex(16)
    with monkeypatch.context() as patched:
        patched.setenv("AWS_SECRET_ACCESS_KEY", wrong)
        error = refused(peopled, LogStoreError)
    assert s3.bucket in error.what
    assert "AWS_" in error.do
    assert wrong not in str(error)
    assert s3.secret_key not in str(error)
    assert peopled.load(MONTH).ids == 1


@pytest.mark.parametrize("damage", ["truncated gz", "broken zst frame"])
def test_a_damaged_archive_is_read_around_and_the_check_names_it(peopled: Site, damage: str) -> None:
    lines = [enrolled(f"2021-05-10T00:00:{second:02d}Z", learner=who(second)) for second in range(50)]
    if damage == "truncated gz":
        path = peopled.logs / "tracking.log-20210511.gz"
        whole = gzip.compress(b"".join(lines))
        path.write_bytes(whole[: len(whole) // 2])
        word = "truncated"
    else:
        path = peopled.logs / "tracking.log-20210511.zst"
        frames = [bytearray(zstd.compress(b"".join(lines[at : at + 10]))) for at in range(0, 50, 10)]
        frames[2][len(frames[2]) // 2 :] = b"\xff" * (len(frames[2]) - len(frames[2]) // 2)
        path.write_bytes(b"".join(bytes(frame) for frame in frames))
        word = "corrupt"
    said: list[str] = []
    result = peopled.load(MONTH, said)
    assert 2 <= result.ids < 52
    (told, *_) = [line for line in said if path.name in line]
    assert word in told
    assert "at byte" in told
    finding = peopled.check(MONTH)["logs_readable"]
    assert not finding.passed
    assert "Put back whole copies of these files and load the month again" in finding.summary
    assert path.name in finding.lines[0]

    done = peopled.materialize(MONTH)
    assert done.returncode != 0, "whoever looks at the exit code must not take it for good"
    path.unlink()
    path.with_suffix(".gz").write_bytes(gzip.compress(b"".join(lines)))
    assert peopled.load(MONTH).ids == 52
    assert peopled.check(MONTH)["logs_readable"].passed


# --- ClickHouse --------------------------------------------------------------------------------------------------


def elsewhere(site: Site, *, password: str | None = None) -> None:
    """Reach the site's server as a ClickHouse of the site's own, by an address."""
    address = server.ensure_running(site.home)
    password = address.password if password is None else password
    site.environ["ASPECTS_CLICKHOUSE_URL"] = (
        f"http://{address.user}:{password}@{address.host}:{address.http_port}"
    )
    site.environ["ASPECTS_DATA_TTL_EXPRESSION"] = ""


def test_a_wrong_password_is_told_without_telling_it(peopled: Site) -> None:
    wrong = secrets.token_hex(16)
    elsewhere(peopled, password=wrong)
    error = refused(peopled, WarehouseError)
    assert "refused user aspects_pipeline" in error.what
    assert "ASPECTS_CLICKHOUSE_URL" in error.do
    assert wrong not in str(error)
    elsewhere(peopled)
    loads_both(peopled)


def test_a_server_that_is_not_there_is_named(peopled: Site) -> None:
    peopled.environ["ASPECTS_CLICKHOUSE_URL"] = "http://someone:something@127.0.0.1:9"
    peopled.environ["ASPECTS_DATA_TTL_EXPRESSION"] = ""
    error = refused(peopled, UnreachableError)
    assert "127.0.0.1:9" in error.what
    assert "ASPECTS_CLICKHOUSE_URL" in error.do
    assert "something" not in error.what


@pytest.mark.parametrize(
    ("lacking", "named"),
    [
        ("INSERT ON `xapi`.`xapi_events_all`", "INSERT"),
        ("ON `aspects_orchestration`.*", "aspects_orchestration"),
        ("system.disks", "system.disks"),
    ],
)
def test_a_missing_grant_is_named_before_anything_is_published(
    peopled: Site, lacking: str, named: str
) -> None:
    grants = pipeline_grants(schema_names(peopled.settings))
    fewer = [grant for grant in grants if lacking not in grant]
    assert fewer != grants
    stop_server(peopled.home)
    server.ensure_running(peopled.home, grants=fewer)
    elsewhere(peopled)
    error = refused(peopled, WarehouseError)
    assert "aspects_pipeline" in error.what
    assert "lacks the grant" in error.what
    assert named in error.what
    assert "sql/grants.sql" in error.do

    del peopled.environ["ASPECTS_CLICKHOUSE_URL"]
    stop_server(peopled.home)
    server.ensure_running(peopled.home, grants=grants)
    loads_both(peopled)


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site that was loaded undisturbed."""
    site = Site(tmp_path_factory.mktemp("clean"))
    site.write_samples(SAMPLES, files=3)
    site.load("2024-05")
    yield site
    stop_server(site.home)


@pytest.mark.parametrize("at", ["loading", "read 100%", "counts agree"])
@pytest.mark.parametrize("comes_back", [False, True])
def test_a_server_that_is_killed_in_mid_run_costs_another_run_at_most(
    site: Site, clean: Site, at: str, comes_back: bool
) -> None:
    site.write_samples(SAMPLES, files=3)
    site.warehouse()
    if not comes_back:
        site.environ["TESTS_PATIENCE_S"] = "3"
    run = start(site, "2024-05", "20")
    assert said(run, at)
    os.kill(server.ensure_running(site.home).pid, signal.SIGKILL)
    if comes_back:
        server.ensure_running(site.home)  # as whoever next needs it does
    output, _ = run.communicate(timeout=180)
    if run.returncode:
        assert b"Error: ClickHouse at 127.0.0.1" in output
        assert b"run again" in output
    else:
        assert comes_back
        assert site.rows() == clean.rows()
    site.load("2024-05")
    assert site.rows() == clean.rows()
    assert all(finding.passed for finding in site.check("2024-05").values())


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 120 MB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=120m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("mounting a small file system needs root")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_under_clickhouse_is_told_before_the_slice_is_inserted(
    site: Site, small_disk: Path
) -> None:
    write_people(site)
    (site.logs / "first.log.1").write_bytes(enrolled("2021-05-01T00:00:00Z"))
    (site.home / "clickhouse").mkdir(parents=True)
    small = Site(small_disk, {"ASPECTS_HOME": str(small_disk / "home")})
    small.environ |= {
        name: site.variables[name]
        for name in (
            "ASPECTS_TRACKING_LOGS",
            "ASPECTS_IDENTITIES",
            "ASPECTS_COURSES",
            "ASPECTS_TRACKING_LOG_ARCHIVE",
        )
    }
    try:
        with pytest.raises(
            WarehouseError, match=r"has \d+ MiB free .* the next slice needs \d+ MiB"
        ) as error:
            small.load(MONTH)
        assert error.value.do.startswith("Free disk space on the ClickHouse server, then run again")
        assert small.rows() == b""
        subprocess.run(["mount", "-o", "remount,size=2g", str(small_disk)], check=True)
        assert small.load(MONTH).ids == small.rows().count(b"\n") == 1
    finally:
        stop_server(small.home)


def test_a_full_disk_under_the_quarantine_is_told_with_its_setting(peopled: Site, small_disk: Path) -> None:
    with (small_disk / "filling").open("wb") as filling:
        while True:
            try:
                filling.write(b"\0" * 1_000_000)
                filling.flush()
            except OSError:
                break
    (peopled.logs / "strange.log.1").write_bytes(
        b"".join(enrolled("2021-05-03T00:00:00Z", learner=who(9_000 + number)) for number in range(500))
    )
    peopled.environ["ASPECTS_QUARANTINE"] = str(small_disk / "quarantine")
    error = refused(peopled, LogStoreError)
    assert str(small_disk) in error.what
    assert "ASPECTS_QUARANTINE" in error.do
    (small_disk / "filling").unlink()
    assert peopled.load(MONTH).ids == 2


# --- identities, keys, and where the demo must not go ------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "what", "do"),
    [
        (
            "user_id,username\n1001,someone.private\n",
            "lacks the column external_user_id",
            "user_id, username",
        ),
        (
            f"{HEADER}1001,someone.private,not-a-uuid\n",
            "row 1: external_user_id is no UUID",
            "Mend the row",
        ),
        (
            f"{HEADER}first,someone.private,\n",
            "row 1: user_id is no whole number",
            "Mend the row",
        ),
        (
            f"{HEADER}1001,someone.private,{FIRST_ID}\n1001,someone.private,{SECOND_ID}\n",
            "has 1 rows that contradict an earlier one (rows 2)",
            "Keep one row",
        ),
        (
            f"{HEADER}1001,someone.private,{FIRST_ID}\n1002,someone.private,{SECOND_ID}\n",
            "gives one username to two users",
            "Keep one row a user",
        ),
    ],
)
def test_identities_that_cannot_be_used_are_refused_by_row_and_column(
    peopled: Site, content: str, what: str, do: str
) -> None:
    (peopled.folder / "identities.csv").write_text(content)
    error = refused(peopled, IdentityError)
    assert f"ASPECTS_IDENTITIES: {(peopled.folder / 'identities.csv').as_uri()}" in error.what
    assert what in error.what
    assert do in error.do
    assert "someone.private" not in str(error)
    write_people(peopled)
    loads_both(peopled)


def test_missing_identities_are_named_with_their_setting(peopled: Site) -> None:
    (peopled.folder / "identities.csv").unlink()
    error = refused(peopled, LogStoreError)
    assert "identities.csv" in error.what
    assert "ASPECTS_IDENTITIES" in error.do


@pytest.mark.parametrize("key", ["2021-13", "2021-5", "202105", "0000-01", "2021-05-01", "May", ""])
def test_an_impossible_month_is_refused_with_the_form_to_use(peopled: Site, key: str) -> None:
    error = refused(peopled, WindowError, month=key)
    assert repr(key) in error.what
    assert "YYYY-MM" in error.do


def test_a_partition_that_does_not_exist_ends_the_command(peopled: Site) -> None:
    before = peopled.rows()
    done = peopled.materialize("2021-13")
    assert done.returncode != 0
    assert b"2021-13" in done.stdout
    assert peopled.rows() == before


def test_the_demos_logs_do_not_go_into_a_sites_clickhouse(peopled: Site) -> None:
    elsewhere(peopled)
    peopled.environ["ASPECTS_TRACKING_LOGS"] = ""
    error = refused(peopled, NoLogsError)
    assert "sample logs do not belong into a site's ClickHouse" in error.what
    assert "Set ASPECTS_TRACKING_LOGS" in error.do


def test_the_command_says_it_in_one_sentence_and_without_a_traceback_of_ours(peopled: Site) -> None:
    peopled.environ["ASPECTS_TRACKING_LOGS"] = str(peopled.folder / "nowhere")
    done = peopled.materialize(MONTH)
    assert done.returncode != 0
    assert b"does not exist" in done.stdout
    assert b"ASPECTS_TRACKING_LOGS" in done.stdout
    assert b"replay/plan.py" not in done.stdout
