"""What somebody hostile can put where this project reads: nothing of it runs, leaves its place, or is believed.

Other attacks have their tests where their subject is: bombs in test_chunks.py and test_memory_is_bounded.py, markup on
the operator's page in test_the_operators_page_tells_all.py, secrets in test_settings_show_no_secret.py, lying S3 servers in
test_bad_s3_makes_no_false_verdict.py, changed archives in test_whatever_happens_to_an_archive_is_named.py, rights in
test_pipeline_user_has_least_rights.py.
"""

from __future__ import annotations

import csv
from pathlib import Path

import orjson
import pytest
from services.events import enrolled, write_people
from services.seaweedfs import S3Server
from services.site import Site

from aspects_orchestration.assets.xapi_events_all import load_metadata
from aspects_orchestration.errors import AspectsError, LogStoreError, SettingsError
from aspects_orchestration.markdown import cell
from aspects_orchestration.monitoring.rules import load_rules
from aspects_orchestration.retention.policy import read_policy
from aspects_orchestration.settings import load_settings
from aspects_orchestration.tracking.stores import S3Options, open_store

SQL = "x'; DROP TABLE xapi.xapi_events_all; -- {database:Identifier} {0} %s \\' ` \" \x00"
HTML = "|<script>alert(1)</script>[x](javascript:alert(1))<img src=x onerror=alert(1)>"
AT = "2024-05-03T10:00:00+00:00"


# --- lines and names ---------------------------------------------------------------------------------------------


def test_sql_and_markup_in_lines_are_data(site: Site) -> None:
    write_people(site)
    fields = ("name", "event_type", "username", "agent", "page", "session", "host", "referer", "ip")
    lines = [enrolled(AT)]
    for text in (SQL, HTML):
        lines += [enrolled(AT, **{field: text}) for field in fields]
        context = orjson.loads(lines[0])["context"]
        for field in ("course_id", "org_id", "path", "user_id"):
            lines.append(enrolled(AT, context={**context, field: text}))
        lines += [enrolled(text), enrolled(AT, course=f"course-v1:{text}+a+b"), text.encode() + b"\n"]
    (site.logs / "tracking.log").write_bytes(b"".join(lines))
    loaded = site.load("2024-05")
    assert loaded.account.total.lines == len(b"".join(lines).splitlines())
    assert loaded.ids >= 1
    assert int(site.sql("SELECT count() FROM xapi.xapi_events_all", admin=True)) == loaded.ids
    shown = str(
        {
            name: getattr(value, "value", value)
            for name, value in load_metadata(loaded, site.warehouse()).items()
        }
    )
    assert "<script" not in shown
    assert "<img" not in shown


@pytest.mark.parametrize(
    "name",
    [
        SQL.replace("\x00", "").replace("/", ""),
        HTML.replace("/", ""),
        "$(touch x).log",
        "-rf.log",
        "a\nb.log",
    ],
)
def test_names_of_files_are_data(site: Site, name: str) -> None:
    write_people(site)
    (site.logs / f"{name}.log").write_bytes(enrolled(AT))
    loaded = site.load("2024-05")
    assert loaded.ids == 1
    assert len(loaded.account.files) == 1
    shown = load_metadata(loaded, site.warehouse())["account_by_file"].value
    rows = [line for line in str(shown).splitlines() if line.startswith("|")]
    assert len({row.replace("\\|", "").count("|") for row in rows}) == 1, "a name stays in its cell"
    assert "<" not in str(shown)


def test_keys_of_s3_are_data_and_lead_nowhere_on_this_machine(site: Site, s3: S3Server) -> None:
    write_people(site)
    keys = [
        "logs/%2e%2e/%2e%2e/etc/passwd.log",
        f"logs/{HTML.replace('/', '')}.log",
        "logs/a%00b.log",
        "logs/'; DROP TABLE x.log",
    ]
    for number, key in enumerate(keys):
        s3.put(key, enrolled(f"2024-05-03T10:0{number}:00+00:00"))
    site.environ |= s3.environment() | {"ASPECTS_TRACKING_LOGS": f"{s3.uri}/logs"}
    loaded = site.load("2024-05")
    assert loaded.ids == len(keys)
    shown = str(load_metadata(loaded, site.warehouse())["account_by_file"].value)
    assert "<script" not in shown


def test_a_cell_stays_a_cell() -> None:
    for text in (HTML, "a|b", "a\nb", "`x`", "\\|"):
        made = cell(text)
        assert "\n" not in made
        assert "<" not in made
        assert "|" not in made.replace("\\|", "")


# --- links and paths ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_link_that_leads_out_of_the_logs_is_refused_and_nothing_is_read_through_it(
    site: Site, tmp_path: Path, kind: str
) -> None:
    outside = tmp_path / "private"
    outside.mkdir()
    secret = outside / "secrets.log"
    secret.write_text("the password of somebody\n")
    secret.chmod(0o600)
    target = secret if kind == "file" else outside
    link = site.logs / ("planted.log" if kind == "file" else "planted")
    link.symlink_to(target)
    write_people(site)
    (site.logs / "tracking.log").write_bytes(enrolled(AT))
    with pytest.raises(AspectsError, match=r"a link that leads out of.*ASPECTS_TRACKING_LOGS"):
        site.load("2024-05")
    store = open_store(str(site.logs))
    for listed in (store.list, lambda: store.list_behind("")):  # type: ignore[attr-defined]
        with pytest.raises(LogStoreError, match="leads out of"):
            list(listed())
    assert not [
        path
        for path in (tmp_path / "archive").rglob("*")
        if path.is_file() and b"password" in path.read_bytes()
    ]
    link.unlink()
    assert site.load("2024-05").ids == 1
    assert secret.read_text() == "the password of somebody\n"


def test_links_within_the_logs_and_to_the_logs_are_followed(site: Site, tmp_path: Path) -> None:
    (site.logs / "old").mkdir()
    (site.logs / "old" / "a.log").write_bytes(enrolled(AT))
    (site.logs / "current.log").symlink_to("old/a.log")
    assert {file.uri.rsplit("/", 1)[1] for file in open_store(str(site.logs)).list()} == {
        "a.log",
        "current.log",
    }
    (tmp_path / "mounted").symlink_to(site.logs)
    assert len(list(open_store(str(tmp_path / "mounted")).list())) == 2


# --- settings and files that people write ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ASPECTS_XAPI_DATABASE", "xapi`; DROP DATABASE xapi; --"),
        ("ASPECTS_RAW_XAPI_TABLE", "a.b"),
        ("ASPECTS_EVENT_SINK_DATABASE", "x'y"),
        ("ASPECTS_ORCHESTRATION_DATABASE", "../x"),
        ("CLICKHOUSE_CLUSTER_NAME", "c' ENGINE = Null --"),
        ("ASPECTS_DATA_TTL_EXPRESSION", "emission_time; DROP TABLE xapi.xapi_events_all"),
        ("ASPECTS_DATA_TTL_EXPRESSION", "toDateTime(emission_time) + (SELECT 1)"),
        ("ASPECTS_FIRST_MONTH", "2024-05'; --"),
    ],
)
def test_settings_that_would_be_more_than_a_name_are_refused(tmp_path: Path, name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name):
        load_settings({"ASPECTS_HOME": str(tmp_path), name: value}).data_ttl  # noqa: B018


@pytest.mark.parametrize(
    "template",
    [
        "{{ cycler.__init__.__globals__.os.system('touch %s') }}",
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ lipsum.__globals__['os'].popen('touch %s').read() }}",
        "{% for x in range(10**12) %}x{% endfor %}",
    ],
)
def test_templates_of_a_config_yml_run_nothing(tmp_path: Path, template: str) -> None:
    touched = tmp_path / "touched"
    config = tmp_path / "config.yml"
    config.write_text(f"LMS_HOST: {orjson.dumps(template.replace('%s', str(touched))).decode()}\n")
    with pytest.raises(SettingsError, match="LMS_HOST"):
        load_settings({"ASPECTS_HOME": str(tmp_path), "ASPECTS_TUTOR_CONFIG": str(config)})
    assert not touched.exists()


@pytest.mark.parametrize(
    "text", ["!!python/object/apply:os.system ['touch %s']", "a: !!python/name:os.system"]
)
def test_yaml_makes_no_objects(tmp_path: Path, text: str) -> None:
    touched, path = tmp_path / "touched", tmp_path / "file.yaml"
    path.write_text(text.replace("%s", str(touched)))
    for read in (
        lambda: load_rules(path),
        lambda: read_policy("", path),
        lambda: load_settings({"ASPECTS_HOME": str(tmp_path), "ASPECTS_TUTOR_CONFIG": str(path)}),
    ):
        with pytest.raises(AspectsError):
            read()
    assert not touched.exists()


def test_identities_with_hostile_names_are_those_users_and_no_others(site: Site) -> None:
    write_people(site)
    people = site.folder / "identities.csv"
    hostile = "a' OR '1'='1"
    with people.open(newline="") as file:
        one = next(csv.DictReader(file))
    one |= {
        "user_id": "990001",
        "username": hostile,
        "external_user_id": "11111111-2222-3333-4444-555555555555",
    }
    with people.open("a", newline="") as file:
        csv.DictWriter(file, one.keys()).writerow(one)
    line = orjson.loads(enrolled(AT))
    line["username"], line["context"]["user_id"], line["event"]["user_id"] = hostile, 990001, 990001
    unknown = orjson.loads(enrolled(AT))
    unknown["username"], unknown["context"]["user_id"], unknown["event"]["user_id"] = (
        "' OR ''='",
        990002,
        990002,
    )
    (site.logs / "tracking.log").write_bytes(orjson.dumps(line) + b"\n" + orjson.dumps(unknown) + b"\n")
    loaded = site.load("2024-05")
    assert loaded.ids == 1
    assert b"11111111-2222-3333-4444-555555555555" in site.rows()
    assert loaded.account.total.quarantined_lines == 1


def test_files_that_are_written_are_for_their_owner_alone(site: Site) -> None:
    write_people(site)
    (site.logs / "tracking.log").write_bytes(enrolled(AT) + b'{"broken": \n')
    site.load("2024-05")
    open_to_others = [
        path
        for path in (site.folder / "archive").rglob("*")
        if path.is_file() and path.stat().st_mode & 0o077
    ]
    assert open_to_others == []
    assert S3Options().endpoint_url is None
