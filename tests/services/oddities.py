"""Lines of real logs that no generator writes: several oddities at once, from a seed.

Where `mutations` changes one thing of an event at a time, these change up to five, of any kind, and write the line
as some other program may have: numbers that have no JSON, keys that stand twice, letters as escapes, payloads as text.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from random import Random
from typing import Any, Final
from urllib.parse import quote, urlencode

from aspects_orchestration.samples import generate, known_event_names
from aspects_orchestration.xapi.erb import Identity
from services.compare_substrate import SPEC, People
from services.wild import WILD

Event = dict[str, Any]
Oddity = Callable[[Random, Event], Event]

#: In the place of a value that must stand in the line just as it is written, such as 1e400; or of what is nested deeper
#: than Python writes, such as dict_960.
_LITERAL: Final = re.compile(r'"<<([-+.\w]*)>>"')
#: Before a key that stands in its object a second time.
_AGAIN: Final = "<<again>>"

#: Odd values, by what they are; in a file of their own, which no formatter spreads over a thousand lines.
_VALUES: Final[dict[str, list[Any]]] = json.loads(Path(__file__).with_name("odd_values.json").read_text())
NUMBERS: Final = _VALUES["numbers"]
TEXTS: Final = (*_VALUES["texts"], "choice_" + "x" * 9_000)
BLOCKS: Final = _VALUES["blocks"]
_PLACES: Final = (*BLOCKS, *_VALUES["courses"], *_VALUES["pages"])
#: Names that the site gives to courses of which no sample is.
COURSE_NAMES: Final = {
    "DemoX/STAT101/2013_Spring": "Old ways",
    "course-v1:Ü+ñ+ï": "Ünïcode ☃ 🐍",
    "course-v1:A+B+C": "",
    "é/b/c": '\u202e "quoted" \\ \u2028',
    "ccx-v1:DemoX+STAT101+2024_T1+ccx@1": "Coached",
}
#: What stands in a place of this name, besides what may stand anywhere.
BY_KEY: Final[dict[str, list[Any]]] = {
    **dict.fromkeys(("user_id", "username"), _VALUES["users"]),
    **dict.fromkeys(("time", "timestamp", "attempt_started_at", "attempt_completed_at"), _VALUES["times"]),
    "course_id": _VALUES["courses"],
    **dict.fromkeys(("id", "block_id", "problem_id", "module_id", "usage_key", "exam_content_id"), BLOCKS),
    **dict.fromkeys(("referer", "page", "path", "target_url"), _VALUES["pages"]),
    **dict.fromkeys(
        ("currentTime", "current_time", "old_time", "new_time", "duration", "completion"), NUMBERS
    ),
    **dict.fromkeys(("grade", "max_grade", "percent_grade", "weighted_total_earned", "hint_index"), NUMBERS),
    "old_speed": [*NUMBERS, "0.50", "1.0", "1x"],
    "new_speed": [*NUMBERS, "0.50", "1.0", "1x"],
    "event_source": _VALUES["event_sources"],
    "correct": _VALUES["corrects"],
    "answer": _VALUES["answers"],
    "response_type": _VALUES["response_types"],
    "mode": _VALUES["modes"],
}
#: Names that some transformer or another looks for, wherever they stand.
SOUGHT: Final = (*BY_KEY, *_VALUES["sought"])
NAMES: Final = tuple(sorted(known_event_names()))


class Everybody(People):
    """The samples' people and courses, and those whom oddities name."""

    asks_for_many = False

    def __init__(self) -> None:
        super().__init__()
        for number, (username, email) in enumerate(
            [
                ("stu dent", "s p@example.org"),
                ("student\n", ""),
                ("用户", "用户@example.org"),
                ("None", "N@E.org"),
                ("x", None),
            ]
        ):
            self._add(Identity(50 + number, username, f"5b3c0c14-3ab6-4c1a-8f7e-00000000000{number}", email))
        self._add(Identity(1, "one", "5b3c0c14-3ab6-4c1a-8f7e-1d4b3f0f7a01", "one@example.org"))
        self._add(Identity(-1, "\u0000", "5b3c0c14-3ab6-4c1a-8f7e-1d4b3f0f7a02", "minus@example.org"))
        self._courses |= COURSE_NAMES


@cache
def as_they_come() -> list[Event]:
    """Events that oddities happen to: the generator's as the LMS writes them, and wild ones."""
    found: dict[str, list[Event]] = {}
    for sample in generate(SPEC):
        if sample.transformable and sample.damage is None:
            event = json.loads(sample.raw)
            found.setdefault(
                f"{event.get('name') or event['event_type']} {event['event_source']}", []
            ).append(event)
    return [event for several in found.values() for event in several[:6]] + list(WILD)


def odd_lines(count: int, seed: str, events: Sequence[Event]) -> Iterator[bytes]:
    """Lines to which something odd has happened; the same for the same seed."""
    rng = Random(seed)  # noqa: S311  reproducible, not secret
    for _ in range(count):
        event = copy.deepcopy(rng.choice(events))
        for _ in range(rng.choice((0, 1, 1, 1, 2, 2, 3, 5))):
            event = rng.choice(ODDITIES)(rng, event)
        yield _line(rng, event)


def _line(rng: Random, event: Event) -> bytes:
    text = written(rng, event, rng.random() < 0.6)
    if rng.random() < 0.03:
        text = "".join(
            f"\\u{ord(c):04x}" if c.isalnum() and c.isascii() and rng.random() < 0.02 else c for c in text
        )
    try:
        line = text.encode()
    except UnicodeEncodeError:  # half of a pair that is not escaped has no bytes
        line = written(rng, event, True).encode()
    return line + rng.choice((b"\n", b"\n", b"\n", b"\r\n", b" \n"))


def written(rng: Random, value: Any, ascii_alone: bool) -> str:
    """JSON text, with literals and repeated keys as they are to stand."""
    separators = rng.choice(((", ", ": "), (", ", ": "), (",", ":"), (" , ", " : ")))
    text = json.dumps(value, ensure_ascii=ascii_alone, separators=separators)
    return _LITERAL.sub(_literal, text).replace(_AGAIN, "")


def _literal(found: re.Match[str]) -> str:
    kind, _, levels = found[1].partition("_")
    if kind not in {"dict", "list"}:
        return found[1]
    opening, closing = ('{"a":', "}") if kind == "dict" else ("[", "]")
    return opening * int(levels) + "12345678901234567890123" + closing * int(levels)


# What happens to an event


def _objects(value: Any) -> Iterator[Event]:
    if isinstance(value, dict):
        yield value
        for inner in value.values():
            yield from _objects(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _objects(inner)


def _place(rng: Random, event: Event) -> tuple[Event, str] | None:
    """A key of some object; of the payload's more often than not."""
    payload = event.get("event", event.get("data"))
    holder = payload if rng.random() < 0.5 and payload else event
    places = [(one, key) for one in _objects(holder) for key in one]
    return rng.choice(places) if places else None


def anything(rng: Random, key: str = "") -> Any:
    """A value for a key."""
    fitting = BY_KEY.get(key)
    if fitting is not None and rng.random() < 0.7:
        return copy.deepcopy(rng.choice(fitting))
    kind = rng.choices(("one of", "none", "list", "object"), (70, 15, 7, 8))[0]
    if kind == "one of":
        return rng.choice(rng.choices((NUMBERS, TEXTS, _PLACES), (6, 7, 1))[0])
    if kind == "none":
        return rng.choice((None, True, False))
    if kind == "list":
        return [anything(rng) for _ in range(rng.randrange(4))]
    return {rng.choice(SOUGHT): anything(rng) for _ in range(rng.randrange(4))}


def _set(rng: Random, event: Event) -> Event:
    if (found := _place(rng, event)) is not None:
        found[0][found[1]] = anything(rng, found[1])
    return event


def _dropped(rng: Random, event: Event) -> Event:
    if (found := _place(rng, event)) is not None:
        del found[0][found[1]]
    return event


def _nearly(rng: Random, event: Event) -> Event:
    """A value of almost the same kind: the number as text, the text in a list, a letter more."""
    if (found := _place(rng, event)) is None:
        return event
    holder, key = found
    value = holder[key]
    others: list[Any] = [str(value), [value], {"value": value}, bool(value), None]
    if isinstance(value, str):
        odd = rng.choice(TEXTS)
        others += [
            value + odd,
            odd + value,
            quote(value, errors="replace"),
            value.upper(),
            value[:-1],
            value + "\n",
            value.replace("+", " "),
        ]
        others += [value.encode("utf-8", "replace").decode("latin-1"), value * 2, value.strip("/")]
    elif isinstance(value, int | float) and not isinstance(value, bool):
        others += [
            float(value),
            int(value),
            -value,
            value + 0.0005,
            value * 1e12,
            value / 3,
            f"<<{value}.0>>",
            f"<<{value}e0>>",
        ]
    elif isinstance(value, dict):
        others += [list(value), list(value.values()), [], {}, json.dumps(value)]
    elif isinstance(value, list):
        others += [
            {str(number): inner for number, inner in enumerate(value)},
            value * 2,
            json.dumps(value),
            *value,
        ]
    holder[key] = rng.choice(others)
    return event


def _added(rng: Random, event: Event) -> Event:
    """A name that is looked for, in a place where it may be found too soon, or too late."""
    holder, key = rng.choice(list(_objects(event))), rng.choice(SOUGHT)
    value = anything(rng, key)
    if rng.random() < 0.5:
        holder[key] = value
    else:
        _put_first(holder, key, value)
    return event


def _put_first(holder: Event, key: str, value: Any) -> None:
    rest = {name: inner for name, inner in holder.items() if name != key}
    holder.clear()
    holder.update({key: value, **rest})


def _twice(rng: Random, event: Event) -> Event:
    if (found := _place(rng, event)) is not None:
        holder, key = found
        value = anything(rng, key)
        if rng.random() < 0.5:
            holder[_AGAIN + key] = value
        else:
            _put_first(holder, _AGAIN + key, value)
    return event


def _shuffled(rng: Random, event: Event) -> Event:
    for one in list(_objects(event)):
        pairs = list(one.items())
        rng.shuffle(pairs)
        one.clear()
        one.update(pairs)
    return event


def _renamed(rng: Random, event: Event) -> Event:
    name = rng.choice(NAMES)
    if rng.random() < 0.3:
        event.pop("name", None)
    else:
        event["name"] = name
    event["event_type"] = (
        name if rng.random() < 0.7 else rng.choice(("/event", "/courses/x/?a=b", f"{name}?x=1", "", None))
    )
    return event


def _of_another(rng: Random, event: Event) -> Event:
    """Another event's payload, or a payload that is of both."""
    other = copy.deepcopy(rng.choice(as_they_come())["event"])
    if isinstance(other, dict) and isinstance(event.get("event"), dict) and rng.random() < 0.5:
        event["event"] |= other
    else:
        event["event"] = other
    return event


def _as_text(rng: Random, event: Event) -> Event:
    payload = event.get("event")
    text = written(rng, payload, rng.random() < 0.5)
    texts = [
        text,
        text,
        json.dumps(text),
        f" {text}\n",
        f"[{text}]",
        text[:512],
        "\ufeff" + text,
        text + "x",
        payload,
    ]
    if isinstance(payload, dict):
        values = {str(key): str(value) for key, value in payload.items()}
        form = urlencode(values, errors="replace")
        texts += [form, form[:512], str(payload)]
    event["event"] = rng.choice(texts)
    return event


def _without_context(rng: Random, event: Event) -> Event:
    context = event.get("context")
    event["context"] = rng.choice(
        (None, {}, [], "", "{}", [context], json.dumps(context), {"context": context}, 0)
    )
    if rng.random() < 0.2:
        del event["context"]
    return event


def _from_a_phone(rng: Random, event: Event) -> Event:
    context = event.setdefault("context", {})
    if isinstance(context, dict):
        context["application"] = {"name": "edx.mobileapp.iOS", "version": "2.23.1"}
        context["device"] = {"id": "x", "name": None}
        context.pop(rng.choice(("path", "course_id", "user_id", "org_id", "nothing")), None)
    event["event_source"] = "mobile"
    return event


def _moved(rng: Random, event: Event) -> Event:
    """A key in an object further out or further in."""
    places = list(_objects(event))
    holder, target = rng.choice(places), rng.choice(places)
    if holder:
        key = rng.choice(list(holder))
        if not isinstance(holder[key], dict | list):
            target[key] = holder.pop(key)
    return event


def _as_routers_have_it(rng: Random, event: Event) -> Event:
    event["data"] = event.get("event") if rng.random() < 0.5 else event.pop("event", None)
    event["timestamp"] = rng.choice((event.get("time"), event.pop("time", None)))
    return event


def _deep(rng: Random, event: Event) -> Event:
    if rng.random() < 0.3 and (found := _place(rng, event)) is not None:
        found[0][found[1]] = (
            f"<<{rng.choice(('dict', 'list'))}_{rng.choice((600, 795, 800, 950, 1020, 1030))}>>"
        )
        return event
    place: Event = {rng.choice(SOUGHT): anything(rng)}
    for _ in range(rng.choice((3, 30, 200))):
        place = {rng.choice(("a", "context", "data", "", "x.y")): place}
    event[rng.choice(("extra", "context", "event", "page"))] = place
    return event


def _questions(rng: Random, event: Event) -> Event:
    """More questions to a problem, or odder ones."""
    payload = event.get("event")
    if (
        not isinstance(payload, dict)
        or not isinstance(payload.get("submission"), dict)
        or not payload["submission"]
    ):
        return _set(rng, event)
    asked = payload["submission"]
    question = copy.deepcopy(rng.choice(list(asked.values())))
    for _ in range(rng.choice((1, 1, 2, 40))):
        asked[rng.choice((*BLOCKS, *TEXTS[:12], f"5a1b_{rng.randrange(9)}_1"))] = copy.deepcopy(question)
    if rng.random() < 0.5:
        payload[rng.choice(("correct_map", "answers", "state", "success"))] = anything(rng)
    for one in list(asked.values()):
        if isinstance(one, dict) and rng.random() < 0.3:
            key = rng.choice(
                ("answer", "correct", "question", "response_type", "input_type", "variant", "group_label")
            )
            one[key] = anything(rng, key)
    return event


ODDITIES: Final[tuple[Oddity, ...]] = (
    *(_set, _set, _set, _set, _nearly, _nearly, _nearly, _nearly, _dropped, _dropped, _added, _added, _twice),
    *(
        _shuffled,
        _renamed,
        _of_another,
        _as_text,
        _without_context,
        _from_a_phone,
        _moved,
        _as_routers_have_it,
        _deep,
    ),
    *(_questions, _questions),
)
