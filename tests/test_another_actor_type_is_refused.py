"""A change of XAPI_AGENT_IFI_TYPE or LMS_ROOT_URL is found before it doubles what stands in the table."""

from __future__ import annotations

import json
import shlex
from datetime import UTC, datetime

import pytest
from services.events import enrolled, statements, who, write_people
from services.site import Site

from aspects_orchestration.replay.plan import Mode
from aspects_orchestration.replay.same_site import OtherActorsError

MONTH = "2021-06"


@pytest.fixture
def loaded(site: Site) -> Site:
    write_people(site)
    (site.logs / "june.log.1").write_bytes(
        b"".join(enrolled(f"2021-06-{day:02d}T10:00:00Z", learner=who(day)) for day in range(1, 31))
    )
    (site.logs / "july.log.1").write_bytes(enrolled("2021-07-01T00:00:00Z"))
    site.load(MONTH)
    assert len(statements(site, MONTH)) == 30
    return site


@pytest.mark.parametrize(
    ("name", "value"), [("XAPI_AGENT_IFI_TYPE", "mbox"), ("LMS_ROOT_URL", "https://other.example.org")]
)
def test_a_load_beside_statements_of_other_actors_is_refused_with_the_command_that_rebuilds(
    loaded: Site, name: str, value: str
) -> None:
    before = loaded.rows()
    loaded.environ[name] = value
    for how in ({}, {"dry_run": True}, {"sources": ("june.log.1",)}):
        with pytest.raises(OtherActorsError) as refused:
            loaded.load(MONTH, **how)
    assert value in refused.value.what
    assert "external_id" in refused.value.what
    assert "every event would get another id" in refused.value.what
    assert loaded.rows() == before

    command = refused.value.do[refused.value.do.index("dagster asset") :]
    program = shlex.split(command)
    assert program[-2] == "--config-json"
    config = json.loads(program[-1])["ops"]["xapi_events_all"]["config"]
    assert program[program.index("--partition") + 1] == MONTH
    done = loaded.materialize(MONTH, *program[-2:])
    assert done.returncode == 0, done.stdout.decode()
    assert config == {"mode": "rebuild", "allow_loss": True}
    assert len(statements(loaded, MONTH)) == 30
    actor = statements(loaded, MONTH)[0]["actor"]
    assert actor.get("mbox") if value == "mbox" else actor["account"]["homePage"] == value
    # From now on the month is of these actors: it can be loaded again, and nothing is added.
    assert loaded.load(MONTH).statements.inserted == 0  # type: ignore[union-attr]


def test_a_month_without_statements_is_held_against_the_newest_ones(loaded: Site) -> None:
    loaded.environ["XAPI_AGENT_IFI_TYPE"] = "mbox_sha1sum"
    with pytest.raises(OtherActorsError, match="nothing stands in 2021-07 yet"):
        loaded.load("2021-07")
    loaded.load("2021-07", mode=Mode.REBUILD)
    assert len(statements(loaded, "2021-07")) == 1
    # The month itself is what counts, once something stands there.
    assert loaded.load("2021-07").statements.inserted == 0  # type: ignore[union-attr]


def test_addresses_say_nothing_of_the_lms_but_their_courses_do(site: Site) -> None:
    write_people(site)
    site.environ["XAPI_AGENT_IFI_TYPE"] = "mbox"
    line = enrolled("2021-06-01T00:00:00Z").replace(
        b"edx.course.enrollment.activated", b"edx.ui.lms.link_clicked"
    )
    (site.logs / "june.log.1").write_bytes(
        enrolled("2021-06-01T00:00:00Z")
        + line.replace(b'"mode":"audit"', b'"current_url":"http://x/","target_url":"http://y/"')
    )
    site.load(MONTH)
    assert len(statements(site, MONTH)) == 2
    site.environ["LMS_ROOT_URL"] = "https://other.example.org"
    with pytest.raises(OtherActorsError, match="LMS_ROOT_URL http://local"):
        site.load(MONTH)


def test_a_part_of_a_month_is_held_against_that_part(loaded: Site) -> None:
    # The site moved on the 10th: what stands before is of the old address, and what comes is of the new.
    loaded.sql(
        "ALTER TABLE xapi.xapi_events_all DELETE WHERE emission_time >= '2021-06-10' SETTINGS mutations_sync = 2",
        admin=True,
    )
    loaded.sql(
        "INSERT INTO xapi.xapi_events_all SELECT generateUUIDv4(), '2021-06-11 00:00:00',"
        " replaceAll(event, 'http://local.openedx.io:8000', 'https://new.example.org')"
        " FROM xapi.xapi_events_all LIMIT 1",
        admin=True,
    )
    loaded.environ["LMS_ROOT_URL"] = "https://new.example.org"
    with pytest.raises(OtherActorsError):
        loaded.load(MONTH)
    result = loaded.load(MONTH, since=datetime(2021, 6, 10, tzinfo=UTC))
    assert result.statements is not None
    assert result.statements.inserted == 21
