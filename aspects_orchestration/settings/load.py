"""Reading all settings: the layers in which they were given, and what of them is refused."""

import difflib
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from aspects_orchestration.errors import SettingsError
from aspects_orchestration.settings.given import NAMES, Given
from aspects_orchestration.settings.in_force import ENVIRONMENT, Settings
from aspects_orchestration.settings.places import against_project
from aspects_orchestration.settings.resolve import Resolution, found_in
from aspects_orchestration.settings.values import ImpossibleValueError, Layer, is_given

_SEE = (
    "`python -m aspects_orchestration.settings` shows what is in force; docs/settings.md lists every setting."
)


class _LayerSource(PydanticBaseSettingsSource):
    """Gives pydantic-settings the values of one layer, by the settings' own names."""

    def __init__(self, settings_cls: type[BaseSettings], layer: Layer) -> None:
        super().__init__(settings_cls)
        self._layer = layer

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:  # noqa: ARG002
        name = str(field.validation_alias)
        return self._layer.values.get(name), name, False

    def __call__(self) -> dict[str, Any]:
        found = (self.get_field_value(field, name) for name, field in self.settings_cls.model_fields.items())
        return {name: value for value, name, _ in found if value is not None}


def load_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """Read all settings: the environment, then the site's Tutor config.yml, then the defaults.

    Args:
        environ: the variables to read instead of the process's own.

    Returns:
        The settings in force. Nothing is created, connected to or written.

    Raises:
        SettingsError: some values are unknown or impossible; the message names every one of them and shows no secret.

    Example:
        >>> load_settings({"ASPECTS_FIRST_MONTH": "2023-09"}).first_month
        '2023-09'
    """
    refused: list[str] = []
    layers = [_environment(os.environ if environ is None else environ)]
    layers += _tutor_config(layers[0], refused)
    refused += _misspelt(layers)
    given = _given(layers, refused)
    settings = None if given is None else Resolution(given, layers, refused).settings()
    if refused or settings is None:
        raise _refusal(refused)
    return settings


def _tutor_config(environment: Layer, refused: list[str]) -> list[Layer]:
    config = environment.values.get("ASPECTS_TUTOR_CONFIG")
    if config is None:
        return []
    # Imported only here: most processes have no config.yml to read.
    from aspects_orchestration.settings.tutor_config import tutor_layers

    wanted = [name for name in NAMES if name != "ASPECTS_TUTOR_CONFIG" and name not in environment.values]
    try:
        path = against_project(str(config).strip())
    except ImpossibleValueError as impossible:
        refused.append(f"ASPECTS_TUTOR_CONFIG: {impossible}")
        return []
    return tutor_layers(path, wanted, refused)


def _refusal(refused: Sequence[str]) -> SettingsError:
    ordered = list(dict.fromkeys(refused))
    if len(ordered) == 1:
        return SettingsError(ordered[0], do=f"Then run it again. {_SEE}")
    return SettingsError(
        f"{len(ordered)} settings cannot be used:\n" + "\n".join(f"  {line}" for line in ordered),
        do=f"\nCorrect them and run it again. {_SEE}",
    )


def _environment(environ: Mapping[str, str]) -> Layer:
    values: dict[str, object] = {k: v for k, v in environ.items() if is_given(k, v)}
    # Kubernetes tells every pod of a service named "clickhouse" its address in a variable of this very name.
    for name in ("CLICKHOUSE_PORT", "REDIS_PORT", "RALPH_PORT", "SUPERSET_PORT"):
        if str(values.get(name, "")).startswith(("tcp://", "udp://")):
            del values[name]
    return Layer(ENVIRONMENT, values)


def _given(layers: Sequence[Layer], refused: list[str]) -> Given | None:
    class Layered(Given):
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,  # noqa: ARG003
            env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
            dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
            file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return tuple(_LayerSource(settings_cls, layer) for layer in layers)

    try:
        return Layered()
    except ValidationError as invalid:
        for error in invalid.errors(include_url=False, include_input=False):
            reason = error.get("ctx", {}).get("error")
            name = str(error["loc"][0])
            text = (
                str(reason)
                if isinstance(reason, ImpossibleValueError)
                else "cannot be read; see docs/settings.md"
            )
            refused.append(f"{name}{found_in(name, layers)}: {text}")
    return None


def _misspelt(layers: Iterable[Layer]) -> list[str]:
    refused = []
    ours = [name for name in NAMES if name.startswith("ASPECTS_")]
    for layer in layers:
        for name in sorted(layer.values):
            upper = name.upper()
            if not upper.startswith("ASPECTS_") or name in NAMES or name in _ASPECTS_OWN:
                continue
            near = difflib.get_close_matches(upper, ours, n=1, cutoff=0.85)
            if near:
                where = "" if layer.origin == ENVIRONMENT else f" (in {layer.origin})"
                refused.append(
                    f"{name}{where}: is not a setting; set {near[0]} if that is meant, or remove it"
                )
    return refused


# Settings of the Aspects plugin (versions 0.x to 6.1) that resemble one of ours and are none of our business.
_ASPECTS_OWN = frozenset(
    {
        "ASPECTS_CLICKHOUSE_CMS_USER",
        "ASPECTS_CLICKHOUSE_LRS_USER",
        "ASPECTS_EVENT_SINK_NODES_TABLE",
        "ASPECTS_VECTOR_RAW_XAPI_TABLE",
        "ASPECTS_XAPI_S3_BUCKET",
        "ASPECTS_XAPI_TABLE",
    }
)
