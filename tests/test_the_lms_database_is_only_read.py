"""Reading the LMS's database: whole, in order, without harm to it, and with errors that say what to do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from pydantic import SecretStr
from services.lms_rows import LmsTables
from services.mariadb import MariaDb, require_mariadb
from services.ports import free_port

from aspects_orchestration.errors import LmsError
from aspects_orchestration.lms.database import LmsDatabase, LmsUnreachableError, keyset
from aspects_orchestration.lms.tables import auth_user, auth_userprofile


@pytest.fixture(params=["lms", "lms_sqlite"])
def either(request: pytest.FixtureRequest) -> LmsTables:
    """The LMS database on MariaDB, then in SQLite."""
    return request.getfixturevalue(request.param)  # type: ignore[no-any-return]


def _users(after: object, size: int) -> sa.Select[tuple[int, str]]:
    page = keyset(auth_user.c.id, [auth_user.c.username])(after, size)
    return sa.select(page.c.id, page.c.username).order_by(page.c.id)


def test_pages_follow_the_key_and_leave_nobody_out(either: LmsTables) -> None:
    for user in (3, 1, 70_000, 20, 7):
        either.add_user(user)
    database = LmsDatabase(either.reader_url)
    for size in (1, 2, 4, 5, 6):
        told: list[int] = []
        pages = list(database.pages(_users, size=size, read=told.append))
        assert [row[0] for page in pages for row in page] == [1, 3, 7, 20, 70_000]
        assert [len(page) for page in pages] == told
        assert max(told) <= size
    assert [row for page in database.pages(_users, after=7) for row in page] == [
        (20, "user_20"),
        (70_000, "user_70000"),
    ]


def test_nothing_can_be_written(either: LmsTables) -> None:
    either.add_user(1)
    for url in (either.url, either.reader_url):
        with pytest.raises(LmsError, match=r"refused a statement that writes|lacks"):
            LmsDatabase(url).rows(sa.text("DELETE FROM auth_user"))
    assert either.execute("SELECT count(*) FROM auth_user") == [(1,)]


def test_a_page_of_large_texts_comes_in_portions(lms: LmsTables) -> None:
    for user in range(1, 7):
        lms.add_user(user, profile={"bio": "ß" * 9_000_000})
    page = keyset(auth_userprofile.c.id, [auth_userprofile.c.bio])
    portions = LmsDatabase(lms.reader_url).pages(lambda after, size: sa.select(page(after, size)))
    assert [[row[0] for row in portion] for portion in portions] == [
        [1001],
        [1002],
        [1003],
        [1004],
        [1005],
        [1006],
    ]


def test_bytes_that_are_no_text_lose_no_row(lms_sqlite: LmsTables) -> None:
    lms_sqlite.add_user(1)
    lms_sqlite.add_user(2)
    lms_sqlite.execute("UPDATE auth_user SET username = CAST(x'61ff62' AS TEXT) WHERE id = 1")
    (page,) = LmsDatabase(lms_sqlite.url).pages(_users)
    assert page == [(1, "a\ufffdb"), (2, "user_2")]


def test_bytes_that_mariadb_takes_for_text_lose_no_row(mariadb: MariaDb, lms: LmsTables) -> None:
    lms.execute("CREATE TABLE as_read (id int PRIMARY KEY, c varchar(9)) ENGINE=MyISAM CHARACTER SET utf8mb4")
    lms.execute("INSERT INTO as_read VALUES (1, 'a'), (2, 'xéx'), (3, 'b')")
    lms.execute("FLUSH TABLES")
    rows = mariadb.folder / "data" / str(lms.engine.url.database) / "as_read.MYD"
    stored = rows.read_bytes()
    assert "xéx".encode() in stored
    rows.write_bytes(stored.replace("é".encode(), b"\xff\xfe"))
    lms.execute("FLUSH TABLES")
    table = sa.table("as_read", sa.column("id", sa.Integer), sa.column("c"))
    page = keyset(table.c.id, [table.c.c])
    reader = LmsDatabase(lms.reader_url)
    pages = list(reader.pages(lambda after, size: sa.select(page(after, size)).order_by("id")))
    assert pages == [[(1, "a"), (2, "x\ufffd\ufffdx"), (3, "b")]]
    assert reader.rows(sa.select(table.c.c).order_by("id")) == [("a",), ("x\ufffd\ufffdx",), ("b",)]
    # And from a connection that has not met them yet.
    assert LmsDatabase(lms.reader_url).rows(sa.select(table.c.c).order_by("id"))[1] == ("x\ufffd\ufffdx",)


def test_a_wrong_password_is_told_and_not_shown(lms: LmsTables) -> None:
    url = sa.make_url(lms.reader_url.get_secret_value()).set(password="hunter2secret")
    with pytest.raises(LmsError, match="was refused") as refused:
        LmsDatabase(SecretStr(url.render_as_string(hide_password=False))).rows(_users(None, 1))
    assert "ASPECTS_LMS_DATABASE_URL" in str(refused.value)
    assert "hunter2secret" not in str(refused.value) + repr(refused.value)


def test_a_missing_grant_names_the_table(lms: LmsTables) -> None:
    name = lms.engine.url.database
    lms.execute(f"REVOKE SELECT ON {name}.* FROM {name}@'127.0.0.1'")
    lms.execute(f"GRANT SELECT ON {name}.auth_userprofile TO {name}@'127.0.0.1'")
    page = keyset(auth_userprofile.c.id, [auth_userprofile.c.user_id])(None, 10)
    joined = sa.select(page.c.id, auth_user.c.email).join(auth_user, auth_user.c.id == page.c.user_id)
    with pytest.raises(
        LmsError, match=r"lacks SELECT on the table auth_user\. .*GRANT SELECT ON .*`auth_user`"
    ):
        LmsDatabase(lms.reader_url).rows(joined)
    lms.execute(f"GRANT SELECT (id, username) ON {name}.auth_user TO {name}@'127.0.0.1'")
    with pytest.raises(LmsError, match=r"lacks SELECT on the table auth_user\."):
        LmsDatabase(lms.reader_url).rows(joined)
    assert LmsDatabase(lms.reader_url).missing_columns(auth_user) == frozenset()


def test_what_is_not_there_is_named(either: LmsTables) -> None:
    database = LmsDatabase(either.reader_url)
    with pytest.raises(LmsError, match="has no table nothing_like_it"):
        database.rows(sa.text("SELECT 1 FROM nothing_like_it"))
    with pytest.raises(LmsError, match="has no column shoe_size"):
        database.rows(sa.text("SELECT shoe_size FROM auth_user"))
    either.execute("ALTER TABLE auth_userprofile DROP COLUMN phone_number")
    assert database.missing_columns(auth_userprofile) == {"phone_number"}
    assert database.missing_columns(auth_user) == frozenset()


def test_urls_that_cannot_be_used_are_refused_without_showing_them(tmp_path: Path) -> None:
    for url in (
        "mysql+pymysql://u:hunter2@h:x/openedx",
        "oracle://u:hunter2@h/openedx",
        "mysql+pymysql://u:hunter2@h",
    ):
        with pytest.raises(LmsError, match="ASPECTS_LMS_DATABASE_URL") as refused:
            LmsDatabase(SecretStr(url))
        assert "hunter2" not in str(refused.value)
    absent = LmsDatabase(SecretStr(f"sqlite:///{tmp_path / 'absent.sqlite'}"))
    with pytest.raises(LmsError, match="cannot be opened"):
        absent.rows(_users(None, 1))
    assert not (tmp_path / "absent.sqlite").exists()
    (tmp_path / "text").write_text("no database, just text" * 100)
    with pytest.raises(LmsError, match="cannot be read by SQLite"):
        LmsDatabase(SecretStr(f"sqlite:///{tmp_path / 'text'}")).rows(_users(None, 1))


@pytest.mark.parametrize("host", ["no-such-host.invalid", "127.0.0.1"])
def test_a_host_that_is_not_there_is_told(host: str) -> None:
    url = SecretStr(f"mysql+pymysql://u:p@{host}:{free_port()}/openedx")
    with pytest.raises(LmsUnreachableError, match="does not answer"):
        LmsDatabase(url).rows(_users(None, 1))


@pytest.fixture
def replica(tmp_path: Path) -> Iterator[MariaDb]:
    """A server of this test's own, to be stopped."""
    require_mariadb()
    server = MariaDb(tmp_path, free_port())
    server.start()
    yield server
    server.stop()


def test_a_replica_that_goes_away_is_waited_for(replica: MariaDb) -> None:
    lms = replica.database()
    for user in range(1, 31):
        lms.add_user(user, external_id=None, profile=False)
    said: list[str] = []
    read: list[int] = []

    def say(text: str) -> None:
        said.append(text)
        replica.start()

    for portion in LmsDatabase(lms.reader_url).pages(_users, size=4, say=say):
        read += [row[0] for row in portion]
        if len(read) == 12:
            replica.stop()
    assert read == list(range(1, 31))
    assert len(said) == 1
    assert "does not answer" in said[0]
    replica.stop()
    with pytest.raises(LmsUnreachableError, match="then run again"):
        list(LmsDatabase(lms.reader_url, patience_s=0).pages(_users))
