"""Telling: what waits is sent, and what was not taken goes on waiting."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

from aspects_orchestration.alerts.deliver import DEADLINE_S, deliver, targets
from aspects_orchestration.alerts.incidents import Kept, after_delivery
from aspects_orchestration.alerts.message import Message, Where
from aspects_orchestration.settings import Settings

Say = Callable[[str], None]


def where_of(settings: Settings) -> Where:
    """The site as messages name it: by its LMS's host."""
    return Where(urlsplit(settings.lms_root_url).hostname or "Aspects", settings.dagster_url)


def told(settings: Settings, kept: Kept, *, say: Say, deadline_s: float = DEADLINE_S) -> Kept:
    """Send what waits.

    Args:
        settings: of the site; without ASPECTS_ALERT_URLS nothing is sent, and nothing waits.
        kept: with the messages.
        say: told which target did not take a message.
        deadline_s: in seconds, for all of it.

    Returns:
        With the messages that still wait.
    """
    if not kept.waiting:
        return kept
    if not settings.alert_urls:
        return Kept(kept.incidents)
    to = targets(settings.alert_urls)
    names = {one.name for one in to}
    left = deliver(to, kept.waiting, deadline_s=deadline_s)
    for message, of_message in zip(kept.waiting, left, strict=True):
        if of_message:
            say(
                f"not taken yet by {', '.join(of_message)}, and tried again at the next tick: {message.title}"
            )
    # Of a target that is no longer in the settings nothing waits.
    return after_delivery(kept, [tuple(name for name in one if name in names) for one in left])


def tell_now(settings: Settings, messages: Sequence[Message], *, say: Say) -> bool:
    """Send messages once; whether everybody took all of them."""
    return not told(settings, Kept(waiting=tuple(messages)), say=say).waiting
