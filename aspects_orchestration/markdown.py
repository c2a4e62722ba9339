"""Text from elsewhere (file names, keys, verbs, messages) in the Markdown that Dagster's UI shows."""

from __future__ import annotations


def cell(text: object) -> str:
    """A text that stays one cell of a table, and markup of nobody's.

    Args:
        text: of anybody: a file may be called `|<img src=x>`.
    """
    escaped = str(text).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("`", "\\`")
    return " ".join(escaped.replace("[", "\\[").split())
