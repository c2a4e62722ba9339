"""Runs on several machines: Dagster's Celery launcher, with an eye on workers that are gone."""
