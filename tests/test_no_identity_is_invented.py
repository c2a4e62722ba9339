"""Promise 3: an actor's id comes from the site's own mapping; who is not in it is quarantined, never guessed."""

import csv
import hashlib
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from services.events import enrolled, quarantine_records, statements, who, write_people
from services.site import Site

from aspects_orchestration.replay.plan import Mode
from aspects_orchestration.samples.site import course

MONTH = "2021-06"
STRANGER = who(4_000)
GONE = "course-v1:Gone+X0+1999"


def as_csv(site: Site) -> dict[str, str]:
    return {}


def as_ndjson(site: Site) -> dict[str, str]:
    for name in ("identities", "courses"):
        with (site.folder / f"{name}.csv").open(encoding="utf-8") as table:
            lines = [orjson.dumps(row) for row in csv.DictReader(table)]
        (site.folder / f"{name}.ndjson").write_bytes(b"\n".join(lines))
        (site.folder / f"{name}.csv").unlink()
    return files(site.folder, "ndjson")


def as_parquet(site: Site) -> dict[str, str]:
    for name in ("identities", "courses"):
        table: pa.Table = pa.csv.read_csv(site.folder / f"{name}.csv")
        pq.write_table(table, site.folder / f"{name}.parquet")
        (site.folder / f"{name}.csv").unlink()
    return files(site.folder, "parquet")


def as_event_sink(site: Site) -> dict[str, str]:
    site.warehouse()
    for name in ("identities", "courses"):
        with (site.folder / f"{name}.csv").open(encoding="utf-8") as table:
            rows = list(csv.DictReader(table))
        for row in rows:
            row |= {
                "dump_id": "00000000-0000-0000-0000-000000000001",
                "time_last_dumped": "2024-01-01 00:00:00",
            }
        if name == "identities":
            # An older dump, and ids of another type, must not win.
            old = [
                dict(row, external_user_id=who(99).external_user_id, time_last_dumped="2023-01-01")
                for row in rows
            ]
            lti = [
                dict(
                    row,
                    external_user_id=who(98).external_user_id,
                    external_id_type="lti",
                    time_last_dumped="2025-01-01",
                )
                for row in rows
            ]
            insert(site, "external_id", old + rows + lti)
            insert(site, "user_profile", [{"id": row["user_id"], **row} for row in rows])
        else:
            insert(site, "course_overviews", rows)
        (site.folder / f"{name}.csv").unlink()
    return {"ASPECTS_IDENTITIES": "event_sink", "ASPECTS_COURSES": "event_sink", "ASPECTS_ENABLE_PII": "true"}


def insert(site: Site, table: str, rows: list[dict[str, Any]]) -> None:
    lines = b"\n".join(orjson.dumps(row) for row in rows).decode()
    site.sql(
        f"INSERT INTO event_sink.{table} SETTINGS input_format_skip_unknown_fields = 1 FORMAT JSONEachRow\n{lines}",
        admin=True,
    )


def files(folder: Path, ending: str) -> dict[str, str]:
    return {
        "ASPECTS_IDENTITIES": str(folder / f"identities.{ending}"),
        "ASPECTS_COURSES": str(folder / f"courses.{ending}"),
    }


def named(actor_type: str, actor: dict[str, Any]) -> str:
    if actor_type == "external_id":
        return str(actor["account"]["name"])
    return str(actor[actor_type])


def expected(actor_type: str, number: int) -> str:
    if actor_type == "external_id":
        return who(number).external_user_id
    if actor_type == "mbox":
        return f"mailto:{who(number).email}"
    # Of the bare address, as event-routing-backends has it: stored statements must go on naming the same actor.
    return hashlib.sha1(who(number).email.encode()).hexdigest()  # noqa: S324


@pytest.mark.parametrize("actor_type", ["external_id", "mbox", "mbox_sha1sum"])
@pytest.mark.parametrize("source", [as_csv, as_ndjson, as_parquet, as_event_sink])
def test_actors_are_the_sites_own_and_strangers_are_quarantined(
    site: Site, source: Any, actor_type: str
) -> None:
    write_people(site)
    site.environ.update(source(site), XAPI_AGENT_IFI_TYPE=actor_type)
    known = [enrolled(f"2021-06-01T00:00:0{number}Z", learner=who(number)) for number in range(5)]
    strange = [
        enrolled("2021-06-02T00:00:00Z", learner=STRANGER),
        enrolled("2021-06-02T00:00:01Z", course=GONE),
    ]
    (site.logs / "people.log.1").write_bytes(b"".join(known + strange))

    result = site.load(MONTH)

    actors = [named(actor_type, one["actor"]) for one in statements(site, MONTH)]
    assert actors == [expected(actor_type, number) for number in range(5)]
    assert dict(result.account.total.quarantined) == {"unknown_user": 1, "unknown_course": 1}
    kept = {
        record["reason"]: record["line"].encode() for record in quarantine_records(site.folder / "archive")
    }
    assert kept["unknown_user"].rstrip() == strange[0].rstrip()
    assert kept["unknown_course"].rstrip() == strange[1].rstrip()
    names = {one["object"]["definition"]["name"]["en"] for one in statements(site, MONTH)}
    assert names == {course(0).display_name}


def test_a_user_without_external_id_or_address_is_quarantined(site: Site) -> None:
    write_people(site)
    text = (site.folder / "identities.csv").read_text(encoding="utf-8")
    learner = who()
    (site.folder / "identities.csv").write_text(
        text.replace(learner.external_user_id, "").replace(who(1).email, ""), encoding="utf-8"
    )
    (site.logs / "people.log.1").write_bytes(
        enrolled("2021-06-01T00:00:00Z") + enrolled("2021-06-01T00:00:01Z", learner=who(1))
    )
    assert dict(site.load(MONTH).account.total.quarantined) == {"no_external_id": 1}
    site.environ["XAPI_AGENT_IFI_TYPE"] = "mbox"
    assert dict(site.load(MONTH, mode=Mode.REBUILD, allow_loss=True).account.total.quarantined) == {
        "no_email": 1
    }
