"""Events as no generator would make them: each a sample event with one thing missing, odd, doubled or hostile."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final

Event = dict[str, Any]
Mutation = Event | Callable[[], Event]

_DEEP: Final[dict[str, Any]] = {}
_place = _DEEP
for _ in range(300):
    _place["a"] = {}
    _place = _place["a"]

#: Values for any key. NaN and infinity come from logs that Python's json wrote.
ODD_VALUES: Final[tuple[Any, ...]] = (
    None,
    0,
    "",
    [],
    {},
    False,
    True,
    "x",
    "null",
    "null and void",
    "7",
    3.5,
    -1,
    -0.0,
    1e-7,
    5e-324,
    2.0005,
    1e15,
    1e22,
    2**63,
    2**70,
    -(2**66),
    float("nan"),
    float("inf"),
    "nan",
    "\ud800 alone",
    "Ünïcode ☃ 🐍 \u2028",
    "a" * 5_000,
    "5.12345",
    ["a", 1, None],
    ["a"],
    [float("nan")],
    [[["deep"]], {"a": [2**65]}],
    {"a": None},
    {"a": {"user_id": 3, "session": "inner", "display_name": "inner"}},
    {"a": float("-inf"), "_b": 1},
    {"1": {"response_type": "stringresponse", "question": "q", "answer": ["a"], "correct": True}},
    {"1": {"response_type": "x", "question": None}, "2": {"answer": 1}},
    _DEEP,
)

ODD_TIMES: Final[tuple[Any, ...]] = (
    "2020-07-15T06:52:55+00:00",
    "2020-07-15T06:52:55.000000+00:00",
    "2020-07-15T06:52:55.100000+00:00",
    "2020-07-15T06:52:55.1Z",
    "2020-07-15T06:52:55.123456Z",
    "2020-07-15T06:52:55Z",
    "2020-07-15T08:52:55.123456+02:00",
    "2020-07-15T08:52:55.123456+05:30",
    "2020-07-15 06:52:55.123456+00:00",
    "2020-07-15T06:52:55",
    "2020-07-15",
    "2020-02-30T06:52:55.123456+00:00",
    "2020-02-29T23:59:60+00:00",
    "2020-02-29T24:00:00+00:00",
    "0001-01-01T00:00:00+00:00",
    "0000-01-01T00:00:00+00:00",
    "9999-12-31T23:59:59.999999+00:00",
    "9999-12-31T23:59:59.999999-05:00",
    "2020-07-15T06:52:55.1234567+00:00",
    "2020-07-15T06:52:55.123+00:00",
    "2020-W29-3T06:52:55Z",
    "20200715T065255Z",
    "٢٠٢٠-07-15T06:52:55Z",
    "2020-07-15T06:52:55Z\n",
    "yesterday",
    "\ud800",
    "",
    None,
    0,
    1_594_795_975,
    1_594_795_975.25,
    True,
    [2020, 7, 15],
    {"year": 2020, "month": 7, "day": 15},
    float("nan"),
)

ODD_COURSES: Final[tuple[Any, ...]] = (
    None,
    "",
    "course-v1:No+Such+Course",
    "course-v1:DemoX+STAT101+2024_T1",
    "ccx-v1:DemoX+STAT101+2024_T1+ccx@1",
    "Old/Style/Course",
    "not a key",
    "course-v1:\ud800+a+b",
    7,
    True,
    ["course-v1:DemoX+STAT101+2024_T1"],
    {"a": 1},
)

ODD_USERS: Final[tuple[Any, ...]] = (
    None,
    "",
    0,
    1001,
    "1001",
    1001.0,
    1001.5,
    True,
    999_999,
    "999999",
    10**30,
    -1,
    "nobody",
    "12",
    float("nan"),
    float("inf"),
    "\ud800",
    [1001],
    {"id": 1001},
)

ODD_REFERERS: Final[tuple[Any, ...]] = (
    "http://[::1",
    "http://[x]/?activate_block_id=block",
    "http://ex\u2100mple.org/?a=b",
    "?activate_block_id",
    "?activate_block_id=",
    "?activate_block_id=first&activate_block_id=second",
    "?activate%5Fblock%5Fid=%20%C3%BC",
    "http://lms/courses?activate_bl\nock_id=b#activate_block_id=c",
    "http://lms/activate_block_id=b;activate_block_id=c",
    7,
)

#: What a browser posts for a problem: a form.
ODD_FORMS: Final[tuple[Any, ...]] = (
    "input",
    "input_",
    "_",
    "input_ünï_2_1=3",
    "input_\ud800_2_1=3",
    "a_b_c_d",
    "input_4f5c_2_1[]=a&input_4f5c_2_1[]=b",
    "=",
    " ",
)

#: Names that mean something in a problem's own data, in places where they mean nothing.
ODD_PLACES: Final[tuple[Any, ...]] = (
    {"response_type": ["a"]},
    {"response_type": {"a": 1}},
    {"response_type": None},
    {"response_type": "stringresponse"},
    {"response_type": 7.5},
    {"x": {"response_type": ["a"]}},
    {"x": {"grade": 3, "max_grade": 4, "submission": {}, "module_id": "m", "hint_index": 9}},
)

_COMMON: Final = (
    "name",
    "username",
    "session",
    "referer",
    "event_source",
    "event_type",
    "page",
    "ip",
    "agent",
    "context",
    "event",
    "data",
    "time",
    "timestamp",
)
_CONTEXT: Final = ("course_id", "user_id", "username", "path", "module", "referer", "event_source", "session")
#: Keys that transformers look for anywhere in an event.
_SOUGHT: Final = (
    "user_id",
    "username",
    "session",
    "display_name",
    "response_type",
    "success",
    "grade",
    "max_grade",
    "submission",
    "usage_key",
    "problem_id",
    "module_id",
    "hint_index",
    "attempts",
    "thread_type",
    "vote_value",
    "referer",
    "timestamp",
    "time",
)


def made(mutation: Mutation) -> Event:
    """The event that a mutation is."""
    return mutation() if callable(mutation) else mutation


def mutations(event: Event) -> Iterator[tuple[str, Mutation]]:  # noqa: PLR0912  a loop for each kind of mutation
    """An event and what can become of it, each with a name. None shares anything with another.

    Most are made only when they are asked for (`made`): who takes each twelfth need not copy the others.
    """
    yield "as it is", copy.deepcopy(event)
    for key in _COMMON:
        if key in event and key != "name":
            yield f"no {key}", _changed(event, (key,), _DROP)
            for value in (None, "", 0, [], {}, "x", ["x"], float("nan"), "\ud800"):
                yield f"{key} = {value!r}", _changed(event, (key,), value)
    for key in _CONTEXT:
        yield f"no context.{key}", _changed(event, ("context", key), _DROP)
        yield f"context.{key} = None", _changed(event, ("context", key), None)
    for course in ODD_COURSES:
        yield f"course {course!r}", _changed(event, ("context", "course_id"), course)
    for user in ODD_USERS:
        yield f"context user {user!r}", _changed(event, ("context", "user_id"), user)
        yield f"data user {user!r}", _changed(event, ("data", "user_id"), user)
        yield f"data username {user!r}", _changed(event, ("data", "username"), user)
        nobody = _change(event, ("context", "user_id"), _DROP)
        yield f"username {user!r}", _changed(nobody, ("username",), user)
    for time in ODD_TIMES:
        yield f"timestamp {time!r}", _changed(event, ("timestamp",), time)
    for source in ("browser", "server", "mobile", None):
        yield f"source {source}", _changed(event, ("event_source",), source)
        yield f"context source {source}", _changed(event, ("context", "event_source"), source)
    for key in _SOUGHT:
        yield f"{key} nowhere", _nowhere(copy.deepcopy(event), key)
        for value in (None, 0, "inner", {"a": 1}):
            yield f"{key} = {value!r} deep", _changed(event, ("context", "extra", "further", key), value)
            first = {"extra": {key: value, "below": {key: "below"}}, **copy.deepcopy(event)}
            yield f"{key} = {value!r} first", first
    for referer in ODD_REFERERS:
        yield f"referer {referer!r}", _changed(event, ("referer",), referer)
    yield "context first", _ordered(event, "context", "data")
    yield "context last", _ordered(event, "event", "data", last="context")
    yield "data first", _ordered(event, "data")
    yield "all reversed", _reversed(copy.deepcopy(event))
    yield "data apart from event", {**copy.deepcopy(event), "data": copy.deepcopy(event.get("data"))}
    data = event.get("data")
    if isinstance(data, str):
        for form in ODD_FORMS:
            yield f"form {form!r}", _changed(event, ("data",), form)
    if isinstance(data, dict):
        yield "event as text", {**copy.deepcopy(event), "event": json.dumps(data)}
        yield from _several(event, data)
        for key in list(data):
            yield f"no data.{key}", _changed(event, ("data", key), _DROP)
            for value in ODD_VALUES:
                yield f"data.{key} = {str(value)[:60]!r}", _changed(event, ("data", key), value)
        for key, inner in data.items():
            if isinstance(inner, dict):
                for below in list(inner)[:4]:
                    for value in ODD_VALUES:
                        name = f"data.{key}.{below} = {str(value)[:60]!r}"
                        yield name, _changed(event, ("data", key, below), value)


def _several(event: Event, data: dict[str, Any]) -> Iterator[tuple[str, Mutation]]:
    """What can become of the questions of a problem."""
    questions = data.get("submission")
    if not isinstance(questions, dict):
        return
    for place in ("answers", "correct_map", "state"):
        for value in ODD_PLACES:
            yield f"data.{place} = {value!r}", _changed(event, ("data", place), value)
    for question in questions:
        path = ("data", "submission", question)
        for key in questions[question]:
            yield f"{key} of {question} dropped", _changed(event, (*path, key), _DROP)
            for value in ODD_VALUES:
                yield f"{key} of {question} = {str(value)[:60]!r}", _changed(event, (*path, key), value)
        for value in ODD_PLACES:
            yield f"{question} with {value!r}", _changed(event, (*path, "input_type"), value)
        for name in ("", "a@b", "\ud800", "response_type", "grade"):
            asked = {name if key == question else key: value for key, value in questions.items()}
            yield f"{question} called {name!r}", _changed(event, ("data", "submission"), asked)
    for problem in ("no at", "@", "a@b@c", "@a", "ünï@"):
        yield f"problem {problem!r}", _changed(event, ("data", "problem_id"), problem)
    again = {f"{key}{number}": value for number in range(9) for key, value in questions.items()}
    yield "many questions", _changed(event, ("data", "submission"), again)


_DROP: Final = object()


def _ordered(event: Event, *first: str, last: str = "") -> Event:
    """The same event with its keys in another order."""
    event = copy.deepcopy(event)
    found = {key: event[key] for key in first if key in event}
    found |= {key: value for key, value in event.items() if key != last}
    return found | ({last: event[last]} if last in event else {})


def _reversed(place: Event) -> Event:
    """The same event with all of its keys in reverse; what stands in it twice is still one."""
    known: dict[int, Event] = {}

    def turned(value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        if id(value) not in known:
            known[id(value)] = {key: turned(value[key]) for key in reversed(value)}
        return known[id(value)]

    return {key: turned(place[key]) for key in reversed(place)}


def _changed(event: Event, path: tuple[str, ...], value: Any) -> Mutation:
    return partial(_change, event, path, value)


def _change(event: Event, path: tuple[str, ...], value: Any) -> Event:
    changed = copy.deepcopy(event)
    place: Any = changed
    for part in path[:-1]:
        inner = place.get(part)
        if not isinstance(inner, dict):
            inner = place[part] = {}
        place = inner
    if value is _DROP:
        place.pop(path[-1], None)
    else:
        place[path[-1]] = copy.deepcopy(value)
    return changed


def _nowhere(event: Event, key: str) -> Event:
    event.pop(key, None)
    for value in event.values():
        if isinstance(value, dict):
            _nowhere(value, key)
    return event
