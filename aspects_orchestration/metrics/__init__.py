"""The readings of all signals for Prometheus."""
