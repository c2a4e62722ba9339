"""A real Celery app without a worker: it puts tasks into Redis just as the LMS does."""

from __future__ import annotations

from urllib.parse import quote

from celery import Celery

LMS, CMS = "edx.lms.core.default", "edx.cms.core.default"


def send_tasks(port: int, password: str, queue: str, tasks: int, *, priority: int | None = None) -> None:
    """Send tasks that nobody takes.

    Args:
        port: of Redis.
        password: of it.
        queue: by name.
        tasks: how many.
        priority: of them, 0 to 9; None where priorities are not used.
    """
    app = Celery(broker=f"redis://:{quote(password, safe='')}@127.0.0.1:{port}/0")
    with app.connection_for_write() as connection:
        for number in range(tasks):
            app.send_task(
                "event_routing_backends.tasks.dispatch_bulk_events",
                args=[[{"id": number}], "xapi", {}],
                queue=queue,
                priority=priority,
                connection=connection,
            )
