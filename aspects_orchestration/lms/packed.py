"""Rows of large tables, read fast: all texts of a row come as one value and are parted again a page at a time.

The driver takes its time for every single value; a row of twenty texts costs it ten times a row of one. MySQL joins the
texts with a control character between them, Arrow parts them. A row whose texts hold that character themselves, or are too
long to be joined, gives another number of parts: it is told, and read again the plain way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql

from aspects_orchestration.lms.database import Page, Row
from aspects_orchestration.lms.tables import LmsFlag, LmsTime, LmsUuid
from aspects_orchestration.lms.values import field_time, flag, text, uuid_text, whole

if TYPE_CHECKING:
    import pyarrow as pa

#: ASCII's unit separator.
_BETWEEN = "\x1f"
_UTF8 = mysql.CHAR(charset="utf8mb4")
#: The key, and what tells of a retired user, come first.
_BEFORE = 2


@dataclass(frozen=True)
class Packed:
    """A way to read a table's rows with their texts packed.

    Attributes:
        page: the statement of a page: the key, what tells of a retired user, the columns of `layout` that are no texts,
            and the texts packed.
        layout: for each column of event_sink the LMS's column that fills it.
    """

    page: Page
    layout: Mapping[str, sa.Column[Any]]


def converter(column: sa.Column[Any]) -> Callable[[Any], Any]:
    """From a value of the LMS's column to event_sink's; None for what cannot be."""
    kinds: tuple[tuple[type, Callable[[Any], Any]], ...] = (
        (LmsTime, field_time),
        (LmsUuid, uuid_text),
        (LmsFlag, flag),
    )
    for kind, convert in kinds:
        if isinstance(column.type, kind):
            return convert
    # Ids are numbers in event_sink too; other numbers, such as a year of birth, are texts there.
    is_id = isinstance(column.type, sa.Integer) and (column.name == "id" or column.name.endswith("_id"))
    return whole if is_id else text


def is_text(column: sa.Column[Any]) -> bool:
    """Whether a column of the LMS goes into event_sink as text just as it is, and so is packed."""
    return converter(column) is text


def packed_texts(values: Sequence[tuple[sa.ColumnElement[Any], bool]]) -> sa.ColumnElement[Any]:
    """All of these as one value of bytes in UTF-8, null as nothing; for MySQL and MariaDB.

    Args:
        values: each with whether the server keeps it as UTF-8. Such bytes are taken as they are: if they are none after
            all, that must be seen here, not mended on the way.
    """
    # As bytes, so that columns of several collations can stand beside each other.
    plain = [
        sa.func.coalesce(sa.cast(one if utf8 else sa.cast(one, _UTF8), sa.LargeBinary), "")
        for one, utf8 in values
    ]
    return sa.func.concat_ws(sa.cast(sa.literal(_BETWEEN), sa.LargeBinary), *plain)


def unpacked(rows: Iterable[Row], packed: Packed) -> tuple[dict[str, pa.Array], list[int | str]]:
    """Packed rows as columns of event_sink.

    Args:
        rows: as `Packed.page` selects them, without those of users that are retired.
        packed: how they were read.

    Returns:
        The columns of the rows that could be parted, and the keys of those to be read the plain way.
    """
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    found = list(rows)
    texts = [name for name, column in packed.layout.items() if is_text(column)]
    parted = pc.split_pattern(pa.array([row[-1] for row in found], pa.binary()), pattern=_BETWEEN)
    whole_rows = pc.fill_null(pc.equal(pc.list_value_length(parted), len(texts)), False)
    again: list[int | str] = []
    if not pc.all(whole_rows).as_py():
        good = whole_rows.to_pylist()
        again = [row[0] for row, fine in zip(found, good, strict=True) if not fine]
        found = [row for row, fine in zip(found, good, strict=True) if fine]
        parted = parted.filter(whole_rows)
    if not found:
        return {}, again
    try:
        flat = parted.flatten().cast(pa.string())
        by_place = list(zip(*found, strict=True))
        others = [name for name in packed.layout if name not in texts]
        columns = {
            name: _plain_column(by_place[place], converter(packed.layout[name]))
            for place, name in enumerate(others, _BEFORE)
        }
    except (pa.ArrowInvalid, OverflowError):
        # Somewhere are bytes that are no UTF-8, an id that is none, or a number that is too large.
        return {}, [*again, *(row[0] for row in found)]
    for place, name in enumerate(texts):
        columns[name] = flat.take(pa.array(np.arange(place, len(flat), len(texts))))
    return columns, again


def _plain_column(values: Sequence[Any], convert: Callable[[Any], Any]) -> pa.Array:
    """One column of event_sink from one of the LMS.

    Raises:
        pyarrow.ArrowInvalid, OverflowError: a value cannot be.
    """
    import pyarrow as pa

    if convert is whole:
        return pa.array(values, pa.int32()).fill_null(0)
    if convert is flag:
        return pa.array([bool(one) for one in values], pa.bool_())
    made = pa.array([convert(one) for one in values], pa.string())
    if made.null_count:
        raise pa.ArrowInvalid("a value is missing")
    return made
