"""Prints the catalogue as the tables of docs/monitoring.md: `python -m aspects_orchestration.monitoring.signals`."""

import sys

from aspects_orchestration.monitoring.signals.tables import tables

sys.stdout.write("\n".join(tables()))
