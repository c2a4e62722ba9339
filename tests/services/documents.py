"""The documents of this project: their blocks of code, and which of them are commands that can be run."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted(
    [
        ROOT / "README.md",
        ROOT / "CHANGELOG.md",
        *(ROOT / "docs").glob("**/*.md"),
        *(ROOT / "deploy").glob("**/*.md"),
    ]
)
_BLOCK = re.compile(
    r"^(?P<indent> *)```(?P<language>\S*)\n(?P<text>.*?)^(?P=indent)```$"
    r"(?:\n+(?P=indent)\*Not run here: (?P<why>[^*]+)\*$)?",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    """A fenced block of a document.

    Attributes:
        document: its path in the repository.
        line: where it begins.
        language: what stands behind the fence.
        text: what it shows, without the indent of the list that it may be in.
        why_not_run: what the line `*Not run here: …*` below it says; empty where there is none.
    """

    document: str
    line: int
    language: str
    text: str
    why_not_run: str

    @property
    def sets_only(self) -> bool:
        """It does nothing but set variables."""
        return self.language == "sh" and all(line.startswith("export ") for line in self.text.splitlines())

    def __str__(self) -> str:
        """Where it is and how it begins."""
        return f"{self.document}:{self.line}: {self.text[:60]!r}"


def named(document: Path) -> str:
    """A document's path in the repository."""
    return document.relative_to(ROOT).as_posix()


def blocks(document: Path) -> Iterator[Block]:
    """The fenced blocks of a document, in their order."""
    text = document.read_text()
    for found in _BLOCK.finditer(text):
        shown = "".join(
            line.removeprefix(found["indent"]) for line in found["text"].splitlines(keepends=True)
        )
        yield Block(
            document=named(document),
            line=text.count("\n", 0, found.start()) + 1,
            language=found["language"],
            text=shown,
            why_not_run=found["why"] or "",
        )
