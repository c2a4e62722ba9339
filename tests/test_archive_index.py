"""The index answers from the manifests alone, is made again when it is lost, and believes no manifest that does not fit."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from services.seals import FIRST, SealSite, event, town

from aspects_orchestration.archive.manifest import ManifestError
from aspects_orchestration.errors import LogStoreError

__all__ = ["town"]

DAY_3 = date(2024, 5, 3)


@pytest.fixture
def sealed(town: SealSite) -> SealSite:
    town.put_days(3, 2)
    both = event(1, datetime(2024, 4, 30, tzinfo=UTC)) + event(2) + b'{"event_type": "cut", "event'
    town.put("april.log", both, datetime(2024, 5, 2, 3, tzinfo=UTC))
    town.seal(FIRST)
    town.seal(DAY_3)
    return town


def index_file(site: SealSite) -> Path:
    (found,) = (site.folder / "home" / "archive-index").glob("*.sqlite")
    return found


def test_it_answers_by_source_month_and_day(sealed: SealSite) -> None:
    index, uri = sealed.index, (sealed.logs / "april.log").as_uri()
    assert [one.source for one in index.of_sources([uri, "file:///nowhere"])[uri]] == [uri]
    assert index.months() == ["2024-04", "2024-05"]
    assert {one.source for one in index.of_month("2024-04")} == {uri}
    assert {one.source for one in index.of_month("2020-01")} == {uri}, "it has a line without a time"
    assert len(list(index.of_month("2024-05"))) == len(list(index.all())) == 7
    assert [len(list(index.of_day(date(2024, 5, day)))) for day in (1, 2, 3)] == [2, 3, 2]
    days = index.update()
    assert [(one.day.day, one.objects, one.lines) for one in days] == [(1, 2, 40), (2, 3, 43), (3, 2, 40)]
    assert {one.sealed_by for one in days} == {"a test"}
    assert days[-1].newest_line == max(one.last_event for one in index.of_day(DAY_3) if one.last_event)


def test_thrown_away_it_is_made_again(sealed: SealSite) -> None:
    before = sealed.objects()
    index_file(sealed).unlink()
    assert sealed.objects() == before


def test_one_that_is_no_index_is_told(sealed: SealSite) -> None:
    index_file(sealed).write_bytes(b"no database at all, and longer than a header of one would be" * 20)
    with pytest.raises(LogStoreError, match="remove it: it is made again"):
        sealed.seal(date(2024, 5, 4))


def test_several_at_once_read_the_manifests_once_each(sealed: SealSite) -> None:
    index_file(sealed).unlink()
    with ThreadPoolExecutor(6) as threads:
        found = list(threads.map(lambda _: len(sealed.objects()), range(6)))
    assert found == [7] * 6


@pytest.mark.parametrize("fresh", [True, False], ids=["not read before", "read before"])
@pytest.mark.parametrize("harm", ["change", "cut", "swap", "remove", "remove the first"])
def test_manifests_that_do_not_fit_are_refused(sealed: SealSite, harm: str, fresh: bool) -> None:
    folder = Path(sealed.archive) / "manifests"
    first, second, third = (folder / f"2024-05-0{day}.jsonl" for day in (1, 2, 3))
    if fresh:
        index_file(sealed).unlink()
    content = second.read_bytes()
    if harm == "change":
        second.write_bytes(content.replace(b'"lines":3', b'"lines":4'))
    elif harm == "cut":
        second.write_bytes(content[:-20])
    elif harm == "swap":
        second.write_bytes(third.read_bytes())
        third.write_bytes(content)
    else:
        (first if harm == "remove the first" else second).unlink()
    with pytest.raises(ManifestError) as refused:
        sealed.index.update()
    assert refused.value.do


def test_a_manifest_that_was_made_anew_is_not_believed(sealed: SealSite) -> None:
    other = SealSite(sealed.folder / "other", environ={"ASPECTS_TRACKING_LOGS": str(sealed.logs)})
    other.put_days(0)
    sealed.put("more.log", event(5), datetime(2024, 5, 2, tzinfo=UTC))
    other.seal(FIRST)
    other.seal(DAY_3)
    for day in (1, 2, 3):
        name = f"manifests/2024-05-0{day}.jsonl"
        (Path(sealed.archive) / name).write_bytes((Path(other.archive) / name).read_bytes())
    with pytest.raises(ManifestError, match=r"is not the manifest that was sealed|follows"):
        sealed.index.update()
