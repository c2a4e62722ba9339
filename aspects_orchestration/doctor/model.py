"""What the doctor asks, of whom, and what an answer is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from functools import cached_property
from pathlib import Path

from pydantic import SecretStr

from aspects_orchestration.doctor.tutor_site import TutorSite, read_tutor_site
from aspects_orchestration.errors import WarehouseError
from aspects_orchestration.monitoring.watch import Reader
from aspects_orchestration.settings import ClickHouseAddress, Settings
from aspects_orchestration.tracking.stores import S3Options
from aspects_orchestration.warehouse import server
from aspects_orchestration.warehouse.client import Warehouse
from aspects_orchestration.warehouse.schema import SchemaNames, pipeline_grants


class Verdict(StrEnum):
    """How something is, from best to worst."""

    OK = "ok"
    ADVICE = "advice"
    UNKNOWN = "unknown"
    DANGER = "danger"


@dataclass(frozen=True)
class Answer:
    """What a diagnosis has found.

    Attributes:
        verdict: how it is; `unknown` where it could not be found out.
        found: what was found, in a sentence; no secret and no personal data.
        do: what to do next; empty where there is nothing to do.
        lines: details, one each.
    """

    verdict: Verdict
    found: str
    do: str = ""
    lines: tuple[str, ...] = ()


def ok(found: str, *lines: str) -> Answer:
    """All is well."""
    return Answer(Verdict.OK, found, lines=lines)


def advice(found: str, do: str, *lines: str) -> Answer:
    """It works, and would be better otherwise."""
    return Answer(Verdict.ADVICE, found, do, lines)


def danger(found: str, do: str, *lines: str) -> Answer:
    """It does not work, or will fail or lose something."""
    return Answer(Verdict.DANGER, found, do, lines)


def unknown(found: str, do: str, *lines: str) -> Answer:
    """It could not be found out."""
    return Answer(Verdict.UNKNOWN, found, do, lines)


def worst(answers: Sequence[Answer], well: str) -> Answer:
    """Several answers as one: the worst speaks, the others follow as details."""
    bad = sorted(
        (one for one in answers if one.verdict is not Verdict.OK),
        key=lambda one: -list(Verdict).index(one.verdict),
    )
    fine = tuple(one.found for one in answers if one.verdict is Verdict.OK)
    if not bad:
        return Answer(Verdict.OK, well, lines=fine)
    rest = tuple(f"{one.verdict}: {one.found}. {one.do}" for one in bad[1:])
    return Answer(bad[0].verdict, bad[0].found, bad[0].do, (*bad[0].lines, *rest, *fine))


@dataclass(frozen=True)
class Patient:
    """The site that is looked at.

    Attributes:
        settings: in force.
        s3: how to reach S3; impatient.
        now: the time, with zone.
        write_probes: whether small objects may be created and removed again where the site writes.
        dagster_home: DAGSTER_HOME; None if it is not set.
        readers: of the signals that are watched.
        sensors_on: names of the sensors that are switched on; None if that is not known.
    """

    settings: Settings
    s3: S3Options
    now: datetime
    write_probes: bool = False
    dagster_home: Path | None = None
    readers: Sequence[Reader] = field(default=(), repr=False)
    sensors_on: frozenset[str] | None = None

    @property
    def names(self) -> SchemaNames:
        """The names that the site has chosen."""
        settings = self.settings
        return SchemaNames(
            settings.xapi_database,
            settings.raw_xapi_table,
            settings.event_sink_database,
            settings.orchestration_database,
        )

    @cached_property
    def address(self) -> ClickHouseAddress:
        """Where ClickHouse is. The embedded server is started if it does not run.

        Raises:
            WarehouseError: it does not start.
        """
        if self.settings.clickhouse is not None:
            return self.settings.clickhouse
        found = server.ensure_running(self.settings.home, grants=pipeline_grants(self.names))
        return ClickHouseAddress(
            found.host, found.http_port, user=found.user, password=SecretStr(found.password)
        )

    @cached_property
    def warehouse(self) -> Warehouse:
        """A connection as the pipeline's user; nothing is created through it.

        Raises:
            WarehouseError: there is no address to connect to.
        """
        return Warehouse(self.address, run_id="doctor", cluster=self.settings.cluster_name)

    @cached_property
    def tutor(self) -> TutorSite | None:
        """The site's Tutor config.yml; None if none is named.

        Raises:
            SettingsError: it cannot be used.
        """
        path = self.settings.tutor_config
        return None if path is None else read_tutor_site(path)

    @cached_property
    def statements_a_day(self) -> float | None:
        """Of the last week, on average; None where ClickHouse does not tell."""
        names = self.names
        try:
            row = self.warehouse.row(
                "production_volume", database=names.xapi_database, table=names.xapi_table
            )
        except WarehouseError:
            return None
        return int(row[0]) / 7


@dataclass(frozen=True)
class Diagnosis:
    """One thing that is looked at.

    Attributes:
        name: to ask for it alone.
        title: what it is, in words.
        ask: finds the answer; may raise.
        needs_clickhouse: not asked where the connection is not there.
        deadline_s: in seconds.
        section: of upstream's guide to production, where it is from there.
    """

    name: str
    title: str
    ask: Callable[[Patient], Answer]
    needs_clickhouse: bool = False
    deadline_s: float = 20.0
    section: str = ""
