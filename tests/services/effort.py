"""What work costs, whatever else the machine has to do meanwhile: CPU seconds, not those of the clock."""

from __future__ import annotations

import time

import psutil

from aspects_orchestration.warehouse import server
from services.site import Site


def spent_s(site: Site) -> float:
    """CPU seconds that this process and the site's embedded server, if it runs, have spent so far."""
    address = server.status(site.home)
    of_server = psutil.Process(address.pid).cpu_times() if address else None
    return time.process_time() + (of_server.user + of_server.system if of_server else 0.0)
