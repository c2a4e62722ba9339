"""Promise 3, with the LMS database: who is who is what the LMS says, asked for many at once, and one answer a run."""

from __future__ import annotations

import os
import pickle
import threading
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest
from pydantic import SecretStr
from services.events import COURSE, enrolled, quarantine_records, statements, who
from services.lms_rows import LmsTables
from services.mariadb import MariaDb
from services.site import Site
from sqlalchemy import event as sqlalchemy_event

from aspects_orchestration.errors import LmsError
from aspects_orchestration.lms.database import LmsDatabase
from aspects_orchestration.lms.identities import LmsCourses, LmsUsers
from aspects_orchestration.replay.missing import MissingKey, read_report
from aspects_orchestration.replay.plan import not_replayed, site_source
from aspects_orchestration.tracking.stores import S3Options, open_store
from aspects_orchestration.xapi.erb import Identity
from aspects_orchestration.xapi.identities import answers_of
from aspects_orchestration.xapi.identities_kept import KeptCourses, KeptIdentities, SharedAnswers
from aspects_orchestration.xapi.identities_lookups import Found, UsersInOrder

MONTH = "2021-06"
GONE = "course-v1:Gone+X0+1999"
STRANGER = who(4_000)


@pytest.fixture(params=["mariadb", "sqlite"])
def tables(request: pytest.FixtureRequest) -> LmsTables:
    found: LmsTables = request.getfixturevalue("lms" if request.param == "mariadb" else "lms_sqlite")
    return found


def known(tables: LmsTables, *numbers: int) -> None:
    """Learners of the samples, as the LMS knows them, and their course."""
    for number in numbers:
        one = who(number)
        tables.add_user(one.user_id, one.username, email=one.email, external_id=one.external_user_id)
    tables.add_course(COURSE, "A course of the LMS")


def from_lms(site: Site, tables: LmsTables) -> None:
    site.environ |= {
        "ASPECTS_LMS_DATABASE_URL": tables.reader_url.get_secret_value(),
        "ASPECTS_IDENTITIES": "",
        "ASPECTS_COURSES": "",
    }
    assert site.settings.identities_source == site.settings.courses_source == "lms"


def report(site: Site) -> list[MissingKey]:
    files = [
        file
        for file in not_replayed(site.settings, MONTH, S3Options())
        if file.uri.endswith("missing.jsonl.gz")
    ]
    return [
        one for file in files for one in read_report(open_store(file.uri, setting="ASPECTS_QUARANTINE"), file)
    ]


@pytest.mark.parametrize("actor_type", ["external_id", "mbox"])
def test_actors_and_courses_are_the_lmss_and_who_is_missing_is_listed_in_quarantine_alone(
    site: Site, tables: LmsTables, actor_type: str
) -> None:
    known(tables, 0, 1, 2)
    tables.add_user(who(3).user_id, who(3).username, external_id=None, email=who(3).email)
    from_lms(site, tables)
    site.environ["XAPI_AGENT_IFI_TYPE"] = actor_type
    by_name = {"context": {"course_id": COURSE, "org_id": "X", "user_id": None, "path": "/"}}
    lines = [
        enrolled("2021-06-01T00:00:00Z", learner=who(0)),
        enrolled("2021-06-01T00:00:01Z", learner=who(1)),
        enrolled("2021-06-01T00:00:03Z", learner=who(3)),
        enrolled("2021-06-02T00:00:00Z", learner=STRANGER),
        enrolled("2021-06-02T00:00:01Z", learner=STRANGER),
        enrolled("2021-06-02T00:00:02Z", course=GONE),
    ]
    named = orjson.loads(enrolled("2021-06-01T00:00:02Z", learner=who(2), **by_name))
    del named["event"]["user_id"]
    lines.append(orjson.dumps(named) + b"\n")
    (site.logs / "people.log.1").write_bytes(b"".join(lines))
    said: list[str] = []

    result = site.load(MONTH, said)

    # Without an external id, who is known is missing where statements carry that id, and not where they carry addresses.
    without_id = actor_type == "external_id"
    expected = [0, 1, 2] if without_id else [0, 1, 2, 3]
    actors = [one["actor"] for one in statements(site, MONTH)]
    if without_id:
        assert [one["account"]["name"] for one in actors] == [who(n).external_user_id for n in expected]
    else:
        assert [one["mbox"] for one in actors] == [f"mailto:{who(n).email}" for n in expected]
    assert {one["object"]["definition"]["name"]["en"] for one in statements(site, MONTH)} == {
        "A course of the LMS"
    }
    assert result.account.total.quarantined == {
        "unknown_user": 2,
        "unknown_course": 1,
        **({"no_external_id": 1} if without_id else {}),
    }
    users = [MissingKey("users", str(STRANGER.user_id), 2)]
    if without_id:
        users.append(MissingKey("users", str(who(3).user_id), 1))
    assert sorted(report(site), key=lambda one: (one.kind, -one.lines)) == [
        MissingKey("courses", GONE, 1),
        *users,
    ]
    assert dict(result.account.missing) == {"users": len(users), "courses": 1}
    assert any(f"does not know {len(users)} users and 1 courses" in line for line in said)
    record = orjson.dumps(result.as_json()) + "".join(said).encode()
    assert str(STRANGER.user_id).encode() not in record
    assert all("missing" in one for one in quarantine_records(site.folder / "archive"))
    # What the workers knew of users went with the run.
    assert not list((site.home / "identities").glob("answers*"))


def find(
    tables: LmsTables, ids: Sequence[int] = (), names: Sequence[str] = (), *, with_email: bool = False
) -> Found:
    return LmsUsers(LmsDatabase(tables.reader_url), with_email=with_email).find(ids, names)


def test_a_username_from_before_a_retirement_still_means_its_user(tables: LmsTables) -> None:
    tables.add_user(7, "retired__user_00000007")
    tables.add_retirement(7)
    tables.add_user(8, "user_8")
    found = find(tables, [7], ["user_7", "USER_7", "user_8", "nobody"]).by_username
    assert {name: one.user_id for name, one in found.items()} == {"user_7": 7, "USER_7": 7, "user_8": 8}
    assert found["user_7"].external_id == str(uuid.UUID(int=7))


def test_who_has_the_name_now_comes_before_who_had_it(tables: LmsTables) -> None:
    tables.add_user(7, "retired__user_00000007")
    tables.add_retirement(7)
    tables.add_user(9, "user_7")
    assert find(tables, [], ["user_7"]).by_username["user_7"].user_id == 9


def test_names_are_compared_by_the_collation_of_their_column(lms: LmsTables) -> None:
    lms.add_user(1, "Alice")
    lms.add_user(2, "bob")
    found = find(lms, [], ["alice", "Alice", "ALICE ", "bob", "carol"]).by_username
    assert {name: one.user_id for name, one in found.items()} == {
        "alice": 1,
        "Alice": 1,
        "ALICE ": 1,
        "bob": 2,
    }


def test_the_address_of_a_retired_user_is_nobodys(tables: LmsTables) -> None:
    tables.add_user(7, "retired__user_00000007", email="retired__user_00000007@retired.invalid")
    tables.add_user(8, email="gone@example.org")
    tables.add_retirement(8, "PENDING")
    tables.execute(
        "UPDATE user_api_userretirementstatus SET retired_email = 'gone@example.org' WHERE user_id = 8"
    )
    tables.add_user(9, email="here@example.org")
    found = find(tables, [7, 8, 9], with_email=True).by_id
    assert {user_id: one.email for user_id, one in found.items()} == {7: None, 8: None, 9: "here@example.org"}


def test_only_the_xapi_id_names_an_actor(tables: LmsTables) -> None:
    tables.add_user(1, external_id=None)
    tables.add_external_id(1, uuid.UUID(int=99), kind="lti")
    tables.add_user(2)
    tables.add_external_id(2, uuid.UUID(int=98), kind="caliper")
    found = find(tables, [1, 2, 3]).by_id
    assert {user_id: one.external_id for user_id, one in found.items()} == {1: None, 2: str(uuid.UUID(int=2))}


def test_a_chunks_users_are_asked_for_in_one_query(lms: LmsTables) -> None:
    for number in range(1, 21):
        lms.add_user(number, profile=False)
    database = LmsDatabase(lms.reader_url)
    sent: list[str] = []
    sqlalchemy_event.listen(database._engine, "before_cursor_execute", lambda *args: sent.append(args[2]))
    identities = KeptIdentities(LmsUsers(database, with_email=False))
    identities.prefetch(set(range(1, 31)), set())
    assert [identities.by_id(number) is not None for number in (1, 20, 21)] == [True, True, False]
    assert len([one for one in sent if one.startswith("SELECT auth_user")]) == 1
    identities.prefetch({-1, 2**31, 2**70}, {"\0", "x" * 300, "\ud800"})
    assert identities.by_id(2**70) is None
    assert identities.by_username("\ud800") is None
    assert len([one for one in sent if one.startswith("SELECT auth_user")]) == 1


def test_courses_without_a_name_are_known(tables: LmsTables) -> None:
    tables.add_course("course-v1:A+B+C", None)
    courses = LmsCourses(LmsDatabase(tables.reader_url))
    assert courses.display_name("course-v1:A+B+C") == ""
    assert courses.display_name("course-v1:A+B+D") is None


class Changing:
    """A source that answers otherwise each time it is asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[Sequence[int], Sequence[str]]] = []

    def find(self, user_ids: Sequence[int], usernames: Sequence[str]) -> Found:
        self.asked.append((user_ids, usernames))
        name = f"name {len(self.asked)}"
        return Found(
            {key: Identity(key, name, None, None) for key in user_ids if key % 2},
            {key: Identity(0, name, None, None) for key in usernames},
        )

    def display_name(self, course_key: str) -> str | None:
        self.asked.append(((), (course_key,)))
        return f"name {len(self.asked)}"


def test_the_first_answer_of_a_run_stands_for_all_its_workers(tmp_path: Path) -> None:
    path = tmp_path / "identities" / "answers.sqlite"
    first, second = Changing(), Changing()
    one = KeptIdentities(first, kept=1, answers=SharedAnswers(path))
    other = KeptIdentities(second, kept=1, answers=SharedAnswers(path))
    one.prefetch({1, 2}, {"a"})
    other.prefetch({1, 2, 3}, {"a", "1"})
    assert [other.by_id(key) for key in (1, 2, 3)] == [
        Identity(1, "name 1", None, None),
        None,
        Identity(3, "name 1", None, None),
    ]
    assert second.asked == [([3], ["1"])]
    # Forgotten here, and still the same.
    one.prefetch({5}, set())
    assert one.by_id(1) == Identity(1, "name 1", None, None)
    assert one.by_username("a") == other.by_username("a")
    courses = [KeptCourses(lookup, answers=SharedAnswers(path)) for lookup in (first, second)]
    assert len({course.display_name("c") for course in courses}) == 1
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_so_many_are_kept_and_the_least_lately_used_go_first() -> None:
    source = Changing()
    identities = KeptIdentities(source, kept=100)
    for first in range(0, 10_000, 50):
        identities.prefetch(set(range(first, first + 50)) | {1}, set())
        assert identities.by_id(1) == Identity(1, "name 1", None, None)
        assert len(identities._at_hand) <= 101
    asked = len(source.asked)
    assert identities.by_id(9_999) is not None
    assert len(source.asked) == asked
    identities.by_id(3)
    assert len(source.asked) == asked + 1


class Told:
    def __init__(self, **by_name: Identity) -> None:
        self.by_name = by_name
        self.asked: list[str] = []

    def find(self, user_ids: Sequence[int], usernames: Sequence[str]) -> Found:
        self.asked += [*map(str, user_ids), *usernames]
        return Found({}, {name: self.by_name[name] for name in usernames if name in self.by_name})


def test_a_later_source_is_asked_for_whom_the_first_does_not_know_well_enough() -> None:
    a, b, c = (Identity(n, "x", str(n), None) for n in range(3))
    incomplete = Identity(1, "x", None, None)
    first, second = Told(a=a, b=incomplete, d=incomplete), Told(a=c, b=b, c=c)
    found = UsersInOrder([first, second], with_email=False).find([], ["a", "b", "c", "d", "e"]).by_username
    assert found == {"a": a, "b": b, "c": c, "d": incomplete}
    assert second.asked == ["b", "c", "d", "e"]


def test_sources_are_believed_in_the_order_that_was_asked_for(site: Site, lms_sqlite: LmsTables) -> None:
    known(lms_sqlite, 0)
    from_lms(site, lms_sqlite)
    (site.folder / "more.csv").write_text(
        "user_id,username,external_user_id\n"
        f"{who(0).user_id},{who(0).username},{uuid.UUID(int=77)}\n"
        f"{who(1).user_id},{who(1).username},{who(1).external_user_id}\n",
        encoding="utf-8",
    )
    (site.logs / "people.log.1").write_bytes(
        enrolled("2021-06-01T00:00:00Z", learner=who(0)) + enrolled("2021-06-01T00:00:01Z", learner=who(1))
    )
    assert dict(site.load(MONTH).account.total.quarantined) == {"unknown_user": 1}
    site.environ["ASPECTS_IDENTITIES"] = f"lms, {site.folder / 'more.csv'}, event_sink"
    site.load(MONTH)
    actors = [one["actor"]["account"]["name"] for one in statements(site, MONTH)]
    assert actors == [who(0).external_user_id, who(1).external_user_id]


def test_the_password_of_the_lms_goes_to_workers_and_is_shown_nowhere(site: Site, lms: LmsTables) -> None:
    known(lms, 0)
    from_lms(site, lms)
    (site.logs / "people.log.1").write_bytes(enrolled("2021-06-01T00:00:00Z"))
    password = lms.reader_url.get_secret_value().split(":")[2].split("@")[0]
    plan = site.plan(MONTH, site.warehouse())
    assert password not in repr(plan)
    assert password not in " ".join(plan.site.names)
    sent: Any = pickle.loads(pickle.dumps(plan.site))  # noqa: S301  as a worker is sent it
    assert sent.lms_url.get_secret_value() == lms.reader_url.get_secret_value()
    done = site.materialize(MONTH)
    assert done.returncode == 0, done.stdout.decode()
    assert password.encode() not in done.stdout
    stored = b"".join(path.read_bytes() for path in (site.folder / "dagster").rglob("*") if path.is_file())
    assert b"xapi_events_all" in stored
    assert password.encode() not in stored


def test_a_password_that_is_wrong_says_what_to_do_and_stages_nothing(site: Site, lms: LmsTables) -> None:
    known(lms, 0)
    from_lms(site, lms)
    site.environ["ASPECTS_LMS_DATABASE_URL"] = SecretStr(
        lms.reader_url.get_secret_value().replace("@127", "wrong@127")
    ).get_secret_value()
    (site.logs / "people.log.1").write_bytes(enrolled("2021-06-01T00:00:00Z"))
    with pytest.raises(Exception, match="ASPECTS_LMS_DATABASE_URL") as refused:
        site.load(MONTH)
    assert "wrong" not in str(refused.value).lower().replace("wrong password", "")
    assert site.rows() == b""


def test_a_replica_that_restarts_is_waited_for(mariadb: MariaDb, lms: LmsTables) -> None:
    lms.add_user(1)
    users = LmsUsers(LmsDatabase(lms.reader_url), with_email=False)
    assert set(users.find([1], []).by_id) == {1}
    mariadb.stop()
    starter = threading.Timer(1.0, mariadb.start)
    starter.start()
    try:
        assert set(users.find([1, 2], []).by_id) == {1}
    finally:
        starter.join()


def test_a_missing_grant_is_named_with_its_table(lms: LmsTables) -> None:
    lms.add_user(1)
    name = lms.engine.url.database
    lms.execute(f"REVOKE SELECT ON {name}.* FROM {name}@'127.0.0.1'")
    for table in ("auth_user", "external_user_ids_externalid", "external_user_ids_externalidtype"):
        lms.execute(f"GRANT SELECT ON {name}.{table} TO {name}@'127.0.0.1'")
    users = LmsUsers(LmsDatabase(lms.reader_url), with_email=False)
    assert set(users.find([1], ["user_1"]).by_username) == {"user_1"}
    with pytest.raises(LmsError, match="user_api_userretirementstatus"):
        users.find([], ["nobody"])


def test_what_a_killed_run_leaves_behind_is_deleted_after_a_day(site: Site, lms_sqlite: LmsTables) -> None:
    from_lms(site, lms_sqlite)
    left = answers_of(site.home / "identities", "a run that was killed")
    SharedAnswers(left)
    site_source(site.settings, S3Options(), run_id="another")
    assert left.exists()
    yesterday = time.time() - 24 * 3600 - 1
    os.utime(left, (yesterday, yesterday))
    site_source(site.settings, S3Options(), run_id="another")
    assert not left.exists()
