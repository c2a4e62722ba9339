"""What a setting's value may be that is an address: a host, a URL, a broker; and how one with a password is shown.

As in `values`, each reader raises `ImpossibleValueError` with what is wrong, and nothing shown is a secret.
"""

import re
from typing import NamedTuple
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from pydantic import SecretStr

from aspects_orchestration.settings.places import existing_file
from aspects_orchestration.settings.values import MASK, ImpossibleValueError, boolean, is_unseen, shown


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
