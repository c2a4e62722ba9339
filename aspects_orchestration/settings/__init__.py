"""Every setting: its name, its default, its meaning, and where the value in force came from.

The only package that reads the environment; everything else is given a `Settings`. The environment wins over the
site's Tutor `config.yml` (ASPECTS_TUTOR_CONFIG, only ever read), and that over the defaults. Names that Aspects and
edx-platform already use keep their meaning.

`python -m aspects_orchestration.settings [--json]` prints the values in force, secrets masked.
"""

from aspects_orchestration.settings.given import (
    AgentIfiType,
    ArchiveCompression,
    ArchiveEncryption,
    DocumentedSetting,
    ObjectLock,
    TransformEngine,
    XapiSource,
    documented_settings,
)
from aspects_orchestration.settings.in_force import (
    DEFAULT,
    ENVIRONMENT,
    SAMPLE_LOGS,
    ClickHouseAddress,
    EffectiveSetting,
    Settings,
    effective_settings,
)
from aspects_orchestration.settings.load import load_settings
from aspects_orchestration.settings.watched import KafkaAddress, RedisAddress, Watched

__all__ = [
    "DEFAULT",
    "ENVIRONMENT",
    "SAMPLE_LOGS",
    "AgentIfiType",
    "ArchiveCompression",
    "ArchiveEncryption",
    "ClickHouseAddress",
    "DocumentedSetting",
    "EffectiveSetting",
    "KafkaAddress",
    "ObjectLock",
    "RedisAddress",
    "Settings",
    "TransformEngine",
    "Watched",
    "XapiSource",
    "documented_settings",
    "effective_settings",
    "load_settings",
]
