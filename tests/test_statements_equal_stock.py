"""Every statement is the one that stock event-routing-backends makes of the same line: ids, text and all.

The reference is upstream's own reader (`parse_json_event`) and its own `XApiProcessor`, in a process of their own, with
the same users and courses at the seams. Whatever this project does otherwise, on purpose, is in `Difference`.
"""

from __future__ import annotations

import json
import math
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest
from services.site import Site

from aspects_orchestration.replay.plan import quarantine_folder
from aspects_orchestration.samples import SampleSpec, write_courses, write_identities
from aspects_orchestration.samples.generate import SampleLine, generate
from aspects_orchestration.samples.spec import STYLES
from aspects_orchestration.tracking.compression import Damage, decompressed
from aspects_orchestration.tracking.quarantine import QuarantinedLine, decode
from aspects_orchestration.window import month_window
from aspects_orchestration.xapi import erb
from aspects_orchestration.xapi.identities_files import FileCourses, FileIdentities, index_file

MONTH = "2024-05"
SPEC = SampleSpec(
    lines=600,
    seed=11,
    start=datetime(2024, 5, 1, tzinfo=UTC),
    end=datetime(2024, 6, 1, tzinfo=UTC),
    transformable=0.8,
)
ACTOR_TYPES = ("external_id", "mbox", "mbox_sha1sum")


class Difference(StrEnum):
    """What this project does otherwise than upstream, and why."""

    NAME_FROM_EVENT_TYPE = (
        "an event without name (browser and older events) goes by its event_type; stock skips it"
    )
    NAMELESS = "a name that is no text names no transformer: skipped; stock stops the whole run (unhashable)"
    TIME_WITHOUT_ZONE = "a time without zone is UTC; stock raises"
    NO_TIME = (
        "an event without a time from 1970 to 2106 has no month: quarantined; stock may make a statement"
    )
    UNKNOWN_USER = "an unknown user is quarantined; stock's mbox modes give all of them one address"
    NO_EMAIL = "a user without e-mail address is quarantined; stock hashes nothing or raises"
    HALF_A_PAIR = (
        "half of a surrogate pair has no UTF-8, and ClickHouse reads such a text as no JSON: quarantined"
    )
    NUMBER_WITHOUT_JSON = "NaN and infinity are no JSON, so every reader would stumble: quarantined"
    NO_EVENT = (
        "an event as routers have it (`data`, no `event`) is transformed as it is; stock's reader drops it"
    )
    NESTED_TOO_DEEP = (
        "an `event` whose text is nested too deep, or a number too long, stays text; stock's reader raises"
    )


@dataclass(frozen=True)
class Outcome:
    """What stock makes of a line: `statements`, or `raised` (it raised), or neither (it is skipped)."""

    statements: tuple[str, ...] = ()
    raised: str = ""
    differences: tuple[Difference, ...] = ()


@dataclass(frozen=True)
class Question:
    """What a stock process needs to know; picklable."""

    actor_type: str
    lms_root_url: str
    users: Path
    courses: Path
    lines: tuple[str, ...]


def stock_outcomes(question: Question) -> list[Outcome]:
    """What stock makes of each line. Runs in a process of its own: Django's settings are global."""
    transformer = erb.boot(lms_root_url=question.lms_root_url, actor_type=question.actor_type)
    with erb.site(FileIdentities(question.users), FileCourses(question.courses)):
        return [_outcome(line, transformer.names) for line in question.lines]


def _outcome(line: str, names: frozenset[str]) -> Outcome:  # noqa: PLR0911, PLR0912  one way out a rule
    from event_routing_backends.management.commands.helpers.event_log_parser import parse_json_event
    from event_routing_backends.processors.xapi.transformer_processor import XApiProcessor

    differences: list[Difference] = []
    try:
        event = parse_json_event(line)
    except (RecursionError, ValueError):
        event = json.loads(line)
        event["data"] = event["event"]
        event.setdefault("timestamp", event.get("time"))
        differences.append(Difference.NESTED_TOO_DEEP)
    if event is None and '"data"' in line:
        try:
            event = json.loads(line)
        except ValueError:
            return Outcome()
        if not isinstance(event, dict) or "event" in event:
            return Outcome()
        if "timestamp" not in event and "time" in event:
            event["timestamp"] = event["time"]
        differences.append(Difference.NO_EVENT)
    if not isinstance(event, dict):
        return Outcome()
    if not event.get("name"):
        event["name"] = event.get("event_type")
        differences.append(Difference.NAME_FROM_EVENT_TYPE)
    if not isinstance(event["name"], str):
        return Outcome(differences=(Difference.NAMELESS,))
    if event["name"] not in names:
        return Outcome()
    time = event.get("timestamp") or event.get("time")
    moment = _moment(time)
    if moment is None:
        return Outcome(raised="no readable time", differences=(*differences, Difference.NO_TIME))
    if moment.tzinfo is None:
        event["timestamp"] = f"{time}+00:00"
        differences.append(Difference.TIME_WITHOUT_ZONE)
        moment = moment.replace(tzinfo=UTC)
    if not datetime(1970, 1, 1, tzinfo=UTC) <= moment < datetime(2106, 2, 7, 6, 28, 16, tzinfo=UTC):
        return Outcome(raised="impossible time", differences=(*differences, Difference.NO_TIME))
    window = month_window(MONTH)
    if not window.start <= moment < window.end:
        return Outcome(differences=tuple(differences))
    try:
        statements = XApiProcessor()([event])
        assert all(datetime.fromisoformat(one["timestamp"]) == moment for one in statements), line
    except Exception as error:
        return Outcome(raised=type(error).__name__, differences=tuple(differences))
    if any(not _finite(one) for one in statements):
        return Outcome(raised="NaN", differences=(*differences, Difference.NUMBER_WITHOUT_JSON))
    if any(not _encodable(json.dumps(one, ensure_ascii=False)) for one in statements):
        return Outcome(raised="half a pair", differences=(*differences, Difference.HALF_A_PAIR))
    return Outcome(tuple(canonical(one) for one in statements), differences=tuple(differences))


def _moment(time: object) -> datetime | None:
    import aniso8601

    if isinstance(time, str):
        for parse in (datetime.fromisoformat, aniso8601.parse_datetime):
            try:
                return parse(time)
            except Exception:  # noqa: S112  aniso8601's errors have no common base
                continue
    if isinstance(time, int | float) and not isinstance(time, bool) and 0 < time < 1e11:
        return datetime.fromtimestamp(time, UTC)
    return None


def _finite(value: Any) -> bool:
    if isinstance(value, dict):
        return all(map(_finite, value.values()))
    if isinstance(value, list):
        return all(map(_finite, value))
    return not isinstance(value, float) or math.isfinite(value)


def canonical(statement: Any) -> str:
    """A text that two statements share only if they are equal; unlike `==` it tells 1 from 1.0 and from true."""
    return json.dumps(statement, sort_keys=True)


# --- the lines ---------------------------------------------------------------------------------------------------


def _own_days(style: str) -> SampleSpec:
    """A few days of May for each style: the same site, and no time, so no id, in two files."""
    number = STYLES.index(style)
    return replace(
        SPEC,
        style=style,
        start=datetime(2024, 5, 1 + 4 * number, tzinfo=UTC),
        end=datetime(2024, 5, 5 + 4 * number, tzinfo=UTC),
    )


def _bare(sample: SampleLine) -> str:
    return sample.raw.decode().strip()


Mutation = Callable[[dict[str, Any], random.Random], object]
Place = tuple[dict[str, Any], str]

ODD_VALUES: tuple[Any, ...] = (
    None,
    "",
    "\ud800 alone",
    "\0",
    "naïve 🐍",
    "NaN",
    0,
    -1,
    1,
    True,
    False,
    10**18,
    2**63,
    2**64 + 1,
    -(2**63) - 1,
    10**30,
    1.0,
    -0.0,
    1e308,
    0.1 + 0.2,
    math.nan,
    math.inf,
    [],
    {},
    [[]],
    [None],
    ["a", {"b": 1}],
    {"user_id": 7},
    {"name": "other"},
    '{"id": "x", "n": 1.0}',
    "[1, 2]",
    '"text"',
    "12345678901234567890123",
    "input_1=a&input_2=b",
    "2024-05-03",
    "course-v1:A+B+C",
    "block-v1:A+B+C+type@problem+block@d",
)
ODD_TIMES: tuple[Any, ...] = (
    "2024-05-20T10:11:12Z",
    "2024-05-20T10:11:12+00:00",
    "2024-05-20T10:11:12.5Z",
    "2024-05-20T10:11:12.123456789Z",
    "2024-05-20T10:11:12,123+00:00",
    "2024-05-20 10:11:12.123456+00:00",
    "2024-05-20T10:11:12.123456",
    "2024-05-20T10:11:12",
    "2024-05-20",
    "20240520T101112Z",
    "2024-W21-1T10:11:12Z",
    "2024-141T10:11:12Z",
    "2024-05-20T24:00:00Z",
    "2024-05-20T23:59:60Z",
    "2024-05-20T10:11Z",
    "2024-05-20T10Z",
    "2024-05-20T10:11:12+05:30",
    "2024-05-20T10:11:12+0530",
    "2024-05-20T10:11:12-07",
    "2024-05-20T10:11:12+00:00:30",
    "2024-05-31T23:59:59.999999Z",
    "2024-05-31T23:59:59.9999999Z",
    "2024-06-01T00:00:00Z",
    "2024-04-30T23:59:59.999999Z",
    "2024-04-30T20:00:00-04:00",
    "2024-06-01T01:00:00+02:00",
    "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59-14:00",
    " 2024-05-20T10:11:12Z",
    "2024-05-20T10:11:12Z ",
    "2024-05-20t10:11:12z",
    "20 May 2024",
    "2024-05-20T10:11:12.Z",
    "２０２４-05-20T10:11:12Z",
    1716199872,
    1716199872.25,
    1716199872.1234567,
    1716199872123,
    -5,
    0,
    True,
    math.nan,
    math.inf,
    10**30,
    [2024, 5, 20],
    {"year": 2024},
    "",
    None,
)


def _places(event: dict[str, Any]) -> list[Place]:
    found: list[Place] = []
    for key, value in event.items():
        found.append((event, key))
        if isinstance(value, dict):
            found += _places(value)
    return found


def _drop(event: dict[str, Any], rng: random.Random) -> None:
    holder, key = rng.choice(_places(event))
    del holder[key]


def _odd_value(event: dict[str, Any], rng: random.Random) -> None:
    holder, key = rng.choice(_places(event))
    holder[key] = rng.choice(ODD_VALUES)


def _odd_time(event: dict[str, Any], rng: random.Random) -> None:
    event["time"] = rng.choice(ODD_TIMES)
    if rng.random() < 0.3:
        event["timestamp"] = rng.choice(ODD_TIMES)


def _as_text(event: dict[str, Any], rng: random.Random) -> None:
    holder, key = rng.choice(_places(event))
    holder[key] = json.dumps(holder[key])


def _payload_as_text(event: dict[str, Any], _rng: random.Random) -> None:
    event["event"] = json.dumps(event["event"])


def _as_routers_have_it(event: dict[str, Any], _rng: random.Random) -> None:
    event["data"] = event.pop("event")
    event["timestamp"] = event.pop("time")


def _other_user(event: dict[str, Any], rng: random.Random) -> None:
    odd: Sequence[Any] = (
        "1005",
        1005.0,
        1005.9,
        " 1005 ",
        "1_005",
        True,
        "nobody",
        99,
        10**40,
        "",
        None,
        ["x"],
        {"a": 1},
    )
    for holder, key in _places(event):
        if key in {"user_id", "username"}:
            holder[key] = rng.choice(odd)


def _deep(event: dict[str, Any], rng: random.Random) -> None:
    depth = rng.choice((60, 300, 2_000))
    event["event"] = (
        "[" * depth + "]" * depth if rng.random() < 0.5 else {"deep": json.loads("[" * 60 + "]" * 60)}
    )


def _long_number(event: dict[str, Any], _rng: random.Random) -> None:
    event["event"] = "9" * 5_000


MUTATIONS: tuple[Mutation, ...] = (
    *(_drop, _drop, _odd_value, _odd_value, _odd_value, _odd_time, _as_text, _payload_as_text),
    *(_as_routers_have_it, _other_user, _deep, _long_number),
)


def mutated(count: int, seed: int) -> Iterator[str]:
    """Events that something odd has happened to, as lines without their ends."""
    rng = random.Random(seed)  # noqa: S311 - reproducible, not secret
    spec = replace(
        _own_days("plain"),
        lines=count,
        start=datetime(2024, 5, 26, tzinfo=UTC),
        end=SPEC.end,
        transformable=1.0,
    )
    for sample in generate(spec):
        event = json.loads(sample.raw)
        for _ in range(rng.choice((1, 1, 1, 2, 3))):
            rng.choice(MUTATIONS)(event, rng)
            if not isinstance(event.get("event", 0), dict):
                break
        yield json.dumps(
            event, ensure_ascii=rng.random() < 0.5, separators=rng.choice(((",", ":"), (", ", ": ")))
        )


# --- both ways ---------------------------------------------------------------------------------------------------


def _ask_stock(site: Site, lines: Sequence[str], actor_type: str) -> list[Outcome]:
    folder = site.folder / "reference"
    indexes = [
        index_file(kind, path.as_uri(), "1", lambda path=path: path.open("rb"), folder, setting="the test")
        for kind, path in (
            ("users", site.folder / "identities.csv"),
            ("courses", site.folder / "courses.csv"),
        )
    ]
    question = Question(actor_type, SPEC.lms_root_url, indexes[0], indexes[1], tuple(lines))
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(stock_outcomes, question).result()


def _table(site: Site) -> list[str]:
    rows = site.sql("SELECT event_id, event FROM xapi.xapi_events_all FORMAT JSONEachRow").splitlines()
    statements = [json.loads(row) for row in rows]
    assert all(json.loads(row["event"])["id"] == row["event_id"] for row in statements)
    return [canonical(json.loads(row["event"])) for row in statements]


def _quarantined(site: Site) -> list[QuarantinedLine]:
    folder = quarantine_folder(site.settings, MONTH).removeprefix("file://")
    found = []
    for path in sorted(Path(folder).rglob("*.ndjson.gz")):
        with path.open("rb") as stream:
            blocks = list(decompressed(stream))
        assert not any(isinstance(block, Damage) for block in blocks)
        found += [decode(line) for line in b"".join(b for b in blocks if isinstance(b, bytes)).splitlines()]
    return found


def _site(site: Site, actor_type: str) -> Site:
    site.environ |= {"XAPI_AGENT_IFI_TYPE": actor_type, "LMS_ROOT_URL": SPEC.lms_root_url}
    write_identities(SPEC, site.folder / "identities.csv")
    write_courses(SPEC, site.folder / "courses.csv")
    return site


@pytest.mark.parametrize("actor_type", ACTOR_TYPES)
def test_every_statement_of_every_kind_of_line_is_stocks(site: Site, actor_type: str) -> None:
    _site(site, actor_type)
    bare: list[str] = []
    for style in STYLES:
        spec = _own_days(style)
        with (site.logs / f"tracking-{style}.log-20240601").open("wb") as log:
            log.writelines(sample.raw for sample in generate(spec))
        bare += [_bare(sample) for sample in generate(replace(spec, style="plain"))]
    outcomes = _ask_stock(site, bare, actor_type)
    expected = [statement for outcome in outcomes for statement in outcome.statements]
    result = site.load(MONTH)
    assert len(expected) > 2_000
    assert len({json.loads(one)["verb"]["id"] for one in expected}) > 20
    assert sorted(_table(site)) == sorted(expected)
    assert result.account.total.quarantined_lines == sum(bool(outcome.raised) for outcome in outcomes) == 0
    assert not {name: finding for name, finding in site.check(MONTH).items() if not finding.passed}


@pytest.mark.parametrize("actor_type", ACTOR_TYPES)
def test_odd_events_give_stocks_statements_or_one_quarantined_line(site: Site, actor_type: str) -> None:
    _site(site, actor_type)
    lines = sorted(set(mutated(3_000, seed=ACTOR_TYPES.index(actor_type))))
    # A lone surrogate that is not escaped has no UTF-8: such a line cannot stand in a log.
    lines = [line for line in lines if _encodable(line)]
    (site.logs / "tracking.log-20240601").write_bytes(b"".join(line.encode() + b"\n" for line in lines))
    outcomes = _ask_stock(site, lines, actor_type)
    result = site.load(MONTH)

    expected: dict[str, list[str]] = {}
    for outcome in outcomes:
        for statement in outcome.statements:
            expected.setdefault(json.loads(statement)["id"], []).append(statement)
    found = _table(site)
    assert {json.loads(one)["id"] for one in found} == expected.keys()
    # Of several lines with one id the first stands: the lines are in the file's order, and so are the lists.
    assert sorted(found) == sorted(bodies[0] for bodies in expected.values())

    kept = Counter(record.raw.decode().rstrip("\n") for record in _quarantined(site))
    raised = Counter(line for line, outcome in zip(lines, outcomes, strict=True) if outcome.raised)
    assert kept == raised
    assert result.account.total.quarantined_lines == len(raised)
    seen = {difference for outcome in outcomes for difference in outcome.differences}
    assert Difference.TIME_WITHOUT_ZONE in seen
    assert not {name: finding for name, finding in site.check(MONTH).items() if not finding.passed}


def _encodable(line: str) -> bool:
    try:
        line.encode()
    except UnicodeEncodeError:
        return False
    return True
