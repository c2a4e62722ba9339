"""Reading all texts of a row as one value gives the same rows as reading them one by one, whatever they hold."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from services.lms_rows import LmsTables
from services.mariadb import MariaDb

from aspects_orchestration.lms.ahead import read_ahead
from aspects_orchestration.lms.blocks import Block, Portion, formed, formed_from_packed
from aspects_orchestration.lms.database import LmsDatabase
from aspects_orchestration.lms.event_sink import SINK_TABLES, Chosen, SinkTable


def rows(
    lms: LmsTables, table: SinkTable, how: str
) -> tuple[list[dict[str, Any]], int, list[int | str], list[Any]]:
    """Rows of a table as they would be sent, how many are retired, which are unusable, which were read twice."""
    import pyarrow as pa

    database = LmsDatabase(lms.reader_url)
    other = database.another()
    assert table.reading is not None
    reading = table.reading(database, Chosen())
    assert reading.packed is not None
    block = Block(table)
    read = retired = 0
    again: list[Any] = []
    unusable: list[int | str] = []

    def plainly(keys: list[Any]) -> list[Any]:
        again.extend(keys)
        assert table.reading is not None
        page = table.reading(other, Chosen(ids=tuple(keys))).page
        return [row for found in other.pages(page, size=len(keys) + 1) for row in found]

    for found in database.pages(reading.packed.page if how == "packed" else reading.page, size=3):
        portion = (
            formed_from_packed(found, table, reading, plainly)
            if how == "packed"
            else formed(found, table, reading)
        )
        assert portion.read == len(found)
        retired += portion.retired
        unusable += portion.unusable
        block.take(portion)
        read += portion.read
    cut = block.cut(Portion((), read, retired, tuple(unusable), 0))
    sent = pa.ipc.open_stream(cut.data).read_all().to_pylist()
    assert (len(sent), block.rows) == (cut.rows, 0)
    return sorted(sent, key=str), retired, unusable, again


@pytest.fixture
def hostile(mariadb: MariaDb, lms: LmsTables) -> LmsTables:
    """Users of all kinds."""
    for user in range(1, 15):
        lms.add_user(user, "ünï🦉" if user == 5 else None)
        lms.add_enrollment(
            user, user, "course-v1:A+B+C", created=None if user == 3 else "2024-05-01 01:02:03"
        )
    lms.add_retirement(4)
    lms.add_external_id(1, uuid.uuid4(), kind="lti")
    for user, bio in {
        2: "a\x1fb",
        6: "\x1f" * 30,
        7: "\0 nul",
        8: "\u2028 'quoted' \\ \"",
        9: "x" * 9_000_000,
    }.items():
        lms.execute(
            "UPDATE auth_userprofile SET bio = :bio WHERE user_id = :user", {"bio": bio, "user": user}
        )
    lms.execute(
        "UPDATE auth_userprofile SET profile_image_uploaded_at = '0000-00-00 00:00:00' WHERE user_id = 10"
    )
    lms.execute("UPDATE auth_userprofile SET year_of_birth = 0 WHERE user_id = 11")
    lms.execute("UPDATE auth_userprofile SET year_of_birth = 1999, country = 'DE' WHERE user_id = 12")
    # Columns of other character sets and collations stand beside each other on sites that are old enough.
    lms.execute(
        "ALTER TABLE auth_userprofile MODIFY city longtext CHARACTER SET latin1 COLLATE latin1_german1_ci"
    )
    lms.execute(
        "ALTER TABLE auth_userprofile MODIFY goals longtext CHARACTER SET utf8mb3 COLLATE utf8mb3_bin"
    )
    lms.execute("UPDATE auth_userprofile SET city = 'Köln', goals = 'Größe' WHERE user_id = 13")
    # Bytes that are no UTF-8, in a column that says it is.
    lms.execute("UPDATE auth_userprofile SET location = 'xéx' WHERE user_id = 14")
    lms.execute("ALTER TABLE auth_userprofile DROP FOREIGN KEY auth_userprofile_ibfk_1")
    lms.execute("ALTER TABLE auth_userprofile ENGINE = MyISAM")
    lms.execute("FLUSH TABLES")
    stored = mariadb.folder / "data" / str(lms.engine.url.database) / "auth_userprofile.MYD"
    held = stored.read_bytes()
    assert "xéx".encode() in held
    stored.write_bytes(held.replace("xéx".encode(), b"a\xff\xfeb"))
    lms.execute("FLUSH TABLES")
    return lms


@pytest.mark.parametrize("table", ["user_profile", "external_id", "course_enrollment"])
def test_both_ways_give_the_same_rows(hostile: LmsTables, table: str) -> None:
    plain = rows(hostile, SINK_TABLES[table], "plain")
    packed = rows(hostile, SINK_TABLES[table], "packed")
    assert [one for one in zip(packed[0], plain[0], strict=True) if one[0] != one[1]] == []
    assert packed[1:3] == plain[1:3]
    assert len(plain[0]) >= 13
    if table == "user_profile":
        assert {1002, 1006, 1014} <= set(packed[3])
        assert any(row["city"] == "Köln" and row["goals"] == "Größe" for row in plain[0])
        assert any(row["location"] == "a\ufffd\ufffdb" for row in plain[0])


def test_ids_that_are_none_are_told_by_both(hostile: LmsTables) -> None:
    hostile.execute(
        "UPDATE external_user_ids_externalid SET external_user_id = CONCAT('no uuid ', id) WHERE user_id IN (4, 7)"
    )
    for how in ("plain", "packed"):
        _, retired, unusable, _ = rows(hostile, SINK_TABLES["external_id"], how)
        assert (retired, unusable) == (1, [7])


def test_rows_too_long_to_be_packed_are_read_again(mariadb: MariaDb, lms: LmsTables) -> None:
    lms.add_user(1)
    lms.add_user(2)
    lms.execute(
        "UPDATE auth_userprofile SET bio = REPEAT('x', 40000000), goals = REPEAT('y', 40000000) WHERE user_id = 1"
    )
    found, _, _, again = rows(lms, SINK_TABLES["user_profile"], "packed")
    assert again == [1001]
    assert sorted(len(row["bio"]) for row in found) == [0, 40_000_000]


def test_reading_ahead_keeps_order_failures_and_ends() -> None:
    assert list(read_ahead(iter(range(100)))) == list(range(100))

    def failing() -> Iterator[int]:
        yield 1
        raise ValueError("here")

    found = read_ahead(failing())
    assert next(found) == 1
    with pytest.raises(ValueError, match="here"):
        next(found)
    closed: list[bool] = []

    def endless() -> Iterator[int]:
        try:
            while True:
                yield 1
        finally:
            closed.append(True)

    some = read_ahead(endless())
    assert [next(some), next(some)] == [1, 1]
    some.close()  # type: ignore[attr-defined]
    assert closed == [True]
