"""Settings as sites give them: a Tutor config.yml, an environment; and what is made of them."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from aspects_orchestration.errors import SettingsError
from aspects_orchestration.settings import Settings, effective_settings, load_settings

# As `tutor config save` writes it with the Aspects plugin: what the site set, and generated names and passwords.
TUTOR_4 = {
    "LMS_HOST": "lms.example.org",
    "CMS_HOST": "studio.{{ LMS_HOST }}",
    "ENABLE_HTTPS": True,
    "CLICKHOUSE_ADMIN_USER": "ch_admin",
    "CLICKHOUSE_ADMIN_PASSWORD": "hunter2hunter2",
    "CLICKHOUSE_SECURE_CONNECTION": False,
    "ASPECTS_CLICKHOUSE_CMS_USER": "ch_cms",
    "ASPECTS_CLICKHOUSE_CMS_PASSWORD": "another",
    "ASPECTS_CLICKHOUSE_LRS_USER": "ch_lrs",
    "ASPECTS_CLICKHOUSE_REPORT_USER": "ch_report",
    "ASPECTS_CLICKHOUSE_VECTOR_USER": "ch_vector",
    "ASPECTS_INSTRUCTOR_DASHBOARDS": [{"name": "Course dashboard", "slug": "course"}],
    "ASPECTS_XAPI_TABLE": "xapi_events_all_parsed",
    "PLUGINS": ["aspects"],
}
TUTOR_5 = {**TUTOR_4, "ASPECTS_XAPI_S3_ACCESS_KEY": "", "ASPECTS_XAPI_S3_SECRET_KEY": ""}


def with_config(folder: Path, content: object, **environ: str) -> dict[str, str]:
    """An environment that names a config.yml, which is written into a folder."""
    path = folder / "config.yml"
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content), encoding="utf-8")
    return {"ASPECTS_TUTOR_CONFIG": str(path), **environ}


def sources(settings: Settings) -> dict[str, str]:
    """Where each setting comes from, by name."""
    return {row.name: row.source for row in effective_settings(settings)}


def values(settings: Settings) -> dict[str, str]:
    """Each setting as it is shown, by name."""
    return {row.name: row.value for row in effective_settings(settings)}


def refusal(environ: dict[str, str]) -> str:
    """What an environment is refused with."""
    with pytest.raises(SettingsError) as refused:
        load_settings(environ)
    return str(refused.value)
