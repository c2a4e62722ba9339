"""Blocks of the courses: the CMS's export of them, from log storage into event_sink.

Course structure lives in the modulestore, which only the CMS can walk; docs/lms-tables.md has the form of the export.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

from aspects_orchestration.errors import LmsError
from aspects_orchestration.lms.blocks import Portion
from aspects_orchestration.lms.copy import CopyRequest, CopyResult, copy_rows
from aspects_orchestration.lms.event_sink import COURSE_BLOCKS
from aspects_orchestration.lms.throttle import Throttle
from aspects_orchestration.tracking.stores import LogFile, LogStore, S3Options, open_store
from aspects_orchestration.warehouse.client import Warehouse
from aspects_orchestration.warehouse.schema import SchemaNames
from aspects_orchestration.xapi.site_files import Row, rows

SETTING = "ASPECTS_COURSE_BLOCKS"
COLUMNS = tuple(COURSE_BLOCKS.columns)


def copy_course_blocks(
    uri: str,
    warehouse: Warehouse,
    names: SchemaNames,
    request: CopyRequest,
    *,
    s3: S3Options,
    spool: Path,
    say: Callable[[str], None] = lambda _: None,
) -> CopyResult:
    """Copy an export of course blocks into event_sink: the blocks that are new there or have changed.

    Args:
        uri: of the file, CSV, NDJSON or Parquet.
        warehouse: ClickHouse.
        names: of the databases in ClickHouse.
        request: what of it; `start_after` and `ids` are numbers of rows of the file, the first is 1.
        s3: how to talk to S3.
        spool: folder for temporary copies.
        say: told what happens, in words.

    Raises:
        LmsError: there is no such file.
        IdentityError: it is not of the documented form.
        LogStoreError: it cannot be read.
        WarehouseError: ClickHouse refuses, or another copy of this table goes on.
    """
    store = open_store(uri, s3=s3, setting=SETTING)
    file = _export(store, uri)

    def portions(after: Any, _since: datetime | None, throttle: Throttle) -> Iterator[Portion]:
        with closing(store.open(file)) as stream:
            found = rows(stream, uri=uri, setting=SETTING, required=COLUMNS, spool=spool)
            found = islice(found, int(after or 0), None)
            while page := list(islice(found, throttle.page(request.batch_size))):
                throttle.pay(len(page))
                wanted = [
                    (number, row)
                    for number, row in page
                    if number not in request.ids_to_skip and (not request.ids or number in request.ids)
                ]
                made = [(number, _block(row)) for number, row in wanted]
                good = [one for _, one in made if one is not None]
                bad = tuple(number for number, one in made if one is None)
                yield Portion(good, len(wanted), 0, bad, page[-1][0])

    return copy_rows(
        portions,
        warehouse,
        names,
        COURSE_BLOCKS,
        replace(request, version=f"{file.uri} {file.etag}"),
        say=say,
    )


def _export(store: LogStore, uri: str) -> LogFile:
    found = next(iter(store.list()), None)
    if found is None:
        raise LmsError(
            f"{SETTING}: there is no {uri}", do="Have the CMS write its export there (docs/lms-tables.md)."
        )
    return found


def _block(row: Row) -> tuple[Any, ...] | None:
    try:
        order = int(row["order"] or 0)
    except ValueError:
        return None
    if not row["location"] or not -(2**31) < order < 2**31:
        return None
    return tuple(order if name == "order" else row[name] for name in COLUMNS)
