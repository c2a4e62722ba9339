"""Destination ralph, with a real Ralph before a real ClickHouse: all goes in, once, and what does not is accounted for."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydantic import SecretStr
from services.events import enrolled, peopled_site, quarantine_records, statements, who
from services.ralph import Ralph
from services.runs import kill, said, start
from services.site import Site

from aspects_orchestration.errors import LrsError, SettingsError
from aspects_orchestration.lrs.pace import Pace
from aspects_orchestration.lrs.ralph import Ralph as Connection
from aspects_orchestration.lrs.ralph import RalphAccess
from aspects_orchestration.lrs.send import CANNOT_STORE, INVALID, TAKEN, THERE, Item, Patience, Sender
from aspects_orchestration.replay import through_ralph
from aspects_orchestration.replay.destinations import Destination, DestinationError
from aspects_orchestration.replay.plan import Mode
from aspects_orchestration.replay.result import LoadResult
from aspects_orchestration.samples import SampleSpec
from aspects_orchestration.warehouse import server

PASSWORD = "what Ralph's user knows"
ROOT = Path(__file__).resolve().parents[1]


@dataclass
class Town:
    """A site whose statements go through a Ralph of its own."""

    site: Site
    ralph: Ralph

    def environment(self, **more: str) -> dict[str, str]:
        """The settings that name Ralph."""
        port = str(self.ralph.port)
        return {
            "RALPH_HOST": "127.0.0.1",
            "RALPH_PORT": port,
            "RALPH_LMS_USERNAME": "lms",
            "RALPH_LMS_PASSWORD": PASSWORD,
            **more,
        }

    def load(self, month: str, told: list[str] | None = None, **request: object) -> LoadResult:
        """Load a month through Ralph."""
        return self.site.load(month, told, destination=Destination.RALPH, **request)

    def access(self, *, name: str = "lms", password: str = PASSWORD, answer_s: float = 30.0) -> RalphAccess:
        """Ralph as a client reaches it."""
        url = f"http://127.0.0.1:{self.ralph.port}"
        return RalphAccess(url, name, SecretStr(password), answer_s=answer_s)

    def write_days(self, month: str, lines: int, **event: object) -> Path:
        """A log with a line each ten minutes of a month."""
        moments = (
            f"{month}-{1 + n // 144:02d}T{n // 6 % 24:02d}:{n % 6}0:00.000001+00:00" for n in range(lines)
        )
        log = self.site.logs / f"{month}.log.1"
        log.write_bytes(b"".join(enrolled(one, **event) for one in moments))  # type: ignore[arg-type]
        return log

    def rows(self, month: str) -> bytes:
        """Ids and times that stand in the raw table, each row."""
        when = f"toYYYYMM(emission_time) = {month.replace('-', '')}"
        ids = f"SELECT event_id, emission_time FROM xapi.xapi_events_all WHERE {when} ORDER BY ALL FORMAT TSV"
        return self.site.sql(ids)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, ralph_program: Path) -> Iterator[Town]:
    for site in peopled_site(tmp_path_factory):
        site.warehouse()
        folder = tmp_path_factory.mktemp("ralph")
        users = {"lms": (PASSWORD, "all"), "reader": (PASSWORD, "statements/read")}
        environ = {"RALPH_LRS_RESTRICT_BY_AUTHORITY": "true", "RALPH_LRS_RESTRICT_BY_SCOPES": "true"}
        ralph = Ralph(
            ralph_program,
            folder,
            server.ensure_running(site.home),
            database="xapi",
            users=users,
            environ=environ,
        )
        ralph.start()
        yield Town(site, ralph)
        ralph.kill()


@pytest.fixture
def town(shared: Town) -> Town:
    """The site as each test finds it: with Ralph up, an empty table, and no settings of the test before."""
    shared.site.environ = shared.environment()
    shared.site.sql("TRUNCATE TABLE xapi.xapi_events_all", admin=True)
    return shared


@pytest.mark.slow
def test_a_month_through_ralph_holds_the_ids_of_a_direct_load_and_again_sends_nothing(town: Town) -> None:
    town.site.write_samples(SampleSpec(lines=900, damage=0.01), files=1)
    direct = town.site.load("2024-05")
    expected = town.rows("2024-05")
    town.site.sql("ALTER TABLE xapi.xapi_events_all DROP PARTITION 202405", admin=True)
    first = town.load("2024-05")
    assert town.rows("2024-05") == expected
    assert first.statements == direct.statements
    assert first.notes["statements_sent"] == first.ids > 100
    wrong = {name: found.summary for name, found in town.site.check("2024-05").items() if not found.passed}
    assert wrong == {}
    again = town.load("2024-05")
    assert again.statements is not None
    assert (again.notes["requests"], again.statements.already_there) == (0, first.ids)
    # With `resend` it is sent all of them, has them all, and stores none twice.
    resent = town.load("2024-05", resend=True)
    assert resent.statements is not None
    assert (resent.notes["statements_sent"], resent.statements.inserted) == (first.ids, 0)
    assert town.rows("2024-05") == expected


@pytest.mark.slow
def test_of_a_batch_with_bad_and_conflicting_statements_the_rest_goes_in(town: Town) -> None:
    """Ralph wants addresses of mail that can be; a statement with an id that it has must be the one that it has."""
    month = "2021-02"
    town.site.environ["XAPI_AGENT_IFI_TYPE"] = "mbox"
    people = town.site.folder / "identities.csv"
    good = people.read_text()
    log = town.write_days(month, 60)
    conflicting = log.read_bytes().splitlines(keepends=True)[7]
    log.write_bytes(conflicting)
    town.site.load(month)
    ((known, body),) = [(one["id"], json.dumps(one)) for one in statements(town.site, month)]
    town.site.sql("ALTER TABLE xapi.xapi_events_all DROP PARTITION 202102", admin=True)
    other = body.replace("registered", "unregistered").replace("'", "\\'")
    town.site.sql(
        f"INSERT INTO xapi.xapi_events_all VALUES ('{known}', '2021-02-20 00:00:00', '{other}')", admin=True
    )
    town.write_days(month, 60)
    bad = enrolled(f"{month}-03T03:03:03+00:00", learner=who(1)) + enrolled(
        f"{month}-04T03:03:03+00:00", learner=who(1)
    )
    with log.open("ab") as file:
        file.write(bad)
    people.write_text(good.replace(who(1).email, "somebody@nowhere"))

    told: list[str] = []
    result = town.load(month, told)
    account = result.statements
    assert account is not None
    assert (account.inserted, account.refused, account.statements) == (59, 3, 62)
    assert dict(result.account.refused) == {"ralph_invalid": 2, "ralph_conflict": 1}
    # Two named by number, one by id, and the rest: four requests.
    assert result.notes["requests"] == 4
    assert town.site.check(month)["account_adds_up"].passed
    assert town.site.check(month)["expected_ids_present"].passed
    records = quarantine_records(town.site.folder / "archive/quarantine/xapi_events_all" / month)
    assert sorted((one["reason"], one["line"]) for one in records) == sorted(
        [("ralph_conflict", conflicting.decode())]
        + [("ralph_invalid", line) for line in bad.decode().splitlines(keepends=True)]
    )
    assert {one["detail"].split(" at ")[0] for one in records if one["reason"] == "ralph_invalid"} == {"422"}
    # Ralph's own words repeat the statement: nothing of them is told, nor kept in ClickHouse.
    assert any("ralph_invalid (422 at " in line for line in told)
    runs = town.site.sql("SELECT account FROM aspects_orchestration.runs").decode()
    assert not re.search(r"somebody|nowhere|mailto", "\n".join(told) + runs)

    people.write_text(good)
    mended = town.load(month, sources=("quarantine",))
    assert mended.statements is not None
    assert (mended.statements.inserted, mended.statements.refused) == (2, 1)
    assert len(town.rows(month).splitlines()) == 62, "59, 2 that are mended, and the other statement"


def test_too_many_refusals_stop_a_load_and_say_why(town: Town) -> None:
    month = "2021-03"
    town.site.environ["XAPI_AGENT_IFI_TYPE"] = "mbox"
    town.write_days(month, 30, learner=who(2))
    people = town.site.folder / "identities.csv"
    good = people.read_text()
    people.write_text(good.replace(who(2).email, "somebody@nowhere"))
    with pytest.raises(
        LrsError, match=r"refuses more than 5 statements of 2021-03: \d+ ralph_invalid.*max_refused"
    ):
        town.load(month, max_refused=5)
    people.write_text(good)
    done = town.load(month).statements
    assert done is not None
    assert done.inserted == 30


@pytest.mark.slow
def test_a_load_that_is_killed_while_it_sends_goes_on_behind_what_was_sent(town: Town) -> None:
    month, lines = "2021-04", 1_000
    town.write_days(month, lines)
    # As of a Ralph that keeps its statements elsewhere: what was sent is known from our own record alone.
    town.site.environ = town.environment(
        ASPECTS_RALPH_STORE="other", ASPECTS_RALPH_BATCH="10", ASPECTS_RALPH_STATEMENTS_PER_SECOND="100"
    )
    process = start(town.site, month, "100", "merge", "ralph")
    assert said(process, "sending")
    wait_until(lambda: recorded(town) > 150)
    kill(process, 0.0)
    there = len(town.rows(month).splitlines())
    assert 150 < there < lines
    town.site.environ["ASPECTS_RALPH_STATEMENTS_PER_SECOND"] = "0"
    told: list[str] = []
    result = town.load(month, told)
    assert any(line.startswith("an earlier attempt has sent") for line in told)
    assert result.statements is not None
    # What the killed run had sent last, it may not have remembered: Ralph passes over it.
    assert result.notes["statements_sent"] < lines - 150
    assert result.statements.inserted == lines - there
    assert (result.statements.inserted + result.statements.already_there, result.ids) == (lines, lines)
    rows = town.rows(month).splitlines()
    assert len(rows) == len(set(rows)) == lines
    assert town.site.sql("SHOW TABLES FROM aspects_orchestration LIKE '%_202104_%'", admin=True) == b""


def recorded(town: Town) -> int:
    tables = "SELECT sum(total_rows) FROM system.tables WHERE name LIKE 'progress_sent_%202104%'"
    return int(town.site.sql(tables, admin=True).strip() or 0)


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


class Listening(list[str]):
    """What a load says; acts when it says certain words, once each."""

    def __init__(self, **acts: Callable[[], None]) -> None:
        super().__init__()
        self._acts = acts

    def append(self, line: str) -> None:
        super().append(line)
        for words in [one for one in self._acts if line.startswith(one)]:
            self._acts.pop(words)()


def test_a_ralph_that_is_down_or_restarts_is_waited_for(town: Town) -> None:
    town.write_days("2021-05", 40)
    town.ralph.kill()
    # Down at first; up when the load waits; gone again when it sends, and up again when it waits for the second time.
    told = Listening(waiting=town.ralph.start, sending=lambda: gone(told, town))
    result = town.load("2021-05", told)
    assert sum(line.startswith("waiting for Ralph") for line in told) == 2
    assert "refuses the connection" in "".join(told)
    assert result.statements is not None
    assert result.statements.inserted == len(town.rows("2021-05").splitlines()) == 40


def gone(told: Listening, town: Town) -> None:
    town.ralph.kill()
    told._acts["waiting"] = town.ralph.start


def test_a_ralph_that_hangs_is_sent_the_batch_again_and_stores_it_once(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(through_ralph, "access", lambda _: town.access(answer_s=1.0))
    town.write_days("2021-06", 40)
    told = Listening(sending=town.ralph.hang, waiting=town.ralph.go_on)
    result = town.load("2021-06", told)
    assert any("did not answer in time" in line for line in told)
    assert result.statements is not None
    assert result.statements.inserted + result.statements.already_there == 40
    assert result.notes["requests"] > 1
    assert len(town.rows("2021-06").splitlines()) == 40
    assert town.site.check("2021-06")["no_duplicate_ids"].passed


def test_a_ralph_that_stays_away_fails_the_load_and_loses_nothing(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(through_ralph, "patience", Patience(for_s=0.6))
    town.write_days("2021-07", 40)
    with pytest.raises(LrsError, match=r"refuses the connection.*RALPH_HOST, RALPH_PORT.*Then run again"):
        town.load("2021-07", Listening(sending=town.ralph.kill))
    town.ralph.start()
    result = town.load("2021-07")
    assert result.statements is not None
    assert (result.resumed_chunks, result.statements.inserted) == (1, 40)


def test_a_wrong_password_or_user_is_told_of_before_anything_is_read(town: Town) -> None:
    town.write_days("2021-08", 10)
    told: list[str] = []
    town.site.environ["RALPH_LMS_PASSWORD"] = "hunter2"
    with pytest.raises(
        LrsError, match=r"\(401\)\. Mend RALPH_LMS_USERNAME and RALPH_LMS_PASSWORD"
    ) as failure:
        town.load("2021-08", told)
    assert "hunter2" not in str(failure.value) + "".join(told)
    assert not any("lines/s" in line for line in told)
    town.site.environ = town.environment(RALPH_LMS_USERNAME="reader")
    with pytest.raises(
        LrsError, match=r"does not let user reader write statements \(401\).*statements/write"
    ):
        town.load("2021-08")
    assert town.rows("2021-08") == b""


def test_what_cannot_be_is_refused_before_anything_is_read(town: Town) -> None:
    with pytest.raises(DestinationError, match="mode rebuild"):
        town.load("2021-08", mode=Mode.REBUILD)
    with pytest.raises(DestinationError, match="about Ralph"):
        town.site.load("2021-08", resend=True)
    del town.site.environ["RALPH_LMS_PASSWORD"]
    with pytest.raises(SettingsError, match="Set RALPH_LMS_PASSWORD"):
        town.load("2021-08")
    town.site.environ = {}
    with pytest.raises(SettingsError, match="Set RALPH_HOST"):
        town.load("2021-08")


def test_a_ralph_that_writes_elsewhere_is_found_out(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(through_ralph, "_SEEN_WITHIN_S", 0.3)
    town.site.environ["ASPECTS_RAW_XAPI_TABLE"] = "another_table"
    town.write_days("2021-09", 10)
    with pytest.raises(LrsError, match=r"do not all stand in xapi\.another_table.*ASPECTS_RALPH_STORE=other"):
        town.load("2021-09")


def test_a_dry_run_looks_at_ralph_and_sends_nothing(town: Town) -> None:
    town.write_days("2021-10", 10)
    result = town.load("2021-10", dry_run=True)
    assert (result.dry_run, result.account.total.statements) == (True, 10)
    assert town.rows("2021-10") == b""


@pytest.mark.slow
def test_the_documented_commands_load_through_ralph(town: Town) -> None:
    """Those of docs/replay-through-ralph.md, with this site's settings and months."""
    text = (ROOT / "docs/replay-through-ralph.md").read_text()
    commands = [
        one for one in re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL) if "ralph" in one
    ]
    window, asset = (
        next(one for one in commands if words in one) for words in ("jobs.recover", "asset materialize")
    )
    town.write_days("2024-05", 12)
    for command in (window, asset):
        town.site.sql("ALTER TABLE xapi.xapi_events_all DROP PARTITION 202405", admin=True)
        words = shlex.split(command.replace("\\\n", ""))
        process = town.site.popen(
            *(words[1:] if words[0] == "python" else words), stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        output = process.communicate(timeout=200)[0].decode()
        assert process.returncode == 0, output
        assert "new to Ralph" in output
        assert PASSWORD not in output
        assert town.rows("2024-05").count(b"\n") >= 12


def test_the_rate_holds_over_every_stretch_of_time(town: Town) -> None:
    clock = Clock()
    requests: list[tuple[float, int]] = []
    pace = Pace(100, clock=clock.now, sleep=clock.sleep)
    sender = Sender(Connection(town.access()), most=40, pace=pace, patience=Patience())
    items = made("2021-11", 230)
    for begin in range(0, 230, 40):
        batch = items[begin : begin + 40]
        assert {one.outcome for one in sender.send(batch)} == {TAKEN}
        requests.append((clock.seconds, len(batch)))
    clock.seconds += 60  # a pause saves nothing up
    for begin in range(0, 230, 40):
        batch = items[begin : begin + 40]
        assert {one.outcome for one in sender.send(batch)} == {THERE}
        requests.append((clock.seconds, len(batch)))
    for first in range(len(requests)):
        for last in range(first, len(requests)):
            stretch = requests[last][0] - requests[first][0]
            assert sum(count for _, count in requests[first : last + 1]) <= 100 * stretch + 40.001
    assert requests[5][0] == pytest.approx(2.0)


def test_a_batch_that_is_too_large_for_ralph_is_halved_and_the_next_begin_smaller(town: Town) -> None:
    sender = Sender(Connection(town.access()), most=4_000, pace=Pace(), patience=quick())
    outcomes = sender.send(made("2021-12", 4_000))
    assert len(outcomes) == 4_000
    assert {one.outcome for one in outcomes} == {TAKEN}
    assert sender.most == 2_000


def test_a_statement_that_ralph_cannot_store_is_found_among_others(town: Town) -> None:
    items = made("2022-01", 20)
    # Ralph itself does not read times: its database refuses this one, with a 500 for the whole batch.
    items[13] = Item(items[13].id, items[13].statement.replace(b"2022-01", b"2022-99"))
    items[4] = Item(items[4].id, b'{"id": "no statement"}')
    sender = Sender(Connection(town.access()), most=20, pace=Pace(), patience=quick())
    refused = {one.id: one.outcome for one in sender.send(items) if one.outcome != TAKEN}
    assert refused == {items[13].id: CANNOT_STORE, items[4].id: INVALID}
    assert sender.most == 20


@pytest.mark.slow
def test_servers_with_other_ways_are_understood(
    town: Town, ralph_program: Path, stopped_ralphs: list[Ralph], tmp_path: Path
) -> None:
    """One that takes batches in part by default; and one that is well, and has no table to write into."""
    address = server.ensure_running(town.site.home)
    users = {"lms": (PASSWORD, "all")}
    environ = {"RALPH_LRS_PARTIAL_SUCCESS_DEFAULT": "true"}
    partial = Ralph(ralph_program, tmp_path, address, database="xapi", users=users, environ=environ)
    stopped_ralphs.append(partial)
    partial.start()
    items = made("2022-02", 12)
    items[3] = Item(items[3].id, b'{"id": "no statement"}')
    sender = Sender(Connection(Town(town.site, partial).access()), most=12, pace=Pace(), patience=quick())
    outcomes = {one.id: one.outcome for one in sender.send(items)}
    assert outcomes.pop(items[3].id) == INVALID
    assert set(outcomes.values()) <= {TAKEN, THERE}
    assert len(town.rows("2022-02").splitlines()) == 11
    partial.kill()
    partial.database, partial.environ = "default", {}
    partial.start()
    sender = Sender(Connection(Town(town.site, partial).access()), most=16, pace=Pace(), patience=quick())
    with pytest.raises(LrsError, match=r"says that it is well, and answers 500.*may not write to its table"):
        sender.send(made("2022-03", 16))


def quick() -> Patience:
    return Patience(sleep=lambda _: None)


def made(month: str, count: int) -> list[Item]:
    """Statements of which no two are one."""
    return [
        Item(
            identity,
            json.dumps(
                {
                    "id": identity,
                    "actor": {"account": {"homePage": "http://lms.example.org", "name": "somebody"}},
                    "verb": {"id": "http://adlnet.gov/expapi/verbs/registered"},
                    "object": {"id": "http://lms.example.org/course"},
                    "timestamp": f"{month}-01T00:{number // 60 % 60:02d}:{number % 60:02d}.000001+00:00",
                }
            ).encode(),
        )
        for number in range(count)
        for identity in [f"{month.replace('-', '')}00-0000-4000-8000-{number:012x}"]
    ]


class Clock:
    """A clock that goes on while somebody sleeps."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds
