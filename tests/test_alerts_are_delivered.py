"""Messages reach a real web hook and a real mail server; what they do not take is tried again, and no secret is told."""

from __future__ import annotations

import json
import logging
import socket
import threading
import time
from collections.abc import Iterator

import dagster as dg
import pytest
from pydantic import SecretStr
from services.ports import free_port
from services.receivers import SECRET, Hook, mail_server, web_hook
from services.site import Site

from aspects_orchestration.alerts.__main__ import main
from aspects_orchestration.alerts.deliver import all_readable, deliver, targets
from aspects_orchestration.alerts.incidents import Kept, after_delivery
from aspects_orchestration.alerts.message import Message
from aspects_orchestration.errors import SettingsError
from aspects_orchestration.sensors.clickhouse_health import clickhouse_health
from aspects_orchestration.sensors.run_failed import run_failed

FIRST = Message("failure", "first <b>&</b>", "line 1\nline 2 of 'it' & <x>")
SECOND = Message("success", "second", "text")


@pytest.fixture
def hook() -> Iterator[Hook]:
    with web_hook() as found:
        yield found


def test_everybody_gets_every_message_as_it_is(hook: Hook) -> None:
    with mail_server() as box:
        to = targets([SecretStr(hook.url), SecretStr(box.url)])
        assert deliver(to, [FIRST, SECOND]) == [(), ()]
        assert [(one["title"], one["message"], one["type"]) for one in hook.got] == [
            (FIRST.title, FIRST.text, "failure"),
            (SECOND.title, SECOND.text, "success"),
        ]
        assert [(title, text.replace("\r\n", "\n").strip()) for title, text in box.got] == [
            (FIRST.title, FIRST.text),
            (SECOND.title, SECOND.text),
        ]


def test_who_refuses_is_told_again_and_nobody_else(hook: Hook) -> None:
    with mail_server() as box:
        to = targets([SecretStr(hook.url), SecretStr(box.url)])
        hook.status = 500
        left = deliver(to, [FIRST, SECOND])
        assert left == [("1 (JSON)",), ("1 (JSON)",)]
        hook.status = 200
        again = [Message(FIRST.kind, FIRST.title, FIRST.text, left[0])]
        assert deliver(to, again) == [()]
        assert hook.titles == [FIRST.title]
        assert len(box.got) == 2


def test_who_hangs_holds_nobody_up_and_who_is_gone_is_told_as_such(hook: Hook) -> None:
    with mail_server() as box:
        mail = box.url
        hook.answers.clear()
        to = targets([SecretStr(hook.url), SecretStr(mail)])
        started = time.monotonic()
        assert deliver(to, [FIRST], deadline_s=2) == [("1 (JSON)",)]
        assert time.monotonic() - started < 4
        assert len(box.got) == 1
    assert deliver(targets([SecretStr(mail)]), [FIRST]) == [("1 (E-Mail)",)]


def test_who_is_slower_than_a_tick_is_told_once(hook: Hook) -> None:
    to = targets([SecretStr(hook.url)])
    hook.answers.clear()
    for _ in range(3):
        assert deliver(to, [FIRST, SECOND], deadline_s=0.2) == [("1 (JSON)",), ("1 (JSON)",)]
    hook.answers.set()
    (sending,) = [one for one in threading.enumerate() if one.name == "alert to 1 (JSON)"]
    sending.join()
    assert deliver(to, [FIRST, SECOND]) == [(), ()]
    assert hook.titles == [FIRST.title, SECOND.title]


def test_a_message_that_is_always_refused_does_not_hold_up_the_others_for_ever(hook: Hook) -> None:
    to, kept = targets([SecretStr(hook.url)]), Kept(waiting=(FIRST, SECOND))
    hook.refuses = FIRST.title
    ticks = 0
    while len(kept.waiting) == 2 and ticks < 100:
        kept, ticks = after_delivery(kept, deliver(to, kept.waiting)), ticks + 1
    assert ticks == 11
    assert hook.titles == [SECOND.title]
    assert [one.title for one in kept.waiting] == [FIRST.title], "it is tried again, and shown as waiting"


def test_no_log_has_a_secret_however_much_is_logged(hook: Hook, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    to = targets([SecretStr(hook.url)])
    assert deliver(to, [FIRST]) == [()]
    hook.status = 500
    assert deliver(to, [FIRST]) == [("1 (JSON)",)]
    assert SECRET not in caplog.text + repr(to)


def test_a_url_that_apprise_does_not_know_is_refused_without_showing_it_and_silences_nobody_else(
    hook: Hook,
) -> None:
    to = targets([SecretStr(f"nosuch://user:{SECRET}@host"), SecretStr(hook.url)])
    with pytest.raises(SettingsError, match="URL number 1") as refused:
        all_readable(to)
    assert deliver(to, [FIRST]) == [("1 (unreadable URL)",)]
    assert hook.titles == [FIRST.title]
    assert SECRET not in str(refused.value) + repr(to)


# --- in a sensor ------------------------------------------------------------------------------------------------------


def environment(site: Site, hook: Hook, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**site.variables, "ASPECTS_ALERT_URLS": hook.url}.items():
        monkeypatch.setenv(name, value)


def test_a_clickhouse_that_is_down_is_told_of_and_that_it_is_up_again(
    site: Site, hook: Hook, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    environment(site, hook, monkeypatch)
    sensor, cursor = clickhouse_health(), None
    delivery: list[float] = []

    def tick() -> None:
        nonlocal cursor
        with dg.DagsterInstance.ephemeral() as instance:
            result = sensor(dg.build_sensor_context(instance=instance, cursor=cursor))
        assert isinstance(result, dg.SensorResult)
        cursor = result.cursor
        assert SECRET not in str(result)
        delivery.extend(
            event.metadata["value"].value
            for event in result.asset_events
            if event.asset_key.path[-1] == "alert_delivery"
        )

    monkeypatch.setenv("ASPECTS_CLICKHOUSE_URL", f"http://operator:{SECRET}@127.0.0.1:{free_port()}")
    hook.status = 503
    for _ in range(3):
        tick()
    assert hook.got == []
    assert delivery == [0.0, 0.0, 1.0], "that nobody hears is a signal of its own"
    hook.status = 200
    tick()
    assert hook.titles == ["local.openedx.io: CRITICAL: ClickHouse answers: no"]
    assert "does not answer" in hook.got[0]["message"]
    assert json.loads(cursor or "{}")["alerts"]["waiting"] == []
    tick()
    assert len(hook.got) == 1, "nothing is told twice"
    monkeypatch.delenv("ASPECTS_CLICKHOUSE_URL")
    site.warehouse()
    tick()
    assert hook.titles[1:] == ["local.openedx.io: OK again: ClickHouse answers: yes"]
    assert SECRET not in caplog.text + json.dumps(hook.got)


def test_a_tick_is_short_though_clickhouse_and_the_web_hook_hang(
    site: Site, hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment(site, hook, monkeypatch)
    hook.answers.clear()
    with socket.create_server(("127.0.0.1", 0)) as silent, dg.DagsterInstance.ephemeral() as instance:
        url = f"http://operator:{SECRET}@127.0.0.1:{silent.getsockname()[1]}"
        monkeypatch.setenv("ASPECTS_CLICKHOUSE_URL", url)
        started = time.monotonic()
        cursor = None
        for _ in range(2):
            result = clickhouse_health()(dg.build_sensor_context(instance=instance, cursor=cursor))
            assert isinstance(result, dg.SensorResult)
            cursor = result.cursor
        assert time.monotonic() - started < 2 * 10
    (waiting,) = json.loads(cursor or "{}")["alerts"]["waiting"]
    assert waiting["left"] == ["1 (JSON)"]


def test_failed_runs_are_told_of_once_with_what_is_safe_to_say(
    site: Site, hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment(site, hook, monkeypatch)

    @dg.op
    def breaks() -> None:
        raise ValueError(f"a line of a log: {SECRET}")

    @dg.op
    def says() -> None:
        raise dg.Failure(description="the archive is not whole. Bring it back.", allow_retries=False)

    @dg.job
    def one() -> None:
        breaks()

    @dg.job
    def other() -> None:
        says()

    sensor = run_failed()
    with dg.DagsterInstance.ephemeral() as instance:
        cursor = None

        def tick() -> None:
            nonlocal cursor
            result = sensor(dg.build_sensor_context(instance=instance, cursor=cursor))
            assert isinstance(result, dg.SensorResult)
            cursor = result.cursor

        one.execute_in_process(instance=instance, raise_on_error=False)
        tick()
        tick()
        assert hook.got == [], "what failed before the sensor was switched on"
        failed = one.execute_in_process(instance=instance, raise_on_error=False)
        other.execute_in_process(
            instance=instance, raise_on_error=False, tags={"dagster/partition": "2024-05"}
        )
        tick()
        assert hook.titles == [
            "local.openedx.io: run failed: one",
            "local.openedx.io: run failed: other, 2024-05",
        ]
        assert hook.got[0]["message"] == (
            f"ValueError: look at the run's log\nhttp://127.0.0.1:3000/runs/{failed.run_id}"
        )
        assert hook.got[1]["message"].startswith("the archive is not whole. Bring it back.\n")
        tick()
        assert len(hook.got) == 2, "each once"
        hook.status = 500
        for _ in range(5):
            one.execute_in_process(instance=instance, raise_on_error=False)
        tick()
        hook.status = 200
        tick()
        assert hook.titles[2:] == ["local.openedx.io: 5 runs failed at once"]


# --- the command ------------------------------------------------------------------------------------------------------


def test_the_command_sends_one_of_each_and_says_who_took_them(
    hook: Hook, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("ASPECTS_ALERT_URLS", raising=False)
    assert main(["test"]) == 1
    assert "ASPECTS_ALERT_URLS is not set" in capsys.readouterr().err
    monkeypatch.setenv("ASPECTS_ALERT_URLS", hook.url)
    assert main(["test"]) == 0
    assert capsys.readouterr().out == "1 (JSON): took all (5 messages)\n"
    assert [title.split()[2] for title in hook.titles] == ["WARN:", "CRITICAL:", "STILL", "OK", "4"]
    hook.status = 500
    assert main(["test"]) == 1
    output = capsys.readouterr()
    assert "1 (JSON): did not take 5" in output.out
    assert SECRET not in output.out + output.err
    assert main(["rules"]) == 0
    assert (
        "clickhouse_lag: warn from 15 min; critical from 1 h, 2 readings in a row" in capsys.readouterr().out
    )
