"""Delivery by Apprise: each target in a thread of its own, all under one deadline. Targets are named, never by URL.

A target may take longer than a tick has. Its send goes on then, and this process remembers how it ended, so that who is
slow is not told the same at every tick.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence, Set
from dataclasses import dataclass
from types import ModuleType
from typing import Final, Literal

from pydantic import SecretStr

from aspects_orchestration.alerts.message import Message
from aspects_orchestration.errors import SettingsError

#: A tick with a service and a target that hang takes no longer than 10 s.
DEADLINE_S: Final = 6.0
#: To connect, which for mail bounds each of its commands, and to be answered. Longer than a tick waits: some mail servers
#: keep strangers waiting on purpose.
_CONNECT_S: Final = 10.0
_READ_S: Final = 20.0
#: A send that has not ended by then is taken for lost, and tried anew.
_LOST_S: Final = 180.0
#: After so many tries a message is no longer what the others wait for: a target may refuse just this one.
_PATIENCE: Final = 10
_UNREADABLE: Final = "unreadable URL"
_THREAD: Final = "alert to"


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
        # With a timeout of its own it sends from a small pool for the whole process: a few targets that hang would
        # hold up all others, and the process's end.
        sender = apprise.Apprise(asset=apprise.AppriseAsset(service_timeout=0))
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
    """Who is told. One whose URL Apprise cannot read is among them: it takes nothing, and holds up none of the others."""
    found = []
    for number, url in enumerate(urls, 1):
        service = _apprise().Apprise.instantiate(url.get_secret_value(), suppress_exceptions=True)
        found.append(Target(f"{number} ({service.service_name if service else _UNREADABLE})", url))
    return found


def all_readable(to: Sequence[Target]) -> None:
    """Refuse targets that cannot be told anything.

    Raises:
        SettingsError: Apprise does not know a URL.
    """
    for number, target in enumerate(to, 1):
        if target.name.endswith(f"({_UNREADABLE})"):
            raise SettingsError(
                f"ASPECTS_ALERT_URLS: Apprise cannot read URL number {number}",
                do="Write it as Apprise's own documentation shows for that service, and try"
                " `python -m aspects_orchestration.alerts test`.",
            )


@dataclass(frozen=True)
class _Send:
    """A message to a target."""

    url: SecretStr
    title: str
    text: str


class _Sends:
    """The sends of this process: which are under way, and which were taken and not reported yet."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._under_way: dict[_Send, float] = {}
        self._taken: set[_Send] = set()

    def begin(self, send: _Send) -> Literal["go", "under way", "taken"]:
        """Whether to send it now; if so, it is under way."""
        with self._lock:
            now = time.monotonic()
            if send in self._taken:
                return "taken"
            if now - self._under_way.get(send, now - _LOST_S) < _LOST_S:
                return "under way"
            self._under_way[send] = now
            return "go"

    def end(self, send: _Send, *, taken: bool) -> None:
        """It has ended."""
        with self._lock:
            self._under_way.pop(send, None)
            if taken:
                self._taken.add(send)

    def report(self, sends: Set[_Send]) -> Set[_Send]:
        """Those of them that were taken; each is told once."""
        with self._lock:
            known = self._taken & sends
            self._taken -= known
            return known


_SENDS: Final = _Sends()


def deliver(
    to: Sequence[Target], messages: Sequence[Message], *, deadline_s: float = DEADLINE_S
) -> list[tuple[str, ...]]:
    """Send messages, in their order, to those who have not got them.

    A target that fails gets nothing more now, so that order holds and one that hangs is waited for once; except that
    what it refused many times already holds up nothing.

    Args:
        to: who is told.
        messages: the oldest first.
        deadline_s: in seconds; what a target takes later is reported by the next delivery of the same message.

    Returns:
        For each message the names of the targets that have not got it, as far as is known.
    """
    ends = time.monotonic() + deadline_s
    wanted = {
        target.name: [n for n, one in enumerate(messages) if one.left is None or target.name in one.left]
        for target in to
    }

    def of(target: Target, number: int) -> _Send:
        return _Send(target.url, messages[number].title, messages[number].text)

    def run(target: Target) -> None:
        for number in wanted[target.name]:
            if time.monotonic() > ends:
                return
            send = of(target, number)
            begun = _SENDS.begin(send)
            if begun == "taken":
                continue
            if begun == "under way":
                return  # since an earlier tick; the others come after it
            taken = _sent(target, messages[number])
            _SENDS.end(send, taken=taken)
            if not taken and messages[number].tried < _PATIENCE:
                return

    threads = [
        # A daemon: one that hangs must not keep the process from ending.
        threading.Thread(target=run, args=(target,), name=f"{_THREAD} {target.name}", daemon=True)
        for target in to
        if wanted[target.name]
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, ends - time.monotonic()))
    taken = _SENDS.report({of(target, number) for target in to for number in wanted[target.name]})
    missed = {target.name: {n for n in wanted[target.name] if of(target, n) not in taken} for target in to}
    return [tuple(name for name in missed if number in missed[name]) for number in range(len(messages))]


def _sent(target: Target, message: Message) -> bool:
    try:
        return target.send(message)
    except Exception:  # whatever a service's library raises, its text may hold the URL
        return False


def _with_timeouts(url: str) -> str:
    """Apprise's own parameters for the time to connect and to read, in seconds, unless the URL has some."""
    ours = {"cto": _CONNECT_S, "rto": _READ_S}
    missing = [f"{name}={value:g}" for name, value in ours.items() if f"{name}=" not in url.partition("?")[2]]
    return url + ("&" if "?" in url else "?") + "&".join(missing) if missing else url


def _is_not_ours(record: logging.LogRecord) -> bool:
    """Whether a line of a log was written by another thread than one that sends."""
    return not (record.threadName or "").startswith(_THREAD)


def _apprise() -> ModuleType:
    import apprise

    # It logs what it sends and to whom; and what is below it the path of a URL, which for Slack and others is the secret.
    logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)
    for name in ("urllib3.connectionpool", "urllib3.util.retry"):
        logging.getLogger(name).addFilter(_is_not_ours)
    return apprise
