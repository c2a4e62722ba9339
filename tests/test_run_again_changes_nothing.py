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
