"""The production audit: a site's Aspects, section by section of upstream's "Configure Aspects for Production".

Each diagnosis names its section; its answer names the setting to change. What config.yml cannot say (how many Ralph
servers run elsewhere, say) is advice to look, never a guess.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, timedelta
from typing import Any, Final

from aspects_orchestration.doctor import production_dashboards as dashboards
from aspects_orchestration.doctor import production_data as data
from aspects_orchestration.doctor.clickhouse import UPSTREAM, is_local
from aspects_orchestration.doctor.model import Answer, Diagnosis, Patient, advice, danger, ok, unknown, worst
from aspects_orchestration.doctor.tutor_site import TutorSite, set_to
from aspects_orchestration.errors import WarehouseError

#: Statements a day from which a site is large: Superset's own database, more than Celery, a cluster are thought of.
LARGE_A_DAY: Final = 1_000_000
#: "load testing … up to 1000 events", and what it advises to begin with.
_LARGEST_BATCH: Final = 1000
_BATCH: Final = 100
_INTERVAL_S: Final = 5
_LONG_INTERVAL_S: Final = 60
_LEAST_SECRET: Final = 16
_BACKUP_DAYS: Final = 7
_CLOUDS: Final = (".clickhouse.cloud", ".altinity.cloud")
_NO_CONFIG: Final = (
    "it is in the site's Tutor config.yml, which is not named",
    'Set ASPECTS_TUTOR_CONFIG="$(tutor config printroot)/config.yml"; the file is only read.',
)


def _of_the_site(ask: Callable[[Patient, TutorSite], Answer]) -> Callable[[Patient], Answer]:
    def asked(patient: Patient) -> Answer:
        site = patient.tutor
        return unknown(*_NO_CONFIG) if site is None else ask(patient, site)

    asked.__doc__ = ask.__doc__
    return asked


# --- the pipeline ------------------------------------------------------------------------------------------------


def pipeline(patient: Patient, site: TutorSite) -> Answer:
    """Events take one way to ClickHouse, which suits the site's size."""
    source = str(site.value("ASPECTS_XAPI_SOURCE"))
    consumer, producer = (site.flag(f"ASPECTS_ENABLE_EVENT_BUS_{one}") for one in ("CONSUMER", "PRODUCER"))
    if consumer != producer:
        there, lacking = ("consumer", "PRODUCER") if consumer else ("producer", "CONSUMER")
        return danger(
            f"the event bus has a {there} and nobody at its other end: statements do not arrive",
            f"Set both or none: {set_to(f'ASPECTS_ENABLE_EVENT_BUS_{lacking}', 'true')}",
        )
    if source == "vector":
        if not site.flag("ASPECTS_VECTOR_STORE_XAPI"):
            return danger(
                "Vector is the source, and stores no xAPI", set_to("ASPECTS_VECTOR_STORE_XAPI", "true")
            )
        return ok(
            "Vector writes to ClickHouse; it does not remove what comes twice, and needs a pod for each LMS and CMS worker"
        )
    if not site.flag("RUN_RALPH") and str(site.value("RALPH_HOST")) == "ralph":
        return danger(
            "Ralph is the source, Tutor does not run it, and no other is named",
            f"{set_to('RUN_RALPH', 'true')}, or name yours: {set_to('RALPH_HOST', 'ralph.example.org')}",
        )
    way = "the event bus" if consumer else "Celery"
    a_day = patient.statements_a_day
    if not consumer and a_day is not None and a_day >= LARGE_A_DAY:
        return advice(
            f"{a_day:,.0f} statements a day go through Celery, where they delay the LMS's own tasks",
            "Think of the event bus (ASPECTS_ENABLE_EVENT_BUS_CONSUMER and _PRODUCER) or of Vector.",
        )
    return ok(f"statements go through {way} and Ralph")


def batching(_: Patient, site: TutorSite) -> Answer:
    """Statements are sent in batches of about 100, or every 5 seconds."""
    if str(site.value("ASPECTS_XAPI_SOURCE")) == "vector":
        return ok("Vector makes batches by itself")
    if not site.flag("EVENT_ROUTING_BACKEND_BATCHING_ENABLED"):
        return danger(
            "each statement is a task, a request to Ralph and an insert of its own",
            set_to("EVENT_ROUTING_BACKEND_BATCHING_ENABLED", "true"),
        )
    size_name, interval_name = "EVENT_ROUTING_BACKEND_BATCH_SIZE", "EVENT_ROUTING_BACKEND_BATCH_INTERVAL"
    size, interval = _number(site.value(size_name)), _number(site.value(interval_name))
    if size is None or size < 1 or interval is None or interval <= 0:
        return danger(
            "size or interval of batches is no number above 0",
            f"{set_to(size_name, str(_BATCH))} --set {interval_name}={_INTERVAL_S}",
        )
    found = f"batches of {size:g}, or every {interval:g} s"
    answers = []
    if size < _BATCH:
        answers.append(advice(f"{found}: many small inserts", set_to(size_name, str(_BATCH))))
    if size > _LARGEST_BATCH:
        answers.append(advice(f"{found}: more than was tested", set_to(size_name, str(_LARGEST_BATCH))))
    if interval > _LONG_INTERVAL_S:
        answers.append(
            advice(f"{found}: an outage of Redis loses so much", set_to(interval_name, str(_INTERVAL_S)))
        )
    return worst(answers, found)


def event_bus_consumers(_: Patient, site: TutorSite) -> Answer:
    """At least two consumers read the event bus, where there is one."""
    if not site.flag("ASPECTS_ENABLE_EVENT_BUS_CONSUMER"):
        return ok("the site consumes no event bus")
    name = "ASPECTS_EVENT_BUS_CONSUMER_REPLICAS"
    count = _number(site.value(name)) or 0
    if count < 2:
        return advice(
            f"{count:g} consumer reads the event bus: with it gone, the stream grows", set_to(name, "2")
        )
    return ok(f"{count:g} consumers read the event bus")


def ralph_servers(_: Patient, site: TutorSite) -> Answer:
    """At least two Ralph servers run."""
    if str(site.value("ASPECTS_XAPI_SOURCE")) == "vector":
        return ok("no Ralph is in the way of events")
    if site.flag("RUN_RALPH"):
        return advice(
            "Tutor runs one Ralph server: with it gone, batches fail and wait for a retry or die",
            "On Kubernetes set `replicas: 2` for the deployment ralph by the patch k8s-override; or run two by Ralph's Helm"
            f" chart, {set_to('RUN_RALPH', 'false')} and RALPH_HOST to them.",
        )
    return advice(
        f"Ralph runs elsewhere ({site.value('RALPH_HOST')}); from here it cannot be seen how many servers",
        "See that two or more stand behind that name.",
    )


def workers(_: Patient, site: TutorSite) -> Answer:
    """Celery has workers for the load that Aspects adds."""
    bus = site.flag("ASPECTS_ENABLE_EVENT_BUS_CONSUMER")
    if str(site.value("ASPECTS_XAPI_SOURCE")) == "vector" or bus:
        return ok(
            "events do not go through Celery; what courses and users change does: one cms-worker more, where many publish"
        )
    return advice(
        "config.yml has no setting for how many Celery workers run; Tutor starts one for the LMS and one for the CMS",
        "Run one lms-worker and one cms-worker more (`tutor k8s scale lms-worker 2`; locally `deploy: {replicas: 2}` by"
        " the patch local-docker-compose-services), and watch celery_queue_length.",
    )


# --- ClickHouse --------------------------------------------------------------------------------------------------


def clickhouse_hosting(patient: Patient, site: TutorSite) -> Answer:
    """ClickHouse is hosted for production."""
    host = str(site.value("CLICKHOUSE_HOST"))
    if host.endswith(_CLOUDS):
        return ok(f"ClickHouse is hosted by a service ({host})")
    if str(site.value("CLICKHOUSE_CLUSTER_NAME")):
        return advice(
            "ClickHouse is a cluster, which Aspects calls experimental",
            "Rehearse upgrades of Aspects on a copy.",
        )
    if host == "clickhouse" and site.flag("RUN_CLICKHOUSE"):
        a_day = patient.statements_a_day
        found = "ClickHouse is Tutor's single container, not meant for production: no replica, the disk of one machine"
        do = f"ClickHouse Cloud, clickhouse-operator, or a server of its own; then {set_to('RUN_CLICKHOUSE', 'false')}"
        return (danger if a_day is not None and a_day >= LARGE_A_DAY else advice)(
            found, f"{do} and CLICKHOUSE_HOST to it."
        )
    return ok(f"ClickHouse is a server of its own ({host})")


def clickhouse_release(patient: Patient) -> Answer:
    """ClickHouse is of the very release that Aspects installs."""
    text = str(patient.warehouse.row("server_version_and_time")[0])
    found = re.match(r"(\d+)\.(\d+)", text)
    wanted = f"{UPSTREAM[0]}.{UPSTREAM[1]}"
    if found and (int(found[1]), int(found[2])) == UPSTREAM:
        return ok(f"ClickHouse {text}, as Aspects installs")
    return advice(
        f"ClickHouse is {text}; Aspects installs {wanted}, and its dbt project is tested on that",
        f"Install {wanted} (DOCKER_IMAGE_CLICKHOUSE), or rehearse each upgrade of Aspects on a copy.",
    )


def clickhouse_secured(_: Patient, site: TutorSite) -> Answer:
    """Nobody else reads or writes ClickHouse."""
    host = str(site.value("CLICKHOUSE_HOST"))
    answers = []
    if host != "clickhouse" and not is_local(host) and not site.flag("CLICKHOUSE_SECURE_CONNECTION"):
        answers.append(
            danger(
                f"statements and passwords go to {host} unencrypted",
                set_to("CLICKHOUSE_SECURE_CONNECTION", "true"),
            )
        )
    if host == "clickhouse" and site.flag("RUN_CLICKHOUSE"):
        answers.append(
            ok(
                "Tutor's local mode publishes ClickHouse's ports (8123 and 9006, unless they were set) on every address:"
                " keep them behind a firewall"
            )
        )
    secret = site.value("CLICKHOUSE_ADMIN_PASSWORD")
    answers.append(_strong("CLICKHOUSE_ADMIN_PASSWORD", secret, "then change it in ClickHouse too"))
    return worst(answers, "the way to ClickHouse and its administrator's password are in order")


def clickhouse_backed_up(patient: Patient) -> Answer:
    """ClickHouse is backed up, or can be rebuilt from the archive."""
    if patient.address.host.endswith(_CLOUDS):
        return ok("the service makes backups")
    try:
        ((count, newest),) = patient.warehouse.rows("production_backups")
    except WarehouseError:
        count, newest = 0, None
    if count:
        at = newest.replace(tzinfo=UTC) if newest.tzinfo is None else newest
        if patient.now - at < timedelta(days=_BACKUP_DAYS):
            return ok(f"the newest backup of ClickHouse is of {at:%Y-%m-%d}")
        return advice(
            f"the newest backup of ClickHouse is of {at:%Y-%m-%d}",
            "Run BACKUP, or clickhouse-backup, weekly.",
        )
    return advice(
        "no backup is in system.backups (it remembers since its start, and needs SELECT on it)",
        "Back up ClickHouse (BACKUP, clickhouse-backup, snapshots). The sealed archive alone restores statements and"
        " the LMS its tables: prove that by `restore_drill`.",
    )


# --- Ralph and Superset ------------------------------------------------------------------------------------------


def ralph_public(_: Patient, site: TutorSite) -> Answer:
    """Ralph is not on the internet, or is there on purpose and by https."""
    if not site.flag("RALPH_ENABLE_PUBLIC_URL"):
        port = site.value("RALPH_PORT")
        published = site.flag("RUN_RALPH") and str(site.value("ASPECTS_XAPI_SOURCE")) != "vector"
        return ok(
            "Ralph has no public URL"
            + (
                f"; Tutor's local mode publishes port {port} all the same: keep it behind a firewall"
                * published
            )
        )
    if not site.flag("ENABLE_HTTPS"):
        return danger(
            "Ralph has a public URL without https: its password and all statements can be read on the way",
            f"{set_to('ENABLE_HTTPS', 'true')}, or {set_to('RALPH_ENABLE_PUBLIC_URL', 'false')}",
        )
    return worst(
        [
            advice(
                "Ralph has a public URL",
                f"If nobody outside sends statements: {set_to('RALPH_ENABLE_PUBLIC_URL', 'false')}",
            ),
            *(
                _strong(name, site.value(name), "and its hash")
                for name in ("RALPH_LMS_PASSWORD", "RALPH_ADMIN_PASSWORD")
                if name == "RALPH_LMS_PASSWORD" or site.is_set(name)
            ),
        ],
        "",
    )


def superset_database(patient: Patient, site: TutorSite) -> Answer:
    """Superset has a database and a Redis of its own, where the site is large."""
    if not site.flag("RUN_SUPERSET"):
        return ok("Tutor runs no Superset")
    shared = site.value("SUPERSET_DB_HOST") == site.value("MYSQL_HOST")
    a_day = patient.statements_a_day
    if shared and a_day is not None and a_day >= LARGE_A_DAY:
        return advice(
            "Superset shares the LMS's MySQL and Redis on a large site",
            f"{set_to('SUPERSET_DB_HOST', 'mysql-superset.example.org')}; give its configuration a Redis of its own, and run"
            " more than one superset-worker.",
        )
    if shared:
        return ok("Superset shares the LMS's MySQL and Redis, which is fine for a site of this size")
    return ok("Superset has a database of its own; see that its Redis is too, if dashboards are slow")


def superset_secret(_: Patient, site: TutorSite) -> Answer:
    """Superset's sessions are signed with a secret of the site."""
    if not site.flag("RUN_SUPERSET"):
        return ok("Tutor runs no Superset")
    others = ("SUPERSET_ADMIN_PASSWORD", "SUPERSET_DB_PASSWORD", "SUPERSET_OAUTH2_CLIENT_SECRET")
    return worst(
        [
            _strong(
                "SUPERSET_SECRET_KEY", site.value("SUPERSET_SECRET_KEY"), "then `superset re-encrypt-secrets`"
            ),
            # Those that are not in the file are generated by the plugin when it is saved.
            *(_strong(name, site.value(name), "then run init again") for name in others if site.is_set(name)),
        ],
        "Superset's secrets are long and random enough",
    )


def superset_errors(_: Patient, site: TutorSite) -> Answer:
    """Superset's errors reach somebody."""
    if not site.flag("RUN_SUPERSET"):
        return ok("Tutor runs no Superset")
    if site.value("SUPERSET_SENTRY_DSN"):
        return ok("Superset tells Sentry of its errors")
    return advice("nobody is told of Superset's errors", set_to("SUPERSET_SENTRY_DSN", "https://…"))


# --- people ------------------------------------------------------------------------------------------------------


def personal_data(patient: Patient, site: TutorSite) -> Answer:
    """Personal data is kept on purpose, or not at all."""
    theirs, ours = site.flag("ASPECTS_ENABLE_PII"), patient.settings.enable_pii
    if theirs != ours:
        return danger(
            f"ASPECTS_ENABLE_PII is {str(theirs).lower()} in Aspects and {str(ours).lower()} here",
            "Make both the same; here it is an environment variable, which wins over config.yml.",
        )
    if theirs:
        return advice(
            "names and e-mail addresses of users are kept in ClickHouse",
            "Let whoever answers for data protection agree, and keep `delete_retired_users_daily` switched on.",
        )
    return ok("no names and no e-mail addresses are kept")


def actor(patient: Patient, site: TutorSite) -> Answer:
    """Statements name users by an id that says nothing of them."""
    theirs, ours = str(site.value("XAPI_AGENT_IFI_TYPE")), patient.settings.agent_ifi_type
    if theirs != ours:
        return danger(
            f"XAPI_AGENT_IFI_TYPE is {theirs} in the LMS and {ours} here: a load would double every statement",
            "Make both the same before the next load.",
        )
    if theirs == "mbox":
        bad = danger if not site.flag("ASPECTS_ENABLE_PII") else advice
        return bad(
            "statements carry e-mail addresses",
            "external_id keeps them out; changing it means a rebuild of every month.",
        )
    if theirs == "mbox_sha1sum":
        return advice(
            "statements carry hashes of e-mail addresses, which can be guessed", "external_id cannot."
        )
    return ok("statements name users by external_id")


# --- data, and who looks at it -----------------------------------------------------------------------------------


def monitoring(patient: Patient) -> Answer:
    """The sensors that watch are switched on, and somebody hears of it."""
    answers = []
    if patient.sensors_on is None:
        answers.append(
            unknown(
                "whether sensors are switched on could not be seen: DAGSTER_HOME names no instance", "Set it."
            )
        )
    else:
        off = sorted(
            {"clickhouse_health", "queue_health", "service_health", "run_failed"} - patient.sensors_on
        )
        if off:
            answers.append(
                advice(f"sensors are off: {', '.join(off)}", "Switch them on in the UI (Automation).")
            )
    if not patient.settings.alert_urls:
        answers.append(
            advice("nobody hears of trouble", "Set ASPECTS_ALERT_URLS (docs/alerts.md), then `alerts test`.")
        )
    return worst(answers, "all sensors that watch are on, and alerts have a target")


def _strong(name: str, secret: Any, also: str) -> Answer:
    if secret is None:
        return advice(f"{name} is not in config.yml", "`tutor config save` generates one.")
    if len(str(secret)) < _LEAST_SECRET or len(set(str(secret))) < 6:
        return danger(f"{name} is short or simple", f"Set a long random one, {also}.")
    return ok(f"{name} is long and random enough")


def _number(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def _diagnosis(name: str, section: str, title: str, ask: Callable[[Patient, TutorSite], Answer]) -> Diagnosis:
    return Diagnosis(name, title, _of_the_site(ask), section=section)


_PIPELINE, _CLICKHOUSE, _SUPERSET = "xAPI pipeline", "ClickHouse hosting", "Setting up Superset"
DIAGNOSES: Final = (
    _diagnosis("pipeline", _PIPELINE, "the way of events", pipeline),
    _diagnosis("batching", _PIPELINE, "batches of statements", batching),
    _diagnosis("event_bus_consumers", _PIPELINE, "consumers of the event bus", event_bus_consumers),
    _diagnosis("ralph_servers", "Setting up Ralph", "servers of Ralph", ralph_servers),
    _diagnosis("workers", _PIPELINE, "Celery workers", workers),
    _diagnosis("clickhouse_hosting", _CLICKHOUSE, "where ClickHouse runs", clickhouse_hosting),
    Diagnosis(
        "clickhouse_release",
        "ClickHouse's release",
        clickhouse_release,
        needs_clickhouse=True,
        section=_CLICKHOUSE,
    ),
    _diagnosis("clickhouse_secured", _CLICKHOUSE, "who reaches ClickHouse", clickhouse_secured),
    Diagnosis(
        "clickhouse_backed_up",
        "backups of ClickHouse",
        clickhouse_backed_up,
        needs_clickhouse=True,
        section=_CLICKHOUSE,
    ),
    _diagnosis("ralph_public", "Ralph accessibility", "Ralph's public URL", ralph_public),
    _diagnosis("superset_database", _SUPERSET, "Superset's database, Redis and workers", superset_database),
    _diagnosis("superset_secret", _SUPERSET, "Superset's secret", superset_secret),
    _diagnosis("superset_errors", "Monitoring Superset", "Superset's errors", superset_errors),
    _diagnosis("personal_data", "Personally identifiable information", "personal data", personal_data),
    _diagnosis("actor", "xAPI user id type", "how statements name users", actor),
    _diagnosis(
        "embedded_dashboards",
        "LMS embedded dashboards",
        "dashboards in the LMS",
        dashboards.embedded_dashboards,
    ),
    _diagnosis("help_texts", "LMS embedded dashboards", "help texts", dashboards.help_texts),
    _diagnosis("languages", "Superset localization", "languages of Superset", dashboards.languages),
    _diagnosis("locales", "Superset localization", "languages of dashboards", dashboards.locales),
    _diagnosis("lifetime", "Data lifecycle", "how long statements are kept", data.lifetime),
    Diagnosis(
        "backfilled",
        "data from before",
        data.backfilled,
        needs_clickhouse=True,
        section="Backfilling existing data",
    ),
    Diagnosis(
        "tracking_logs_kept",
        "tracking logs, for the day they are needed",
        data.tracking_logs_kept,
        deadline_s=40.0,
        section="Tracking log retention",
    ),
    Diagnosis("monitoring", "monitoring", monitoring, section="Monitoring"),
)
