"""Two events that yield one statement id: the first by time, file and offset stands, and the others are counted."""

from collections.abc import Iterator

import pytest
from services.events import COURSE, OTHER_COURSE, enrolled, peopled_site, statements
from services.site import Site

from aspects_orchestration.replay.plan import Mode


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    yield from peopled_site(tmp_path_factory)


def test_an_equal_event_in_another_file_is_a_duplicate(town: Site) -> None:
    line = enrolled("2021-01-05T10:00:00.000001+00:00")
    (town.logs / "duplicate-a.log.1").write_bytes(line)
    (town.logs / "duplicate-b.log.1").write_bytes(line + line)
    result = town.load("2021-01")
    assert result.statements is not None
    assert (result.statements.inserted, result.statements.duplicates, result.statements.collisions) == (
        1,
        2,
        0,
    )
    again = town.load("2021-01")
    assert again.statements is not None
    assert (again.statements.inserted, again.statements.already_there) == (0, 1)
    assert (again.statements.duplicates, again.statements.collisions) == (2, 0)
    assert len(statements(town, "2021-01")) == 1


@pytest.mark.parametrize(
    ("month", "files", "stands"),
    [
        ("2021-02", [("a", [COURSE]), ("b", [OTHER_COURSE])], COURSE),
        ("2021-03", [("a", [OTHER_COURSE]), ("b", [COURSE])], OTHER_COURSE),
        ("2021-04", [("a", [OTHER_COURSE, COURSE])], OTHER_COURSE),
    ],
)
def test_of_a_collision_the_first_by_file_and_offset_stands_whoever_was_quicker(
    town: Site, month: str, files: list[tuple[str, list[str]]], stands: str
) -> None:
    time = f"{month}-05T10:00:00.000001+00:00"  # one learner, one verb, one microsecond: one id
    for name, courses in files:
        # A large first file, so that the second one's worker is done sooner.
        padding = enrolled("1999-01-01T00:00:00Z") * (5_000 if name == "a" else 1)
        lines = b"".join(enrolled(time, course=course) for course in courses)
        (town.logs / f"collision-{month}-{name}.log.1").write_bytes(padding + lines)
    result = town.load(month)
    assert result.statements is not None
    assert (result.statements.inserted, result.statements.duplicates, result.statements.collisions) == (
        1,
        0,
        1,
    )
    (statement,) = statements(town, month)
    assert statement["object"]["id"].endswith(stands)
    rows = town.rows()
    rebuilt = town.load(month, mode=Mode.REBUILD)
    assert rebuilt.statements is not None
    assert (rebuilt.statements.inserted, rebuilt.statements.collisions) == (1, 1)
    assert town.rows() == rows, "two runs agree"
