"""What a table's TTL says, read from `system.tables.engine_full`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from aspects_orchestration.warehouse.ttl import Expiry, read_expiry

RuleKind = Literal["delete", "delete where", "move", "recompress", "group by", "unreadable"]

_CLAUSE = re.compile(r"\b(TTL|SETTINGS|COMMENT|PARTITION BY|ORDER BY|PRIMARY KEY|SAMPLE BY)\s")
_KEEPING = re.compile(
    r"if\(\(?toYYYYMM\(`?\w+`?\)\s+IN\s+[(\[]([\d,\s]+)[)\]]\)?,\s*toDateTime\('2106-01-01 00:00:00'\),\s*(.+)\)\Z",
    re.IGNORECASE | re.DOTALL,
)
_KINDS: tuple[tuple[str, RuleKind], ...] = (
    (r"\bTO\s+(VOLUME|DISK)\b", "move"),
    (r"\bGROUP\s+BY\b", "group by"),
    (r"\bRECOMPRESS\b", "recompress"),
    (r"\bWHERE\b", "delete where"),
)


@dataclass(frozen=True)
class Rule:
    """One rule of a table's TTL.

    Attributes:
        text: as ClickHouse shows it.
        kind: what it does; only `delete` is what a policy is made of.
        expiry: column and interval of a `delete` that could be read.
        kept: partition ids that it keeps beyond the interval (`retention_modify_ttl_keeping`).
    """

    text: str
    kind: RuleKind
    expiry: Expiry | None = None
    kept: frozenset[str] = frozenset()

    @property
    def months(self) -> int | None:
        """Whole calendar months that a plain rule keeps rows; None for any other rule."""
        if self.expiry is None or self.expiry.function not in {"", "todatetime"}:
            return None
        return self.expiry.ttl.months

    @property
    def is_aligned(self) -> bool:
        """Whether monthly partitions expire as a whole, and no row too early."""
        return self.kind in {"move", "recompress", "group by"} or self.months is not None


def rules_of(engine_full: str) -> tuple[Rule, ...]:
    """The rules of a table's TTL, in their order.

    Args:
        engine_full: of `system.tables`.

    Example:
        >>> [rule.months for rule in rules_of("MergeTree ORDER BY a TTL b + toIntervalYear(1) SETTINGS c = 1")]
        [12]
    """
    return tuple(_rule(text) for text in _split(_clause(engine_full, "TTL")))


def settings_of(engine_full: str) -> dict[str, str]:
    """The settings of a table that are not the server's own."""
    pairs = (one.partition("=") for one in _split(_clause(engine_full, "SETTINGS")))
    return {name.strip(): value.strip() for name, _, value in pairs if value}


def _rule(text: str) -> Rule:
    bare = re.sub(r"'(?:[^'\\]|\\.)*'", "''", text)
    for pattern, kind in _KINDS:
        if re.search(pattern, bare, re.IGNORECASE):
            return Rule(text, kind)
    keeping = _KEEPING.match(text)
    inner = keeping[2] if keeping else text
    expiry = read_expiry(inner)
    if expiry is None:
        return Rule(text, "unreadable")
    kept = frozenset(re.findall(r"\d{6}", keeping[1])) if keeping else frozenset[str]()
    return Rule(text, "delete", expiry, kept)


def _clause(engine_full: str, name: str) -> str:
    found = [match for match in _CLAUSE.finditer(engine_full) if _is_outside(engine_full, match.start())]
    for number, match in enumerate(found):
        if match[1] == name:
            end = found[number + 1].start() if number + 1 < len(found) else len(engine_full)
            return engine_full[match.end() : end].strip()
    return ""


def _is_outside(text: str, at: int) -> bool:
    return all(depth == 0 for index, depth in _depths(text[: at + 1]) if index == at)


def _split(text: str) -> list[str]:
    """Cut at commas that stand in no parentheses and no quotes."""
    cuts = [index for index, depth in _depths(text) if depth == 0 and text[index] == ","]
    parts = [text[start + 1 : end] for start, end in zip([-1, *cuts], [*cuts, len(text)], strict=True)]
    return [part.strip() for part in parts if part.strip()]


def _depths(text: str) -> Iterator[tuple[int, int]]:
    """Each character's place and how deep in parentheses it stands; inside quotes one deeper."""
    depth, quote, escaped = 0, "", False
    for index, character in enumerate(text):
        if quote:
            yield index, depth + 1
            if not escaped and character == quote:
                quote = ""
            escaped = not escaped and character == "\\"
            continue
        depth -= character in ")]"
        yield index, depth
        depth += character in "(["
        if character in "'`\"":
            quote = character
