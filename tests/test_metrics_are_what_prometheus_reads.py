"""The readings in Prometheus' text format: its own parser reads them, hanging services hold up no scrape for long."""

from __future__ import annotations

import re
import signal
import subprocess
import time
import urllib.request
from collections.abc import Mapping
from datetime import UTC, datetime

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from services.bad_http import hanging
from services.site import Site

from aspects_orchestration.metrics.__main__ import main
from aspects_orchestration.metrics.collect import Signals, metric_name
from aspects_orchestration.monitoring.model import Reading, Standing, labels_of
from aspects_orchestration.monitoring.rules import Rules
from aspects_orchestration.monitoring.signals import SIGNALS
from aspects_orchestration.monitoring.watch import Look, Reader, look

NOW = datetime(2024, 5, 1, tzinfo=UTC)


def samples(text: str) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    """Values by name and labels, as Prometheus' parser reads them."""
    found: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sorted(sample.labels.items()))] = sample.value
    return found


def test_every_signal_has_a_name_that_prometheus_takes_and_none_has_anothers() -> None:
    names = [metric_name(one) for one in SIGNALS.values()]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-z][a-z0-9_]*", name) for name in names)
    assert metric_name(SIGNALS["clickhouse_lag"]) == "aspects_clickhouse_lag_seconds"


def test_values_labels_states_and_what_is_unknown() -> None:
    hostile = 'a"b\\c\nd'
    found = [
        Reading("clickhouse_disk_free", 0.05, NOW, 1.0, labels_of({"disk": hostile, "node": "ch-1"})),
        Reading("clickhouse_disk_free", 0.5, NOW, 1.0, labels_of({"disk": "other"})),
        Reading("clickhouse_lag", None, NOW, 1.0, why="down"),
        Reading("clickhouse_queries", 7.0, NOW, 1.0),
    ]
    looks = 0

    def look_now(before: Mapping[str, Standing]) -> Look:
        nonlocal looks
        looks += 1
        names = tuple({one.signal for one in found})
        return look([Reader("x", names, lambda _: found)], rules=Rules(), before=before, now=NOW)

    registry = CollectorRegistry(auto_describe=False)
    registry.register(Signals(look_now, fresh_s=0.0))
    first = samples(generate_latest(registry).decode())
    assert looks == 1, "nothing is read before a scrape"
    assert first["aspects_clickhouse_disk_free_ratio"] == {
        (("disk", hostile), ("node", "ch-1")): 0.05,
        (("disk", "other"), ("node", "")): 0.5,
    }
    assert "aspects_clickhouse_lag_seconds" not in first, "a value that was not read is not made up"
    assert first["aspects_signal_state"][(("signal", "clickhouse_lag"),)] == 1
    second = samples(generate_latest(registry).decode())
    assert second["aspects_signal_state"][(("signal", "clickhouse_disk_free"),)] == 3, (
        "critical at the second look"
    )
    assert second["aspects_signal_state"][(("signal", "clickhouse_queries"),)] == 0


def test_readings_are_shared_by_those_who_ask_at_once() -> None:
    looks = 0

    def look_now(before: Mapping[str, Standing]) -> Look:
        nonlocal looks
        looks += 1
        return look([], rules=Rules(), before=before, now=NOW)

    registry = CollectorRegistry(auto_describe=False)
    registry.register(Signals(look_now, fresh_s=60))
    for _ in range(5):
        generate_latest(registry)
    assert looks == 1


def test_the_program_serves_on_loopback_and_ends_when_it_is_asked_to(site: Site) -> None:
    site.warehouse()
    process = site.popen(
        "-m", "aspects_orchestration.metrics", "--port", "0", stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    address = process.stdout.readline().decode().strip()
    assert address.startswith("http://127.0.0.1:")
    with urllib.request.urlopen(address, timeout=20) as answer:  # noqa: S310  loopback
        found = samples(answer.read().decode())
    assert found["aspects_clickhouse_up"] == {(): 1.0}
    assert found["aspects_signal_state"][(("signal", "clickhouse_lag"),)] == 1, "the table is empty"
    process.send_signal(signal.SIGTERM)
    _, error = process.communicate(timeout=20)
    assert process.returncode == 0, error.decode()


def test_a_clickhouse_that_hangs_is_said_in_time(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with hanging() as port:
        monkeypatch.setenv("ASPECTS_CLICKHOUSE_URL", f"http://operator:hidden-word@127.0.0.1:{port}")
        started = time.monotonic()
        assert main(["--once"]) == 0
        assert time.monotonic() - started < 10
    output = capsys.readouterr().out
    assert samples(output)["aspects_signal_state"][(("signal", "clickhouse_max_parts"),)] == 1
    assert "hidden-word" not in output


def test_a_port_that_is_taken_is_told_with_what_to_do(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    with hanging() as port:
        assert main(["--port", str(port)]) == 1
    assert "Give another: --port" in capsys.readouterr().err
