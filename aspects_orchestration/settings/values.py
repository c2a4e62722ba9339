"""What one setting's value may be, and how a value is shown.

Each reader takes a value as it was given and returns it checked, or raises `ImpossibleValueError` with what is wrong
and what would do. Nothing shown here is a secret.
"""

import os
import re
import unicodedata
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

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


def host_name(value: str) -> str:
    """A host name, or an IPv4 or IPv6 address, without port."""
    if "://" in value or "@" in value or "/" in value:
        raise ImpossibleValueError(
            "is more than a host name; give the name alone, or everything in ASPECTS_CLICKHOUSE_URL"
        )
    if re.fullmatch(r"\[?[0-9A-Fa-f]*:[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*\]?", value):
        return value.strip("[]")
    if len(value) > 253 or not re.fullmatch(r"[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_.])?", value, re.ASCII):
        raise ImpossibleValueError(
            f"{shown(value)} is not a host name; give the name alone, and the port in CLICKHOUSE_PORT"
        )
    return value


def bare_host_name(value: str) -> str:
    """A host name, or an IPv4 or IPv6 address, without port; of another service than ClickHouse."""
    try:
        return host_name(value)
    except ImpossibleValueError:
        raise ImpossibleValueError(
            "is not a host name; give the name alone, without port, user and password"
        ) from None


def host_names(value: str) -> str:
    """Host names by comma, each with its port if need be, each once."""
    return ",".join(dict.fromkeys(lms_host_name(one.strip()) for one in value.split(",") if one.strip()))


def bootstrap_servers(value: str) -> str:
    """Brokers of Kafka, by comma."""
    servers = [one.strip() for one in value.split(",") if one.strip()]
    for one in servers:
        if not re.fullmatch(
            r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9_.])?):\d{1,5}", one, re.ASCII
        ):
            raise ImpossibleValueError(f"{shown(one)} is not host:port; give brokers as host:9092, by comma")
    return ",".join(dict.fromkeys(servers))


def key_names(value: str) -> str:
    """Names of queues or groups by comma, each once; `none` is none of them."""
    names = [one.strip() for one in value.split(",") if one.strip() and one.strip() != "none"]
    for one in names:
        if not one.isprintable() or len(one) > 249:
            raise ImpossibleValueError(f"{shown(one)} is no name; give names by comma")
    return ",".join(dict.fromkeys(names))


def redis_url(value: SecretStr) -> SecretStr:
    """A URL of Redis. No error shows any part of it: a misplaced `@` makes a password look like a host."""
    do = "give it as redis://user:password@host:6379/0, with special characters of the password percent-encoded"
    text = value.get_secret_value().strip()
    try:
        parts = urlsplit(text)
        usable = parts.scheme in {"redis", "rediss"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
        parts = urlsplit("")
    if (
        not usable
        or parts.netloc.count("@") > 1
        or parts.fragment
        or not re.fullmatch(r"(/\d*)?", parts.path, re.ASCII)
        or re.search(r"[\s\\]", text)
    ):
        raise ImpossibleValueError(f"is not a URL of Redis that can be read; {do}")
    return SecretStr(text)


def lms_host_name(value: str) -> str:
    """A host name, with its port if need be."""
    if len(value) > 260 or not re.fullmatch(
        r"[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?(:\d{1,5})?", value, re.ASCII
    ):
        raise ImpossibleValueError(f"{shown(value)} is not a host name; give it without https:// and path")
    return value


def root_url(value: str) -> str:
    """An http or https URL, without the slash at its end."""
    do = "give the address of the site's LMS, for instance https://lms.example.org"
    parts = _http_parts(value)
    if parts is None:
        raise ImpossibleValueError(f"{shown(value)} is not an http or https URL; {do}")
    if parts.username is not None or parts.query or parts.fragment or value.endswith(("?", "#")):
        raise ImpossibleValueError(f"carries a user, query or fragment, and goes into every statement; {do}")
    return value.rstrip("/")


def web_url(value: str) -> str:
    """An http or https URL that people open, without the slash at its end."""
    parts = _http_parts(value)
    if parts is None or parts.username is not None or parts.query:
        raise ImpossibleValueError(
            f"{shown(value)} is not an address that a browser opens; give one such as http://127.0.0.1:3000"
        )
    return value.rstrip("/")


def _http_parts(value: str) -> SplitResult | None:
    """The parts of an http or https URL with a host; None if it is none."""
    try:
        parts = urlsplit(value)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return None
    return parts if usable and not re.search(r"[\s\\<>\"{}|^`]", value) else None


_BUCKETS = {"s3", "s3a", "s3n", "gs"}


def storage_uri(value: str) -> str:
    """One place in log storage. Passwords are refused: URIs are shown in reports and in the web UI."""
    scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]*):(/*)", value)
    if scheme is None:
        if not value:
            raise ImpossibleValueError("is empty; give a folder or a URI such as s3://bucket/prefix")
        return str(against_project(value))
    if scheme.group(2) not in {"//", "///"}:
        raise ImpossibleValueError(
            f"{shown(value)} is neither a folder nor a URI; write it as s3://bucket/prefix or file:///folder"
        )
    where = value.partition("://")[2].partition("/")[0]
    try:
        parts = urlsplit(value)
        host, unreadable = parts.netloc, parts.password is None and parts.port == 0
    except ValueError:
        unreadable = True
    if unreadable or (
        parts.scheme in _BUCKETS and not re.fullmatch(r"[A-Za-z0-9._@:+/=-]*", where, re.ASCII)
    ):
        raise ImpossibleValueError("is not a URI that can be read; write it as s3://bucket/prefix")
    if parts.password is not None or (parts.scheme in _BUCKETS and re.search("[@:]", where)):
        raise ImpossibleValueError(
            "carries credentials, and URIs are shown in reports; take them out and give them as AWS_ACCESS_KEY_ID "
            "and AWS_SECRET_ACCESS_KEY, a profile or a role"
        )
    if parts.scheme != "file" and parts.query:
        raise ImpossibleValueError(
            "carries a query, which may hold credentials, and URIs are shown in reports; take it out"
        )
    if parts.scheme == "file":
        if host not in {"", "localhost"}:
            raise ImpossibleValueError(f"{shown(value)} names a host; write it as file:///folder")
    elif not host:
        raise ImpossibleValueError(
            f"{shown(value)} has no bucket or host; write it as {parts.scheme}://bucket/prefix"
        )
    return value


def storage_uris(value: str) -> str:
    """Places in log storage by comma, each once."""
    uris = [storage_uri(part.strip()) for part in value.split(",") if part.strip()]
    if not uris:
        raise ImpossibleValueError("names no place; give a folder or a URI, several by comma")
    return ",".join(dict.fromkeys(uris))


def log_paths(value: str) -> str:
    """Files of this machine by comma, as absolute paths, each once. They need not be there yet."""
    return ",".join(dict.fromkeys(_live_log(part.strip()) for part in value.split(",") if part.strip()))


def _live_log(value: str) -> str:
    path = unquote(value[7:].removeprefix("localhost")) if value.startswith("file://") else value
    if "://" in path or value.endswith("/"):
        raise ImpossibleValueError(
            f"{shown(value)} is no file on a filesystem; name the log that the LMS writes, for instance"
            " /openedx/data/logs/tracking.log, and leave it unset for logs that others rotate or ship"
        )
    found = against_project(path)
    try:
        is_folder = found.is_dir()
    except OSError:
        is_folder = False
    if is_folder:
        raise ImpossibleValueError(f"{shown(found)} is a folder; name the log in it, several by comma")
    return str(found)


def rotation(value: str) -> str:
    """When logs are rotated, as `parse_rotation` reads it."""
    return _read_by(parse_rotation, value)


def records_sources(value: str) -> str:
    """Sources of users or courses by comma, in their order: `lms`, `event_sink`, or where a file is."""
    sources = [_records_source(one.strip()) for one in value.split(",")]
    if len(set(sources)) < len(sources):
        raise ImpossibleValueError(f"{shown(value)} names a source twice; name each once")
    return ",".join(sources)


def _records_source(value: str) -> str:
    if value in {"lms", "event_sink"}:
        return value
    if not re.search(r"[/.\\]", value):
        raise ImpossibleValueError(f"{shown(value)} is not known; set lms, event_sink, or the URI of a file")
    return storage_uri(value)


def home_folder(value: str) -> str:
    """A folder that is there or can be made, as an absolute path."""
    path = against_project(value)
    try:
        taken = path.exists() and not path.is_dir()
    except OSError:
        raise ImpossibleValueError(f"{shown(value)} is not a usable folder; give another") from None
    if taken:
        raise ImpossibleValueError(f"{shown(path)} is a file; give a folder")
    return str(path)


def existing_file(value: str) -> str:
    """A file that is there, as an absolute path."""
    path = against_project(value)
    try:
        there = path.is_file()
    except OSError:
        there = False
    if not there:
        raise ImpossibleValueError(
            f"there is no file {shown(path)}; give the path of one that this user can read"
        )
    return str(path)


class ClickHouseUrl(NamedTuple):
    """ASPECTS_CLICKHOUSE_URL taken apart; None where it does not say."""

    host: str
    port: int | None
    secure: bool
    user: str | None
    password: str | None
    ca_cert: str | None
    verify: bool | None


def clickhouse_url(url: SecretStr) -> ClickHouseUrl:
    """Take the URL apart. No error shows any part of it: a misplaced `@` or `#` makes a password look like a host."""
    do = "give it as https://user:password@host:8443, with special characters of the password percent-encoded"
    text = url.get_secret_value().strip()
    try:
        parts = urlsplit(text)
        port, host = parts.port, parts.hostname
    except ValueError:
        raise ImpossibleValueError(f"is not a URL that can be read; {do}") from None
    if parts.scheme not in {"http", "https"}:
        raise ImpossibleValueError(
            f"does not begin with http:// or https://, which is how ClickHouse is spoken to; {do}"
        )
    if not host or port == 0 or parts.netloc.count("@") > 1 or re.search(r"[\s\\]", text):
        raise ImpossibleValueError(f"names no host and port that can be read; {do}")
    if parts.fragment or text.endswith("#"):
        raise ImpossibleValueError(f"carries a '#'; {do}")
    if parts.path not in {"", "/"}:
        raise ImpossibleValueError(
            "carries a path after the host; take it out: databases are set by ASPECTS_XAPI_DATABASE and its neighbours"
        )
    try:
        host_name(host)
    except ImpossibleValueError:
        raise ImpossibleValueError(f"names no host that can be; {do}") from None
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    if query.keys() - {"verify", "ca_cert"}:
        raise ImpossibleValueError("carries a query parameter that is not known; only verify and ca_cert are")
    try:
        verify = boolean(query["verify"]) if "verify" in query else None
    except ImpossibleValueError:
        raise ImpossibleValueError("has a verify that is neither true nor false; write verify=true") from None
    try:
        ca_cert = existing_file(query["ca_cert"]) if "ca_cert" in query else None
    except ImpossibleValueError:
        raise ImpossibleValueError("has a ca_cert that is no file here; give its absolute path") from None
    return ClickHouseUrl(
        host,
        port,
        parts.scheme == "https",
        None if not parts.username else unquote(parts.username),
        None if parts.password is None else unquote(parts.password),
        ca_cert,
        verify,
    )


def readable_clickhouse_url(value: SecretStr) -> SecretStr:
    """A URL that `clickhouse_url` can take apart."""
    clickhouse_url(value)
    return value


def database_url(value: SecretStr) -> SecretStr:
    """An SQLAlchemy URL with a host, or of SQLite."""
    do = "give an SQLAlchemy URL, for instance mysql+pymysql://user:password@host:3306/openedx"
    found = re.match(r"([a-z][a-z0-9]*)(\+[a-z0-9_]+)?://(.*)", value.get_secret_value().strip(), re.DOTALL)
    if found is None:
        raise ImpossibleValueError(f"is not a database URL; {do}")
    rest = found.group(3).partition("?")[0].rpartition("@")[2]
    if any(is_unseen(one) for one in value.get_secret_value().strip()):
        raise ImpossibleValueError(f"holds a line break, or another character that cannot be seen; {do}")
    if found.group(1) != "sqlite" and not re.match(r"[^/:?#\s]", rest):
        raise ImpossibleValueError(f"names no host; {do}")
    return SecretStr(value.get_secret_value().strip())


def apprise_urls(value: SecretStr) -> SecretStr:
    """Apprise URLs by comma."""
    for url in split_urls(value):
        if not re.match(r"[A-Za-z][A-Za-z0-9+.-]*://.", url):
            raise ImpossibleValueError(
                "holds something that is no Apprise URL; give URLs such as slack://..., by comma"
            )
    return SecretStr(value.get_secret_value().strip())


def split_urls(value: SecretStr) -> tuple[str, ...]:
    """The single URLs of several by comma."""
    # Some Apprise URLs contain commas, so that only a comma before the next scheme parts two of them.
    parts = re.split(r"\s*,\s*(?=[A-Za-z][A-Za-z0-9+.-]*://)", value.get_secret_value().strip())
    return tuple(part.strip(" ,") for part in parts if part.strip(" ,"))


def against_project(path: str) -> Path:
    """An absolute path. Relative ones count from the checkout, so that processes started anywhere agree.

    Raises:
        ImpossibleValueError: it cannot be a path.
    """
    root = Path(__file__).resolve().parents[2]
    if not (root / "pyproject.toml").is_file():
        root = Path.cwd()
    try:
        if "\0" in path:
            raise ValueError
        return Path(os.path.normpath(root / Path(path).expanduser()))
    except (RuntimeError, ValueError):
        raise ImpossibleValueError(f"{shown(path)} cannot be a path; give another") from None


def absolute_path(value: str) -> str:
    """A path, made absolute."""
    return str(against_project(value))


def masked_secret_url(url: SecretStr) -> str:
    """Scheme, user and host of a URL that carries a password; nothing at all where it is not plain which is which."""
    text = url.get_secret_value().strip()
    plain = re.fullmatch(
        r"([a-z][a-z0-9+_]*)://(?:([A-Za-z0-9_.-]*)(:[^@/?#]*)?@)?(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]+)?(:\d+)?(/[^@?#]*)?(\?.*)?",
        text,
    )
    if plain is None:
        return MASK
    scheme, user, password, host, port, path, query = (part or "" for part in plain.groups())
    who = f"{user}{f':{MASK}' if password else ''}@" if user or password else ""
    return f"{scheme}://{who}{host}{port}{path}{'?…' if query else ''}"
