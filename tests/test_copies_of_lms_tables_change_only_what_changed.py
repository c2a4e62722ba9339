"""A copy of an LMS table inserts what is new or has changed, once, and takes just what it was asked for."""

from __future__ import annotations

import os
import signal
import subprocess
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from services.lms_rows import LmsTables
from services.site import Site

from aspects_orchestration.errors import LmsError, WarehouseError
from aspects_orchestration.lms import event_sink
from aspects_orchestration.lms.copy import CopyRequest, CopyResult, copy_table
from aspects_orchestration.lms.database import LmsDatabase
from aspects_orchestration.lms.event_sink import SINK_TABLES
from aspects_orchestration.resources.clickhouse import schema_names
from aspects_orchestration.warehouse.lock import LockedError, locked


@pytest.fixture
def site(shared_site: Site) -> Site:
    """On a server that these tests share."""
    return shared_site


def copy(site: Site, lms: LmsTables, table: str, said: list[str] | None = None, **request: Any) -> CopyResult:
    """Copy a table as the assets do."""
    return copy_table(
        LmsDatabase(lms.reader_url),
        site.warehouse(),
        schema_names(site.settings),
        SINK_TABLES[table],
        CopyRequest(**request),
        enable_pii=True,
        say=said.append if said is not None else lambda _: None,
    )


def standing(site: Site, table: str) -> bytes:
    """All rows, newest dump or not, without their marks."""
    return site.sql(
        f"SELECT * EXCEPT (dump_id, time_last_dumped) FROM event_sink.{table} ORDER BY ALL", admin=True
    )


def ids(site: Site, table: str = "user_profile", column: str = "user_id") -> list[int]:
    """A column of a table, sorted."""
    return [
        int(one)
        for one in site.sql(f"SELECT {column} FROM event_sink.{table} ORDER BY 1", admin=True).split()
    ]


@pytest.fixture
def users(lms_sqlite: LmsTables) -> LmsTables:
    """Twenty users with profiles and external ids."""
    for user in range(1, 21):
        lms_sqlite.add_user(user)
    return lms_sqlite


@pytest.mark.parametrize("table", ["user_profile", "external_id"])
def test_run_again_inserts_nothing(site: Site, users: LmsTables, table: str) -> None:
    first = copy(site, users, table)
    assert (first.inserted, first.account.read, first.keys, first.unchanged) == (20, 20, 20, 0)
    before = site.sql(f"SELECT * FROM event_sink.{table} ORDER BY ALL", admin=True)
    for mode in ("changed", "compare"):
        again = copy(site, users, table, mode=mode)
        assert (again.inserted, again.unchanged) == (0, again.account.read)
    assert site.sql(f"SELECT * FROM event_sink.{table} ORDER BY ALL", admin=True) == before


def test_what_changed_is_inserted_beside_what_was(site: Site, users: LmsTables) -> None:
    copy(site, users, "user_profile")
    users.execute("UPDATE auth_userprofile SET city = 'Ulm' WHERE user_id = 7")
    users.execute("UPDATE auth_user SET email = 'new@example.com' WHERE id = 9")
    users.add_user(30)
    done = copy(site, users, "user_profile")
    assert (done.inserted, done.unchanged, done.keys, done.rows) == (3, 18, 21, 23)
    newest = site.sql(
        "SELECT user_id, argMax(city, time_last_dumped), argMax(email, time_last_dumped) FROM event_sink.user_profile"
        " WHERE user_id IN (7, 9, 30) GROUP BY user_id ORDER BY user_id",
        admin=True,
    )
    assert newest == b"7\tUlm\t7@example.com\n9\t\tnew@example.com\n30\t\t30@example.com\n"
    # And back again: the newest content counts, not any that ever stood there.
    users.execute("UPDATE auth_userprofile SET city = NULL WHERE user_id = 7")
    assert copy(site, users, "user_profile").inserted == 1


def test_rows_that_say_when_they_were_modified_are_read_from_there_on(site: Site, users: LmsTables) -> None:
    assert copy(site, users, "external_id").modified_since is None
    users.add_user(40, profile=False, external_id=None)
    users.add_external_id(40, uuid.UUID(int=40), modified="2099-01-01 00:00:00.000000")
    done = copy(site, users, "external_id")
    assert done.modified_since is not None
    assert (done.account.read, done.inserted) == (1, 1)
    assert copy(site, users, "external_id", mode="compare").account.read == 21
    # Rows that have gone from the copy (somebody emptied it) are found although they were not modified.
    site.sql("TRUNCATE TABLE event_sink.external_id", admin=True)
    said: list[str] = []
    assert copy(site, users, "external_id", said).inserted == 21
    assert any("rows have gone from it" in one for one in said)


def test_a_refresh_inserts_every_row_once_more(site: Site, users: LmsTables) -> None:
    first = copy(site, users, "user_profile")
    again = copy(site, users, "user_profile", mode="refresh")
    assert (again.inserted, again.keys, again.rows) == (20, 20, 40)
    assert again.dump_id != first.dump_id
    assert again.time_last_dumped > first.time_last_dumped


def test_a_dry_run_says_what_a_run_then_does(site: Site, users: LmsTables) -> None:
    copy(site, users, "user_profile", ids=(1001, 1002))
    planned = copy(site, users, "user_profile", dry_run=True)
    assert (planned.inserted, planned.unchanged, planned.rows) == (18, 2, 2)
    assert ids(site) == [1, 2]
    done = copy(site, users, "user_profile")
    assert (done.inserted, done.unchanged) == (planned.inserted, planned.unchanged)
    assert copy(site, users, "user_profile", dry_run=True, mode="refresh").inserted == 20
    assert (
        copy(site, users, "user_profile", dry_run=True, mode="refresh", limit=7, batch_size=3).inserted == 7
    )
    left = site.sql(
        "SELECT name FROM system.tables WHERE name LIKE 'lms_n%' OR name LIKE 'lock_lms%'", admin=True
    )
    assert left == b""


def test_ids_skips_starts_and_limits_are_exact(site: Site, users: LmsTables) -> None:
    copy(site, users, "user_profile", ids=(1003, 1005, 1007, 9999), ids_to_skip=(1005,))
    assert ids(site) == [3, 7]
    copy(site, users, "user_profile", start_after=1018)
    assert ids(site) == [3, 7, 19, 20]
    done = copy(site, users, "user_profile", limit=5, batch_size=3)
    assert done.inserted == 5
    assert ids(site) == [1, 2, 3, 4, 5, 6, 7, 19, 20]
    # The same once more takes the next ones.
    assert copy(site, users, "user_profile", limit=5, batch_size=10_000).inserted == 5
    assert ids(site) == [*range(1, 13), 19, 20]
    assert copy(site, users, "user_profile", limit=0).inserted == 0
    assert copy(site, users, "user_profile").inserted == 6


def test_keys_that_are_texts_work_too(site: Site, lms: LmsTables) -> None:
    keys = [f"course-v1:Org+C{number}+R" for number in range(1, 8)]
    for key in keys:
        lms.add_course(key)
    copy(site, lms, "course_overviews", ids=(keys[5],))
    copy(site, lms, "course_overviews", start_after=keys[3], ids_to_skip=(keys[4],), batch_size=1)
    found = (
        site.sql("SELECT course_key FROM event_sink.course_overviews ORDER BY 1", admin=True).decode().split()
    )
    assert found == keys[5:]
    assert copy(site, lms, "course_overviews", batch_size=2).inserted == 5
    lms.add_taxonomy(1, "T")
    lms.add_tag(1, "a", taxonomy=1)
    lms.add_object_tag(1, keys[0], taxonomy=1, tag=1)
    # Not `modified`, and changed all the same.
    assert copy(site, lms, "course_overviews").inserted == 1


@pytest.mark.parametrize("few", [0, 50_000])
@pytest.mark.parametrize("kind", ["lms", "lms_sqlite"])
def test_the_retired_are_left_out_and_counted(
    site: Site, kind: str, few: int, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    """Where they are few they are known beforehand, where they are many each row is asked."""
    monkeypatch.setattr(event_sink, "_FEW", few)
    users: LmsTables = request.getfixturevalue(kind)
    for user in range(1, 21):
        users.add_user(user)
    users.add_retirement(4)
    users.add_retirement(5, "PENDING")
    users.add_retirement(6, "ERRORED")
    for table in ("user_profile", "external_id"):
        done = copy(site, users, table)
        assert (done.account.read, done.account.retired, done.inserted) == (20, 1, 19)
        assert 4 not in ids(site, table)


def test_ids_that_are_none_are_counted_and_named(site: Site, users: LmsTables) -> None:
    users.execute("UPDATE external_user_ids_externalid SET external_user_id = 'not a uuid' WHERE user_id = 4")
    done = copy(site, users, "external_id")
    assert (done.account.unusable, done.unusable_ids, done.inserted) == (1, (4,), 19)
    assert done.account.read == done.account.offered + done.account.retired + done.account.unusable


def test_rows_that_hurt_are_not_lost(site: Site, lms: LmsTables) -> None:
    for user in range(1, 6):
        lms.add_user(user)
    lms.execute(
        "UPDATE auth_userprofile SET profile_image_uploaded_at = '0000-00-00 00:00:00' WHERE user_id = 1"
    )
    lms.execute(
        "UPDATE auth_userprofile SET profile_image_uploaded_at = '2024-00-00 00:00:00' WHERE user_id = 2"
    )
    lms.execute("UPDATE auth_userprofile SET bio = REPEAT('🦉', 2500000) WHERE user_id = 3")
    lms.execute("SET FOREIGN_KEY_CHECKS = 0")
    lms.add_course("course-v1:A+B+C", None, start="0000-00-00 00:00:00", lowest_passing_grade=None)
    done = copy(site, lms, "user_profile")
    assert done.inserted == 5
    found = site.sql(
        "SELECT user_id, profile_image_uploaded_at, length(bio) FROM event_sink.user_profile ORDER BY 1",
        admin=True,
    )
    assert found == b"1\t\t0\n2\t\t0\n3\t\t10000000\n4\t\t0\n5\t\t0\n"
    assert copy(site, lms, "course_overviews").inserted == 1
    row = site.sql(
        "SELECT course_start, JSONExtractFloat(course_data_json, 'lowest_passing_grade') FROM event_sink.course_overviews",
        admin=True,
    )
    assert row == b"\t0\n"
    assert (copy(site, lms, "user_profile").inserted, copy(site, lms, "course_overviews").inserted) == (0, 0)


def test_a_row_without_its_user_is_not_lost(site: Site, users: LmsTables) -> None:
    users.execute("DELETE FROM auth_user WHERE id = 3")
    users.add_enrollment(1, 3, "course-v1:A+B+C")
    for table in ("user_profile", "external_id", "course_enrollment"):
        copy(site, users, table)
        assert site.sql(f"SELECT username FROM event_sink.{table} WHERE user_id = 3", admin=True) == b"\n"


def test_without_personal_data_no_name_is_written(site: Site, users: LmsTables) -> None:
    users.add_enrollment(1, 3, "course-v1:A+B+C")
    for table in ("user_profile", "external_id"):
        with pytest.raises(LmsError, match="ASPECTS_ENABLE_PII is false"):
            copy_table(
                LmsDatabase(users.reader_url),
                site.warehouse(),
                schema_names(site.settings),
                SINK_TABLES[table],
                CopyRequest(),
                enable_pii=False,
            )
        assert standing(site, table) == b""
    copy_table(
        LmsDatabase(users.reader_url),
        site.warehouse(),
        schema_names(site.settings),
        SINK_TABLES["course_enrollment"],
        CopyRequest(),
        enable_pii=False,
    )
    assert b"user_" not in standing(site, "course_enrollment")
    assert ids(site, "course_enrollment") == [3]


def test_a_table_that_is_not_upstreams_is_not_filled(site: Site, users: LmsTables) -> None:
    site.warehouse()
    site.sql("ALTER TABLE event_sink.user_profile ADD COLUMN surprise String AFTER name", admin=True)
    with pytest.raises(WarehouseError, match="surprise"):
        copy(site, users, "user_profile")


def test_one_copy_of_a_table_at_a_time(site: Site, users: LmsTables) -> None:
    with locked(site.warehouse(), "aspects_orchestration", "lock_lms_user_profile"):
        with pytest.raises(LockedError):
            copy(site, users, "user_profile")
        assert copy(site, users, "external_id").inserted == 20


@pytest.fixture
def many(lms: LmsTables) -> Iterator[LmsTables]:
    """Two thousand users on MariaDB."""
    lms.execute(
        "INSERT INTO auth_user SELECT seq, '!', NULL, 0, CONCAT('user_', seq), '', '', CONCAT(seq, '@example.com'), 0, 1,"
        " '2024-05-01 12:00:00' FROM seq_1_to_2000"
    )
    lms.execute(
        "INSERT INTO auth_userprofile (id, user_id, name, meta, courseware, language, location)"
        " SELECT seq, seq, CONCAT('Name ', seq), '', '', '', '' FROM seq_1_to_2000"
    )
    return lms


@pytest.mark.parametrize("slices", [1, 3, 5])
def test_killed_anywhere_and_run_again_it_goes_on_and_doubles_nothing(
    site: Site, many: LmsTables, slices: int
) -> None:
    site.environ["ASPECTS_LMS_DATABASE_URL"] = many.reader_url.get_secret_value()
    site.warehouse()
    script = os.fspath(__import__("pathlib").Path(__file__).parent / "services" / "copy_once.py")
    killed = site.popen(
        "-u", script, "user_profile", "200", "70", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert killed.stdout is not None
    seen = 0
    for line in killed.stdout:
        seen += "rows read, up to" in line
        if seen == slices:
            killed.send_signal(signal.SIGKILL)
            break
    killed.wait()
    before = len(ids(site))
    assert 0 < before < 2000
    said: list[str] = []
    done = copy(site, many, "user_profile", said)
    assert done.resumed_after is not None
    assert "going on behind" in "".join(said)
    assert ids(site) == list(range(1, 2001))
    assert (done.inserted, done.account.read) == (2000, 2000)
    assert (
        site.sql("SELECT uniqExact(dump_id, time_last_dumped) FROM event_sink.user_profile", admin=True)
        == b"1\n"
    )
    assert copy(site, many, "user_profile").inserted == 0
