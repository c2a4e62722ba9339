"""Prints the catalogue as the tables of docs/monitoring.md: `python -m aspects_orchestration.monitoring.signals`."""

from aspects_orchestration.monitoring.signals.tables import tables

print("\n".join(tables()), end="")
