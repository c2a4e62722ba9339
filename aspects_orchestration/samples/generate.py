"""Lines of sample logs, from a spec."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import cycle
from typing import Final, NamedTuple

from aspects_orchestration.samples import site
from aspects_orchestration.samples.clock import event_times
from aspects_orchestration.samples.damage import DAMAGES, OF_RECORD, TOLERABLE, slots_of_nobody
from aspects_orchestration.samples.events import KINDS, Kind
from aspects_orchestration.samples.spec import SampleSpec
from aspects_orchestration.samples.template import Slots, escaped
from aspects_orchestration.samples.wrapping import WRAPPERS

_BY_WEIGHT: Final = 1_000
_SESSIONS: Final = 48
_UNITS: Final = 64
_AGENTS: Final = (
    b"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/124 Safari",
    b"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Safari/605",
    b"Mozilla/5.0 (X11; Linux x86_64; rv:125.0) Gecko/20100101 Firefox/125.0",
    b"Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) AppleWebKit/605 (KHTML, like Gecko) Mobile/15E",
    b"Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/124.0 Mobile",
)
_LANGUAGES: Final = (
    b"en-US,en;q=0.9",
    b"pt-PT,pt;q=0.9,en;q=0.5",
    b"ja,en-US;q=0.7,en;q=0.3",
    b"ar-EG,ar;q=0.9",
    b"de-CH",
)
_ANSWERS: Final = (
    "42",
    "Die Größe nimmt zu",
    "El área es 3 cm²",
    "答えは三つあります",
    'They said "yes" & left',
    "x < y\nbut y > z",
    "C:\\data\\week 2",
    "Потому что сумма равна нулю",
    "I think it depends 🤔",
    "mitochondria",
)
_ESSAY: Final = 'Lorem ipsum — une idée qui revient, パラグラフ, and "so on". ' * 400
_ESSAYS: Final = (escaped(_ESSAY, ascii_only=False), escaped(_ESSAY))


class SampleLine(NamedTuple):
    """One record and what is known of it.

    Args:
        raw: its bytes with the newline; several lines where a runtime split it.
        name: the event's name; a path with unfilled slots for page views.
        time: of the event, ISO 8601 in UTC with microseconds.
        transformable: whether its event becomes xAPI statements.
        damage: one of ``DAMAGES``, or None.
    """

    raw: bytes
    name: str
    time: bytes
    transformable: bool
    damage: str | None


def _pick(choices: Sequence[bytes], rng: random.Random) -> bytes:
    return choices[int(rng.random() * len(choices))]


def _session(spec: SampleSpec, rng: random.Random) -> Slots:
    """A learner sits down: all slots that stay as they are until the next one does."""
    number = int(spec.users * rng.random() ** 2)
    who, staff = site.learner(spec.seed, number), site.learner(spec.seed, 0)
    course_number = (number * 7 + int(rng.random() * 3)) % spec.courses
    course = site.course(course_number)
    address = int(rng.random() * 254) + 1
    ascii_only = number % 2 == 0
    return {
        b"user_id": b"%d" % who.user_id,
        b"username": escaped(who.username, ascii_only=ascii_only),
        b"email": who.email.encode(),
        b"staff_id": b"%d" % staff.user_id,
        b"staff_name": escaped(staff.username),
        b"session": b"%032x" % rng.getrandbits(128),
        b"ip": b"2001:db8::%x" % address
        if number % 9 == 0
        else _pick((b"198.51.100.%d", b"203.0.113.%d"), rng) % address,
        b"agent": _pick(_AGENTS, rng),
        b"language": _pick(_LANGUAGES, rng),
        b"host": spec.lms_root_url.split("://")[-1].encode(),
        b"root": spec.lms_root_url.encode(),
        b"course": course.key.encode(),
        b"org": course.org.encode(),
        b"block": course.block_prefix.encode(),
        b"essay": _ESSAYS[ascii_only],
        b"course_number": b"%d" % course_number,
    }


def _unit(course_number: int, number: int) -> Slots:
    unit = site.unit(course_number, number)
    return {
        b"chapter": unit.chapter.encode(),
        b"sequential": unit.sequential.encode(),
        b"vertical": unit.vertical.encode(),
        b"html": unit.html.encode(),
        b"video": unit.video.encode(),
        b"problem": unit.problem.encode(),
        b"title": escaped(unit.title, ascii_only=number % 2 == 0),
        b"title_in_payload": escaped(unit.title, depth=2),
        b"duration": b"%d" % unit.video_seconds,
        b"tabs": b"%d" % unit.tabs,
    }


def _doing(rng: random.Random) -> Slots:
    """What somebody does in a unit: positions, answers and grades that agree with one another."""
    possible = 1 + int(rng.random() * 5)
    earned = int(rng.random() * (possible + 1))
    percent = int(rng.random() * 101)
    tab = 1 + int(rng.random() * 4)
    return {
        b"seconds": b"%d.%06d" % (rng.random() * 90, rng.random() * 1_000_000),
        b"old_seconds": b"%d.%d" % (rng.random() * 90, rng.random() * 1000),
        b"tab": b"%d" % tab,
        b"target_tab": b"%d" % (tab % 4 + 1),
        b"possible": b"%d" % possible,
        b"earned": b"%d" % earned,
        b"correct": b"correct" if earned == possible else b"incorrect",
        b"is_correct": b"true" if earned == possible else b"false",
        b"percent": b"%d.%02d" % divmod(percent, 100),
        b"letter": b"Pass" if percent >= 50 else b"",
        b"attempts": b"%d" % (1 + int(rng.random() * 4)),
        b"attempt": b"%d" % (1 + rng.getrandbits(20)),
        b"choice": b"choice_%d" % (rng.random() * 4),
        b"number": b"%d.%d" % (rng.random() * 100, rng.random() * 10),
        b"answer": escaped(_ANSWERS[int(rng.random() * len(_ANSWERS))], ascii_only=rng.random() < 0.5),
        b"hint": b"%d" % (rng.random() * 3),
        b"old_speed": _pick((b"1.0", b"1.25"), rng),
        b"new_speed": _pick((b"0.75", b"1.50", b"2.0"), rng),
        b"completion": _pick((b"1.0", b"1.0", b"1.0", b"0.0", b"0.5"), rng),
        b"mode": _pick((b"audit", b"honor", b"verified"), rng),
        b"vote": _pick((b"up", b"down"), rng),
        b"thread_type": _pick((b"question", b"discussion"), rng),
    }


def _mixture(kinds: Sequence[Kind], rng: random.Random) -> Iterator[Kind]:
    """An endless mixture by weight; first of all, and then at times, each kind once, so that none lacks."""
    table = [kind for kind in kinds for _ in range(kind.weight)]
    while True:
        yield from sorted(kinds, key=lambda _: rng.random())
        for _ in range(_BY_WEIGHT):
            yield table[int(rng.random() * len(table))]


def generate(spec: SampleSpec) -> Iterator[SampleLine]:
    """Generate the records of a spec, each with what is known of it.

    Args:
        spec: what to generate.

    Yields:
        ``spec.lines`` records, by the time of their event but for neighbours that changed places.
        Records that are neither damaged nor share a time, so no two of their statements share an id.

    Raises:
        SampleError: the span has too few microseconds for as many lines.
    """
    rng = random.Random(f"aspects sample {spec.seed}")  # noqa: S311 - reproducible, not secret
    wrap = WRAPPERS[spec.style]
    transformable = _mixture([kind for kind in KINDS if kind.transformable], rng)
    others = _mixture([kind for kind in KINDS if not kind.transformable], rng)
    damages = cycle(DAMAGES)
    doings = [_doing(rng) for _ in range(2048)]
    units: dict[tuple[int, int], Slots] = {}
    sessions: list[Slots] = [{} for _ in range(_SESSIONS)]
    recent = SampleLine(b"", "", b"", False, None)

    for time in event_times(spec, rng):
        dice = rng.getrandbits(32)
        slots = sessions[dice % _SESSIONS]
        if not slots or dice % 61 == 0:
            slots = sessions[dice % _SESSIONS] = _session(spec, rng)
        if b"video" not in slots or dice % 7 == 0:
            key = (int(slots[b"course_number"]), int(rng.random() * _UNITS))
            if key not in units:
                if len(units) > 20_000:
                    units.clear()
                units[key] = _unit(*key)
            slots.update(units[key])
        slots.update(doings[dice >> 21])
        token = b"%032x" % rng.getrandbits(128)
        slots[b"time"] = time
        slots[b"hex"] = token
        slots[b"hex24"] = token[:24]
        slots[b"uuid"] = b"%b-%b-4%b-8%b-%b" % (
            token[:8],
            token[8:12],
            token[13:16],
            token[17:20],
            token[20:],
        )

        damage = next(damages) if spec.damage and rng.random() < spec.damage else None
        if damage is None or (damage == "duplicate" and not recent.raw):
            kind = next(transformable) if rng.random() < spec.transformable else next(others)
            recent = SampleLine(
                wrap(kind.template % slots, slots, dice >> 8), kind.name, time, kind.transformable, None
            )
            yield recent
        elif damage == "duplicate":
            yield recent._replace(damage=damage)
        else:
            yield _damaged(damage, next(transformable), slots, spec.style, rng)


def _damaged(damage: str, kind: Kind, slots: Slots, style: str, rng: random.Random) -> SampleLine:
    event = kind.template % (slots | slots_of_nobody(damage))
    if damage == "no_time":
        event = event.replace(b'"time": "%b", ' % slots[b"time"], b"", 1)
    record = WRAPPERS[style](event, slots, rng.getrandbits(8))
    if damage in OF_RECORD:
        record = OF_RECORD[damage](record, rng)
    return SampleLine(record, kind.name, slots[b"time"], damage in TOLERABLE, damage)


def generate_lines(spec: SampleSpec) -> Iterator[bytes]:
    """Generate the lines of a spec, each with its newline.

    Args:
        spec: what to generate.

    Yields:
        The lines. There are ``spec.lines``, or a few more in the styles that split long records.

    Raises:
        SampleError: the span has too few microseconds for as many lines.
    """
    for sample in generate(spec):
        if len(sample.raw) > 16_384:
            yield from (line + b"\n" for line in sample.raw[:-1].split(b"\n"))
        else:
            yield sample.raw


def lines_for_size(spec: SampleSpec, size: int) -> int:
    """How many lines come to a size, to about two per cent.

    Args:
        spec: what to generate; its ``lines`` do not matter.
        size: bytes, before compression.
    """
    trial = replace(spec, lines=10_000)
    mean = sum(len(sample.raw) for sample in generate(trial)) / trial.lines
    return max(1, round(size / mean))
