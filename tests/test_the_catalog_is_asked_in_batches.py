"""Every listed file is judged once, in its order, while the next ones are listed; whatever fails is told of."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import pytest

from aspects_orchestration.tracking.catalog import Known, Verdict, select
from aspects_orchestration.tracking.stores import LogFile
from aspects_orchestration.window import month_window

_WINDOW = month_window("2024-05")
_FILES = 25_000
_NOW = datetime(2024, 7, 1, tzinfo=UTC)


def _file(number: int) -> LogFile:
    return LogFile(f"s3://bucket/{number:06d}", 1, f"etag {number}", _NOW)


class _Catalog:
    """It knows most files: by their number every tenth touches the window, and every seventh has changed since."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.threads: set[str] = set()
        self.closed: list[str] = []

    def look_up(self, uris: Sequence[str]) -> dict[str, Known]:
        self.asked.append(len(uris))
        self.threads.add(threading.current_thread().name)
        numbers = [int(uri.rpartition("/")[2]) for uri in uris]
        return {
            uri: Known(
                "another" if number % 7 == 0 else f"etag {number}", number % 10 == 0, all_undated=False
            )
            for uri, number in zip(uris, numbers, strict=True)
        }

    def close(self) -> None:
        self.closed.append(threading.current_thread().name)


def _expected(number: int) -> Verdict:
    if number % 7 == 0:
        return Verdict.UNKNOWN
    return Verdict.TOUCHES if number % 10 == 0 else Verdict.ELSEWHERE


@pytest.mark.parametrize("count", [0, 1, 10_000, 10_001, _FILES])
def test_each_file_is_judged_once_and_in_its_order(count: int) -> None:
    catalog = _Catalog()
    found = list(select(map(_file, range(count)), catalog.look_up, _WINDOW, close=catalog.close))
    assert found == [(_file(number), _expected(number)) for number in range(count)]
    assert sum(catalog.asked) == count
    assert max(catalog.asked, default=0) <= 10_000
    assert len(catalog.closed) == 1


def test_the_next_files_are_listed_while_the_catalog_is_asked() -> None:
    catalog, listed_more = _Catalog(), threading.Event()

    def listing() -> Iterator[LogFile]:
        for number in range(_FILES):
            if number == 10_001:
                listed_more.set()
            yield _file(number)

    def look_up(uris: Sequence[str]) -> dict[str, Known]:
        assert listed_more.wait(60), "no file was listed meanwhile"
        return catalog.look_up(uris)

    assert len(list(select(listing(), look_up, _WINDOW, close=catalog.close))) == _FILES
    assert threading.current_thread().name not in catalog.threads
    assert set(catalog.closed) == catalog.threads, "its connection is a thread's own"


def test_a_catalog_that_does_not_answer_ends_it() -> None:
    catalog = _Catalog()

    def look_up(uris: Sequence[str]) -> dict[str, Known]:
        if catalog.asked:
            raise ConnectionError("gone")
        return catalog.look_up(uris)

    judged = select(map(_file, range(_FILES)), look_up, _WINDOW, close=catalog.close)
    with pytest.raises(ConnectionError, match="gone"):
        list(judged)
    assert len(catalog.closed) == 1


def test_storage_that_cannot_be_listed_ends_it() -> None:
    catalog = _Catalog()

    def listing() -> Iterator[LogFile]:
        yield from map(_file, range(15_000))
        raise PermissionError("no")

    with pytest.raises(PermissionError, match="no"):
        list(select(listing(), catalog.look_up, _WINDOW, close=catalog.close))
    assert len(catalog.closed) == 1


def test_who_wants_no_more_leaves_no_thread() -> None:
    catalog = _Catalog()
    judged = select(map(_file, range(_FILES)), catalog.look_up, _WINDOW, close=catalog.close)
    next(judged)
    judged.close()  # type: ignore[attr-defined]
    assert len(catalog.closed) == 1
    assert not [one for one in threading.enumerate() if one.name.startswith("catalog")]
