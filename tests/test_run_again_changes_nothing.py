"""Promise 2: run it again, killed or not, and the table holds exactly what one clean run would have put there."""

from services.site import Site

from aspects_orchestration.samples import SampleSpec


def test_a_second_load_inserts_nothing_and_says_so(site: Site) -> None:
    site.write_samples(SampleSpec(lines=3_000, damage=0.01), files=4)
    first = site.load("2024-05")
    rows = site.rows()
    second = site.load("2024-05")
    assert first.statements is not None
    assert second.statements is not None
    assert first.statements.inserted == first.ids > 500
    assert second.statements.inserted == 0
    assert second.statements.already_there == first.ids
    assert site.rows() == rows
    assert all(finding.passed for finding in site.check("2024-05").values())


def test_a_month_that_has_grown_gets_just_what_is_new(site: Site) -> None:
    paths = site.write_samples(SampleSpec(lines=3_000), files=3)
    late = paths[1]
    content = late.read_bytes()
    late.unlink()
    first = site.load("2024-05")
    late.write_bytes(content)
    second = site.load("2024-05")
    assert first.statements is not None
    assert second.statements is not None
    assert second.statements.already_there == first.ids > 0
    assert second.statements.inserted == second.ids - first.ids > 0
    rows = site.rows()
    site.sql("TRUNCATE TABLE xapi.xapi_events_all", admin=True)
    assert site.load("2024-05").ids == second.ids
    assert site.rows() == rows, "loaded at once or bit by bit: the same table"
