"""Tutor plugin that runs aspects-orchestration beside Aspects."""
