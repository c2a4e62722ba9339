"""What one setting's value may be, and how a value is shown.

Each reader takes a value as it was given and returns it checked, or raises `ImpossibleValueError` with what is wrong
and what would do. Nothing shown here is a secret.
"""

import re
import unicodedata
from collections.abc import Callable, Mapping
from typing import NamedTuple

from pydantic import BeforeValidator, SecretStr

from aspects_orchestration.archive.rotation_rules import parse_rotation
from aspects_orchestration.errors import SettingsError
from aspects_orchestration.warehouse.ttl import parse_ttl

MASK = "********"

# Set to nothing, these say something; any other setting given as nothing counts as not given, because compose files and
# manifests pass on variables that nobody has set.
_MEANINGFUL_WHEN_EMPTY = {"CLICKHOUSE_CLUSTER_NAME", "ASPECTS_DATA_TTL_EXPRESSION"}


class Layer(NamedTuple):
    """One place that settings are read from, and how its values are called in reports."""

    origin: str
    values: Mapping[str, object]


def is_given(name: str, value: object) -> bool:
    """Whether a value counts as given: most settings set to nothing count as not set."""
    if value is None:
        return False
    return name in _MEANINGFUL_WHEN_EMPTY or not isinstance(value, str) or bool(value.strip())


class ImpossibleValueError(ValueError):
    """A value that cannot be: its text says what is wrong and what would do, and shows no secret."""


def shown(value: object) -> str:
    """A value that is not secret, for a message: short, on one line, without what looks like a password."""
    text = masked_url(str(value))
    return repr(text if len(text) <= 80 else text[:77] + "...")


def masked_url(url: str) -> str:
    """The URL without its password and its query. Masks too much rather than too little where it is malformed."""
    head, separator, rest = url.partition("://")
    if not separator:
        return MASK if "@" in url else url
    rest, question, _ = rest.partition("?")
    if "@" not in rest and "@" in url:
        return f"{head}://{MASK}"
    user, at, host = rest.rpartition("@")
    if at and ":" in user:
        user = f"{user.partition(':')[0]}:{MASK}"
    return f"{head}://{user}{at}{host}{'?…' if question else ''}"


def stripped(value: object) -> str:
    """A single value as text, without the white space around it. Settings stand in logs, messages and files of settings, so
    there is nothing in them that breaks a line or moves a cursor."""
    if isinstance(value, dict | list | tuple | set):
        raise ImpossibleValueError("is not a single value; give one text")
    text = str(value).strip()
    if any(is_unseen(one) for one in text):
        raise ImpossibleValueError(
            "holds a line break, or another character that cannot be seen; write it anew, in one line"
        )
    return text


def on_lines(value: object) -> str:
    """A single value that may go over several lines."""
    return stripped(" ".join(str(value).split()) if isinstance(value, str) else value)


def is_unseen(one: str) -> bool:
    """Whether a character shows nothing, or changes how others are shown: control characters, and those of writing
    directions. Not the bytes of a name that is no UTF-8."""
    return unicodedata.category(one) in {"Cc", "Cf", "Cs", "Zl", "Zp"} and not "\udc80" <= one <= "\udcff"


def listed(value: object) -> str:
    """A list in config.yml is the same as its items by comma."""
    return ",".join(str(item) for item in value) if isinstance(value, list | tuple) else stripped(value)


def verbatim(value: object) -> SecretStr:
    """A secret as it is, white space included."""
    if isinstance(value, dict | list | tuple | set):
        raise ImpossibleValueError("is not a single value; give one text")
    if "\0" in str(value):
        raise ImpossibleValueError("holds a NUL character; write it anew")
    return SecretStr(str(value))


def boolean(value: object) -> bool:
    """True or false, in any of the words that environments use for them."""
    text = stripped(value).lower()
    if text in {"true", "1", "yes", "on"}:
        return True
    if text in {"false", "0", "no", "off"}:
        return False
    raise ImpossibleValueError(f"{shown(text)} is neither true nor false; set true or false")


def whole_number(lowest: int, highest: int, what: str) -> BeforeValidator:
    """A reader of whole numbers from `lowest` to `highest`; `what` says in errors what it should have been."""

    def read(value: object) -> int:
        text = stripped(value)
        if not re.fullmatch(r"\+?\d{1,19}", text, re.ASCII) or not lowest <= int(text) <= highest:
            raise ImpossibleValueError(
                f"{shown(text)} is not {what}; set a whole number from {lowest} to {highest}"
            )
        return int(text)

    return BeforeValidator(read)


def one_of(*choices: str) -> BeforeValidator:
    """A reader that accepts these words alone."""

    def read(value: object) -> str:
        text = stripped(value)
        if text not in choices:
            raise ImpossibleValueError(f"{shown(text)} is not one it can be; set {' or '.join(choices)}")
        return text

    return BeforeValidator(read)


def plain_name(value: str) -> str:
    """The name of a database, table or cluster that needs no quoting."""
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,127}", value, re.ASCII):
        raise ImpossibleValueError(
            f"{shown(value)} is not a plain name; use letters, digits and _, 128 at most, and begin with no digit"
        )
    return value


def cluster_or_nothing(value: str) -> str:
    """The name of a cluster, which may hold macros of the server, or an empty text."""
    if value and not re.fullmatch(r"[A-Za-z0-9_.{}-]+", value, re.ASCII):
        raise ImpossibleValueError(
            f"{shown(value)} cannot be the name of a cluster; use letters, digits, _, - and ., and macros in braces"
        )
    return value


def quorum(value: str) -> str:
    """A number of replicas as ClickHouse's `insert_quorum` takes it."""
    if not re.fullmatch(r"auto|\d{1,2}", value, re.ASCII):
        raise ImpossibleValueError(
            f"{shown(value)} is not a number of replicas; set auto, 0, or a number from 2"
        )
    return value


def month(value: str) -> str:
    """A month as YYYY-MM, from 1970 to 2099."""
    if not re.fullmatch(r"(19[7-9]\d|20\d\d)-(0[1-9]|1[0-2])", value, re.ASCII):
        raise ImpossibleValueError(
            f"{shown(value)} is not a month; write it as YYYY-MM, for instance 2020-01"
        )
    return value


def _read_by(parse: Callable[[str], object], value: str) -> str:
    """A text that another part of the project reads, refused in that part's words."""
    try:
        parse(value)
    except SettingsError as refused:
        wrong = refused.what.partition(": ")[2]
        raise ImpossibleValueError(f"{wrong}; {refused.do[0].lower()}{refused.do[1:].rstrip('.')}") from None
    return value


def ttl_expression(value: str) -> str:
    """A TTL that `parse_ttl` reads."""
    return _read_by(parse_ttl, value)


def key_names(value: str) -> str:
    """Names of queues or groups by comma, each once; `none` is none of them."""
    names = [one.strip() for one in value.split(",") if one.strip() and one.strip() != "none"]
    for one in names:
        if not one.isprintable() or len(one) > 249:
            raise ImpossibleValueError(f"{shown(one)} is no name; give names by comma")
    return ",".join(dict.fromkeys(names))


def rotation(value: str) -> str:
    """When logs are rotated, as `parse_rotation` reads it."""
    return _read_by(parse_rotation, value)
