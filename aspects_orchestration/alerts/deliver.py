"""Delivery by Apprise: each target in a thread of its own, all under one deadline. Targets are named, never by URL."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from types import ModuleType
from typing import Final

from pydantic import SecretStr

from aspects_orchestration.alerts.message import Message
from aspects_orchestration.errors import SettingsError

#: A tick with a hanging target takes no longer than 10 s together with its look.
DEADLINE_S: Final = 6.0
_SOCKET_S: Final = 4.0


@dataclass(frozen=True)
class Target:
    """Somebody who is told.

    Attributes:
        name: safe to show: its number among ASPECTS_ALERT_URLS and its service, such as `2 (Slack)`.
        url: for Apprise. Secret.
    """

    name: str
    url: SecretStr

    def send(self, message: Message) -> bool:
        """Send; whether it was taken."""
        apprise = _apprise()
        sender = apprise.Apprise()
        if not sender.add(_with_timeouts(self.url.get_secret_value())):
            return False
        return bool(
            sender.notify(
                title=message.title,
                body=message.text,
                notify_type=message.kind,
                body_format=apprise.NotifyFormat.TEXT,
            )
        )


def targets(urls: Sequence[SecretStr]) -> list[Target]:
    """Who is told.

    Raises:
        SettingsError: Apprise does not know a URL.
    """
    found = []
    for number, url in enumerate(urls, 1):
        service = _apprise().Apprise.instantiate(url.get_secret_value(), suppress_exceptions=True)
        if service is None:
            raise SettingsError(
                f"ASPECTS_ALERT_URLS: Apprise cannot read URL number {number}",
                do="Write it as Apprise's own documentation shows for that service, and try"
                " `python -m aspects_orchestration.alerts test`.",
            )
        found.append(Target(f"{number} ({service.service_name})", url))
    return found


def deliver(
    to: Sequence[Target], messages: Sequence[Message], *, deadline_s: float = DEADLINE_S
) -> list[tuple[str, ...]]:
    """Send messages, in their order, to those who have not got them.

    A target that fails once gets nothing more now, so that order holds and one that hangs is waited for once.

    Args:
        to: who is told.
        messages: the oldest first.
        deadline_s: in seconds; who has not taken a message by then may get it a second time.

    Returns:
        For each message the names of the targets that have not got it.
    """
    ends = time.monotonic() + deadline_s
    wanted = {
        target.name: [n for n, one in enumerate(messages) if one.left is None or target.name in one.left]
        for target in to
    }
    done: SimpleQueue[tuple[str, int | None]] = SimpleQueue()

    def run(target: Target) -> None:
        for number in wanted[target.name]:
            if time.monotonic() > ends or not _sent(target, messages[number]):
                break
            done.put((target.name, number))
        done.put((target.name, None))

    for target in to:
        # A daemon: one that hangs must not keep the process from ending.
        threading.Thread(target=run, args=(target,), name=f"alert {target.name}", daemon=True).start()
    left = {name: set(numbers) for name, numbers in wanted.items()}
    running = len(to)
    while running:
        try:
            name, number = done.get(timeout=max(0.0, ends - time.monotonic()))
        except Empty:
            break
        if number is None:
            running -= 1
        else:
            left[name].discard(number)
    return [tuple(name for name in left if number in left[name]) for number in range(len(messages))]


def _sent(target: Target, message: Message) -> bool:
    try:
        return target.send(message)
    except Exception:  # whatever a service's library raises, its text may hold the URL
        return False


def _with_timeouts(url: str) -> str:
    """Apprise's own parameters for the time to connect and to read, in seconds, unless the URL has some."""
    missing = [f"{name}={_SOCKET_S:g}" for name in ("cto", "rto") if f"{name}=" not in url.partition("?")[2]]
    return url + ("&" if "?" in url else "?") + "&".join(missing) if missing else url


def _apprise() -> ModuleType:
    import apprise

    # It logs what it sends and to whom.
    logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)
    return apprise
