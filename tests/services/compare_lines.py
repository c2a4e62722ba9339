"""Odd lines on the whole way of a load, with either engine: `python -m services.compare_lines ACTOR_TYPE COUNT SEED`.

Prints JSON: how many lines were compared, how many of their events a builder answered, the reasons why others gave
nothing, and the lines of which the statements, their ids or the reason differ. A hundred thousand lines take some three
minutes of one core: another seed is another search. A process of its own, since Django's settings and the patches are
global.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from aspects_orchestration.native import native
from aspects_orchestration.tracking.events import Event
from aspects_orchestration.tracking.names import KnownNames
from aspects_orchestration.tracking.stores import S3Options
from aspects_orchestration.window import Window
from aspects_orchestration.xapi import erb
from aspects_orchestration.xapi.built import BuiltStatement
from aspects_orchestration.xapi.engine import Engine
from aspects_orchestration.xapi.fast.engine import FastEngine
from aspects_orchestration.xapi.transform import ChunkTransformer, Transformed, WorkChunk
from aspects_orchestration.xapi.verify import canonical
from services.compare_substrate import SPEC
from services.oddities import Everybody, as_they_come, odd_lines

_AT_ONCE = 1_000
_FILE = "file:///tracking.log"


@dataclass(frozen=True)
class Setup:
    """Every event is in the window, and nothing is kept."""

    window: Window
    s3: S3Options
    quarantine_folder: str = ""
    max_line_bytes: int = 1 << 24
    verify: float = 0.0


class Counting(FastEngine):
    """The fast engine; counts what builders answer."""

    built = 0

    def statements_of_quick(self, event: Event, moment: int) -> list[BuiltStatement] | None:
        found = super().statements_of_quick(event, moment)
        self.built += found is not None
        return found


def outcomes(found: Transformed) -> dict[int, list[tuple[Any, ...]]]:
    """What became of each line, by its offset: its statements' ids, times and texts, or the reason for none."""
    by_line: dict[int, list[tuple[Any, ...]]] = {}
    for bad in found.bad:
        missing = None if bad.missing is None else tuple(bad.missing)
        by_line.setdefault(bad.byte_offset, []).append((bad.reason, bad.detail, missing))
    for offset, *row in rows(bytes(found.rows)):
        by_line.setdefault(offset, []).append(tuple(row))
    return by_line


def rows(data: bytes) -> list[tuple[int, bytes, int, str, int]]:
    """Rows of the staging table: the line's offset, and of the statement its id, time, canonical text and number."""
    found, at = [], 0
    while at < len(data):
        identity, micros = data[at : at + 16], int.from_bytes(data[at + 16 : at + 24], "little")
        event, at = _text(data, at + 24)
        _, at = _text(data, at)
        offset = int.from_bytes(data[at : at + 8], "little")
        number = int.from_bytes(data[at + 8 : at + 10], "little")
        found.append((offset, identity, micros, canonical(event), number))
        at += 10
    return found


def _text(data: bytes, at: int) -> tuple[bytes, int]:
    length = shift = 0
    while True:
        byte = data[at]
        length |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return data[at : at + length], at + length


def main() -> None:
    actor_type, count, seed = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    transformer = erb.boot(lms_root_url=SPEC.lms_root_url, actor_type=actor_type)
    engine = Counting(transformer, lms_root_url=SPEC.lms_root_url)
    names = KnownNames(transformer.registered)
    people = Everybody()
    always = Window(datetime(1970, 1, 1, tzinfo=UTC), datetime(2106, 3, 1, tzinfo=UTC))
    setup = Setup(always, S3Options())

    def transformed(by: Engine, known: KnownNames | None, data: bytes) -> Transformed:
        return ChunkTransformer(
            setup, transformer=transformer, engine=by, identities=people, courses=people, known=known
        ).transform(WorkChunk(_FILE, "1", 0, data), bytearray())

    events = as_they_come()
    different: list[str] = []
    accounts: list[str] = []
    reasons: Counter[str] = Counter()
    lines = passed = statements = 0
    for part in range(0, count, _AT_ONCE):
        data = b"".join(odd_lines(min(_AT_ONCE, count - part), f"{seed} {part}", events))
        fast = transformed(engine, names, data)
        with engine.stock() as stock:
            theirs = transformed(stock, None, data)
        lines += theirs.account.lines
        statements += theirs.account.statements
        reasons.update(theirs.account.quarantined)
        ours, other = outcomes(fast), outcomes(theirs)
        for offset in sorted(ours.keys() | other.keys()):
            if ours.get(offset) == other.get(offset):
                continue
            line = data[offset : data.index(b"\n", offset)]
            # Without a parse, nobody sees that a line is damaged whose event has no transformer anyway.
            if offset not in ours and (not names.may_be_in(line.strip()) or names.passing()(line + b"\n")):
                passed += 1
            else:
                different.append(line.decode())
        for account in (fast.account, theirs.account):
            account.skipped["no_transformer"] += account.skipped.pop("not_an_event", 0)
        if not passed and fast.account != theirs.account:
            accounts.append(f"{seed} {part}: {fast.account} is not {theirs.account}")
    result = {
        "compiled": native is not None,
        "lines": lines,
        "statements": statements,
        "built": engine.built,
        "passed_over_damaged": passed,
        "reasons": reasons,
        "off": engine.off,
        "different": different[:20],
        "accounts": accounts[:5],
    }
    print(json.dumps(result))  # noqa: T201


if __name__ == "__main__":
    main()
