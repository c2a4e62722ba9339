"""Ralph, Vector and Superset are watched: down is critical, and each way of being down is told apart from the others."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from services.http_double import HttpDouble, http, http_double, timed
from services.monitoring import readings_of, ticked, ticks, values_of
from services.ports import free_port
from services.ralph import Ralph
from services.site import Site, stop_server

from aspects_orchestration.monitoring.model import State
from aspects_orchestration.monitoring.services import readers
from aspects_orchestration.monitoring.signals import SIGNALS
from aspects_orchestration.monitoring.watch import Reader
from aspects_orchestration.sensors.service_health import service_health
from aspects_orchestration.settings import load_settings
from aspects_orchestration.warehouse import server

VECTOR_OK = http(200, '{"ok":true}', "Content-Type: application/json")
SUPERSET_OK = http(200, "OK")
HEARTBEAT, LBHEARTBEAT = "/__heartbeat__", "/__lbheartbeat__"
RALPH_OK = {HEARTBEAT: http(200, '{"database":"ok"}'), LBHEARTBEAT: http(200, "null")}


def all_of(double: HttpDouble) -> dict[str, str]:
    port = str(double.port)
    return {
        "RALPH_HOST": "127.0.0.1",
        "RALPH_PORT": port,
        "ASPECTS_VECTOR_HOST": "127.0.0.1",
        "ASPECTS_VECTOR_PORT": port,
    }


def superset(double: HttpDouble) -> list[Reader]:
    return readers(load_settings({"SUPERSET_HOST": "127.0.0.1", "SUPERSET_PORT": str(double.port)}))


def vector(*hosts: str) -> list[Reader]:
    return readers(load_settings({"ASPECTS_VECTOR_HOST": ",".join(hosts)}))


def ralph(host: str) -> list[Reader]:
    return readers(load_settings({"RALPH_HOST": host}))


# --- a real Ralph


def test_a_real_ralph_is_up_and_its_latency_is_measured(
    ralph_program: Path, shared_site: Site, stopped_ralphs: list[Ralph], tmp_path: Path
) -> None:
    real = Ralph(ralph_program, tmp_path, server.ensure_running(shared_site.home))
    stopped_ralphs.append(real)
    real.start()
    asked = ralph(f"127.0.0.1:{real.port}")
    seen = ticks(asked, 2)
    assert {standing.state for standing in seen.standings.values()} == {State.OK}
    values = {key: reading.value for key, reading in seen.readings.items()}
    assert (values["ralph_up{check=heartbeat}"], values["ralph_up{check=lbheartbeat}"]) == (1, 1)
    latency = values["ralph_latency{check=heartbeat}"]
    assert latency is not None
    assert 0 < latency < 1_000

    real.hang()
    seconds = timed(lambda: ticks(asked, 1))
    hanging = readings_of(asked)["ralph_up{check=lbheartbeat}"]
    assert (hanging.value, seconds < 5) == (0, True)
    assert "did not answer within" in hanging.why
    real.go_on()

    real.kill()
    killed = ticks(asked, 1).standings["ralph_up{check=lbheartbeat}"]
    assert killed.state is State.CRITICAL
    assert "nothing listens there" in killed.why


def test_a_real_ralph_that_does_not_reach_its_database_lives_and_is_not_well(
    ralph_program: Path, site: Site, stopped_ralphs: list[Ralph], tmp_path: Path
) -> None:
    real = Ralph(ralph_program, tmp_path, server.ensure_running(site.home))
    stopped_ralphs.append(real)
    real.start()
    asked = ralph(f"127.0.0.1:{real.port}")
    assert values_of(asked)["ralph_up{check=heartbeat}"] == 1
    stop_server(site.home)
    found = readings_of(asked)
    assert found["ralph_up{check=lbheartbeat}"].value == 1
    assert found["ralph_up{check=heartbeat}"].value == 0
    assert "does not reach its database" in found["ralph_up{check=heartbeat}"].why


def test_a_real_ralph_with_a_wrong_password_for_its_database_is_not_well(
    ralph_program: Path, shared_site: Site, stopped_ralphs: list[Ralph], tmp_path: Path
) -> None:
    real = Ralph(ralph_program, tmp_path, server.ensure_running(shared_site.home), password="wrong")
    stopped_ralphs.append(real)
    real.start()
    found = values_of(ralph(f"127.0.0.1:{real.port}"))
    assert (found["ralph_up{check=heartbeat}"], found["ralph_up{check=lbheartbeat}"]) == (0, 1)


# --- right answers


def test_services_that_answer_as_they_should_are_up() -> None:
    with http_double({"/health": VECTOR_OK, **RALPH_OK}) as double:
        found = values_of(readers(load_settings(all_of(double))))
    assert {key: value for key, value in found.items() if "up" in key} == {
        "ralph_up{check=heartbeat}": 1,
        "ralph_up{check=lbheartbeat}": 1,
        f"vector_up{{host={double.host}}}": 1,
    }
    with http_double({"/health": SUPERSET_OK}) as double:
        assert values_of(superset(double)) == {"superset_up": 1}


def test_each_vector_is_watched_by_itself() -> None:
    with http_double({"/health": VECTOR_OK}) as well, http_double({"/health": http(503)}) as ill:
        found = values_of(vector(well.host, ill.host))
    assert found == {f"vector_up{{host={well.host}}}": 1, f"vector_up{{host={ill.host}}}": 0}


def test_a_slow_ralph_is_up_and_warned_of_after_some_readings() -> None:
    with http_double(dict(RALPH_OK), slow_s=1.1) as double:
        asked = ralph(double.host)
        seen = ticks(asked, 3)
    assert seen.standings["ralph_up{check=heartbeat}"].state is State.OK
    assert seen.standings["ralph_latency{check=heartbeat}"].state is State.WARN


# --- wrong answers, told apart


WRONG = {
    "500": (http(500, "Internal Server Error"), "answers 500. Read its log"),
    "401": (http(401, "login"), "asks who we are"),
    "403": (http(403, "no"), "asks who we are"),
    "404": (http(404, "not here"), "another service"),
    "302": (http(302, "", "Location: https://login.example.org/?token=sEcReT"), "sends elsewhere"),
    "html": (http(200, "<html><body>Welcome to nginx</body></html>"), "another service listens there"),
    "empty": (http(200), "another service listens there"),
    "rubbish": (b"\x00\xff rubbish sEcReT\r\n\r\n", "not as HTTP"),
    "redis": (b"-ERR unknown command 'GET'\r\n", "not as HTTP"),
    "cut off": (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nOK", "closed the connection"),
    "nothing": (b"", "closed the connection"),
    "endless head": (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000, "not as HTTP"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_answer_is_critical_and_says_what_it_was(wrong: str) -> None:
    answer, told = WRONG[wrong]
    with http_double({"/health": answer}) as double:
        seen = ticks(superset(double), 1)
    standing = seen.standings["superset_up"]
    assert standing.state is State.CRITICAL
    assert told in standing.why
    assert "sEcReT" not in str(seen)


def test_a_service_that_says_it_is_not_well_is_down() -> None:
    with http_double({"/health": http(200, '{"ok":false}')}) as double:
        (found,) = readings_of(vector(double.host)).values()
    assert (found.value, "says that it is not well" in found.why) == (0, True)


def test_a_large_answer_is_not_held_in_memory() -> None:
    with http_double({"/health": http(200, "x" * 5_000_000)}) as double:
        assert values_of(superset(double)) == {"superset_up": 0}


def test_a_redirect_is_not_followed_and_no_proxy_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with http_double({"/health": VECTOR_OK}) as elsewhere:
        to = f"Location: http://{elsewhere.host}/health"
        with http_double({"/health": http(302, "", to)}) as double:
            for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
                monkeypatch.setenv(name, f"http://{elsewhere.host}")
            assert list(values_of(vector(double.host)).values()) == [0]
            assert len(double.asked) == 1
        assert elsewhere.asked == []


def test_nobody_listening_and_an_unknown_name_are_told_apart() -> None:
    nowhere, unknown = f"127.0.0.1:{free_port()}", "no-such-host.invalid"
    found = {key: reading.why for key, reading in readings_of(vector(nowhere, unknown)).items()}
    assert "nothing listens there" in found[f"vector_up{{host={nowhere}}}"]
    assert "name that is not known" in found[f"vector_up{{host={unknown}:8686}}"]


def test_https_where_http_is_spoken_is_told() -> None:
    with http_double({"/health": VECTOR_OK}) as double:
        settings = load_settings({"RALPH_HOST": double.host, "RALPH_RUN_HTTPS": "true"})
        found = readings_of(readers(settings))["ralph_up{check=heartbeat}"]
    assert (found.value, "TLS" in found.why) == (0, True)


# --- hanging


def test_a_service_that_hangs_is_critical_in_time() -> None:
    with http_double({"/health": None, HEARTBEAT: None, LBHEARTBEAT: None}) as double:
        asked = readers(load_settings(all_of(double)))
        seconds = timed(lambda: ticks(asked, 1))
        seen = ticks(asked, 1)
    up = [standing for key, standing in seen.standings.items() if "_up" in key]
    assert {standing.state for standing in up} == {State.CRITICAL}
    assert seconds < 5


def test_an_answer_that_drips_is_cut_off() -> None:
    with http_double({"/health": SUPERSET_OK}, drip_s=0.2) as double:
        asked = superset(double)
        assert timed(lambda: ticks(asked, 1)) < 7
        why = readings_of(asked)["superset_up"].why
    assert "in full" in why


def test_where_one_hangs_the_others_are_read() -> None:
    with http_double({"/health": None, **RALPH_OK}) as double:
        found = values_of(readers(load_settings(all_of(double))))
    assert found["ralph_up{check=heartbeat}"] == 1
    assert found[f"vector_up{{host={double.host}}}"] == 0


# --- the sensor


def test_nothing_is_watched_that_is_not_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ASPECTS_HOME", str(tmp_path))
    assert readers(load_settings({})) == []
    result, _ = ticked(service_health())
    assert "RALPH_HOST" in str(result.skip_reason)


def test_a_tick_observes_every_signal_and_is_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        http_double({"/health": VECTOR_OK, **RALPH_OK}) as double,
        http_double({"/health": SUPERSET_OK}) as dashboards,
    ):
        environ = {**all_of(double), "SUPERSET_HOST": dashboards.host}
        for name, value in environ.items():
            monkeypatch.setenv(name, value)
        result, _ = ticked(service_health())
        assert timed(lambda: ticked(service_health())) < 2
    watched = {event.asset_key.path[-1] for event in result.asset_events}
    assert watched == {name for name, one in SIGNALS.items() if one.group == "services"}
    assert set(json.loads(str(result.cursor))["standings"]) >= {"superset_up"}


def test_a_tick_ends_in_time_and_does_not_fail_though_all_of_them_hang(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with http_double({"/health": None, HEARTBEAT: None, LBHEARTBEAT: None}) as double:
        for name, value in (all_of(double) | {"SUPERSET_HOST": double.host}).items():
            monkeypatch.setenv(name, value)
        assert timed(lambda: ticked(service_health())) < 10
