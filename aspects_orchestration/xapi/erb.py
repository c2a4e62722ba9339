"""event-routing-backends outside the LMS: Django booted around it, the site's users and courses at its seams.

event-routing-backends turns tracking events into xAPI statements. It expects to live in edx-platform, and imports
three of its modules. Here those modules are small stand-ins whose answers come from the site's own identities and
courses (`Identities`, `Courses`), so that every statement is the one that the LMS itself would have sent.
"""

from __future__ import annotations

import logging
import sys
import types
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, cast

from aspects_orchestration.errors import AspectsError

#: Reasons for which an event cannot become a statement, found at the seams. All else is `error_<exception class>`.
MISSING_USER = "missing_user"
UNKNOWN_USER = "unknown_user"
NO_EXTERNAL_ID = "no_external_id"
NO_EMAIL = "no_email"
UNKNOWN_COURSE = "unknown_course"
#: Those of them that end when somebody or something arrives that the site does not know yet.
MISSING_REASONS = frozenset({UNKNOWN_USER, NO_EXTERNAL_ID, NO_EMAIL, UNKNOWN_COURSE})

USERS = "users"
COURSES = "courses"

Statement = dict[str, Any]


@dataclass(frozen=True)
class Identity:
    """One user of the site: LMS id, username, xAPI external id (a UUID's text) and e-mail, the last two if known."""

    user_id: int
    username: str
    external_id: str | None
    email: str | None

    def __repr__(self) -> str:
        return "Identity(…)"  # personal data stays out of logs and tracebacks


@dataclass(frozen=True)
class Missing:
    """Whom or what the site does not know: `kind` is USERS or COURSES, `key` an LMS id, a username or a course key."""

    kind: str
    key: str

    def __repr__(self) -> str:
        return f"Missing({self.kind!r}, …)"


class Identities(Protocol):
    """The site's own mapping from users to external ids."""

    #: Whether one query for many users is cheaper than many for one, so that `prefetch` is worth calling.
    asks_for_many: bool

    def by_id(self, user_id: int) -> Identity | None:
        """The user with this LMS id, or None."""

    def by_username(self, username: str) -> Identity | None:
        """The user with this username, or None."""

    def prefetch(self, user_ids: set[int], usernames: set[str]) -> None:
        """Fetch these users at once."""


class Courses(Protocol):
    """The site's own course names."""

    def display_name(self, course_key: str) -> str | None:
        """The course's display name, or None for an unknown course."""


class UntransformableError(Exception):
    """An event that raised in its transformer: `reason` may be shown, `detail` may hold personal data.

    Where the site does not know its user or course, `missing` names them; it may hold personal data too.
    """

    def __init__(self, reason: str, detail: str, missing: Missing | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.detail = detail
        self.missing = missing


@dataclass
class _Site:
    """What the seams answer from. One a process: event-routing-backends itself is a set of module globals."""

    identities: Identities | None = None
    courses: Courses | None = None
    missed: str | None = None
    missing: Missing | None = None

    def miss(self, reason: str, kind: str, key: object) -> None:
        """Remember why the event at hand cannot become a statement, and whom or what the site does not know."""
        self.missed, self.missing = reason, Missing(kind, str(key))

    def forgive(self) -> None:
        """Take back what was missed: another way led to it, or another event begins."""
        self.missed = self.missing = None


_site = _Site()


class _NoSuchUser(Exception):  # noqa: N818  stands in for Django's User.DoesNotExist
    pass


class _Query:
    def __init__(self, identity: Identity | None) -> None:
        self._identity = identity

    def first(self) -> Identity | None:
        return self._identity


class _Users:
    def get(self, *, id: int) -> Identity:  # noqa: A002  the name that event-routing-backends passes
        found = _identities().by_id(id)
        if found is None:
            _site.miss(UNKNOWN_USER, USERS, id)
            raise _NoSuchUser
        return found

    def filter(self, *, username: object) -> _Query:
        found = _identities().by_username(str(username))
        # Asked after an id that was nobody's: a name that is found settles it.
        if found is None:
            _site.miss(UNKNOWN_USER, USERS, username)
        else:
            _site.forgive()
        return _Query(found)


class _User:
    DoesNotExist = _NoSuchUser
    objects = _Users()


class _ExternalIdType:
    XAPI = "xapi"
    LTI = "lti"
    CALIPER = "caliper"


@dataclass(frozen=True)
class _Minted:
    external_user_id: str


class _ExternalId:
    @staticmethod
    def add_new_user_id(user: Identity, type_name: str) -> tuple[_Minted | None, bool]:  # noqa: ARG004
        # The LMS would mint an id here. An id that the LMS does not know would double the learner: quarantine.
        if not user.external_id:
            _site.miss(NO_EXTERNAL_ID, USERS, user.user_id)
            return None, False
        return _Minted(user.external_id), False


def _identities() -> Identities:
    if _site.identities is None:
        raise RuntimeError("no identities: use erb.site(identities, courses) around the transforms")
    return _site.identities


def _get_course_overviews(course_keys: list[Any]) -> list[Mapping[str, str]]:
    if _site.courses is None:
        raise RuntimeError("no courses: use erb.site(identities, courses) around the transforms")
    name = _site.courses.display_name(str(course_keys[0]))
    if name is None:
        _site.miss(UNKNOWN_COURSE, COURSES, course_keys[0])
        return []
    return [{"display_name": name}]


def _no_retired_user(username: str) -> None:  # noqa: ARG001
    return None


_STAND_INS: dict[str, dict[str, Any]] = {
    "common.djangoapps.student.models": {"get_potentially_retired_user_by_username": _no_retired_user},
    "openedx.core.djangoapps.content.course_overviews.api": {"get_course_overviews": _get_course_overviews},
    "openedx.core.djangoapps.external_user_ids.models": {
        "ExternalId": _ExternalId,
        "ExternalIdType": _ExternalIdType,
    },
}

_booted: tuple[str, str] | None = None


class Transformer:
    """Events in, statements out, by event-routing-backends' own transformers.

    Attributes:
        version: event-routing-backends' version, as its statements carry it.
        names: event names that are both whitelisted and registered, as upstream applies both.
        registered: every event name that has a transformer.
    """

    def __init__(self) -> None:
        from event_routing_backends import __version__
        from event_routing_backends.processors.xapi.registry import XApiTransformersRegistry
        from event_routing_backends.processors.xapi.transformer_processor import XApiProcessor

        self.version: str = __version__
        self.registered = frozenset(cast(dict[str, type], XApiTransformersRegistry.mapping))
        self.names = self.registered & whitelist()
        self._processor = XApiProcessor()

    def statements(self, event: dict[str, Any]) -> list[Statement]:
        """The statements of one event: one, several (a problem with many questions), or none (no object).

        Args:
            event: a tracking event as the reader leaves it, with `data` and `timestamp`.

        Raises:
            UntransformableError: the transformer raised.
        """
        _site.forgive()
        try:
            return cast(list[Statement], self._processor([event]))
        except AspectsError:
            raise  # who is who could not be asked: no fault of the event
        except Exception as error:
            reason = f"error_{type(error).__name__}"
            if _site.missed is not None and isinstance(error, ValueError):
                reason = (
                    _site.missed if _names_a_user(event) or _site.missed == UNKNOWN_COURSE else MISSING_USER
                )
            elif (
                isinstance(error, ValueError) and "does not exist" in str(error) and not _names_a_user(event)
            ):
                reason = MISSING_USER
            missing = _site.missing if reason in MISSING_REASONS else None
            raise UntransformableError(reason, f"{type(error).__name__}: {error}", missing) from None


def user_key(event: dict[str, Any]) -> Any:
    """Which user id or username a transformer will ask for, by event-routing-backends' own rule; None for nobody."""
    from event_routing_backends.processors.mixins.base_transformer import BaseTransformerMixin

    try:
        return BaseTransformerMixin(event).extract_username_or_userid()
    except Exception:  # an event too odd for the question is too odd for its transformer, which will say why
        return None


def _names_a_user(event: dict[str, Any]) -> bool:
    return bool(user_key(event))


def whitelist() -> frozenset[str]:
    """The event names that upstream lets through (EVENT_TRACKING_BACKENDS_ALLOWED_XAPI_EVENTS)."""
    from event_routing_backends.settings import common

    defaults = types.SimpleNamespace(LMS_ROOT_URL="", EVENT_TRACKING_BACKENDS={})
    common.plugin_settings(defaults)
    return frozenset(defaults.EVENT_TRACKING_BACKENDS_ALLOWED_XAPI_EVENTS)


def boot(*, lms_root_url: str, actor_type: str) -> Transformer:
    """Start Django around event-routing-backends. About a second; once a process.

    Args:
        lms_root_url: the site's own LMS_ROOT_URL, which goes into every statement.
        actor_type: XAPI_AGENT_IFI_TYPE: external_id, mbox or mbox_sha1sum.

    Raises:
        AspectsError: this process was booted with other values before.
    """
    global _booted  # noqa: PLW0603  Django's settings are as global as this
    wanted = (lms_root_url, actor_type)
    if _booted is not None and _booted != wanted:
        raise AspectsError(
            f"this process transforms for {_booted[0]} with {_booted[1]} already",
            do="Start another process for another site or actor type.",
        )
    if _booted is None:
        _install_stand_ins()
        _configure_django(lms_root_url, actor_type)
        _put_site_at_the_seams()
        _booted = wanted
    return Transformer()


@contextmanager
def site(identities: Identities, courses: Courses) -> Iterator[None]:
    """Answer the seams from these identities and courses."""
    from event_routing_backends import helpers

    before = (_site.identities, _site.courses)
    _site.identities, _site.courses = identities, courses
    helpers.get_anonymous_user_id.cache_clear()
    helpers.get_course_from_id.cache_clear()
    try:
        yield
    finally:
        _site.identities, _site.courses = before


def _install_stand_ins() -> None:
    for name, content in _STAND_INS.items():
        parts = name.split(".")
        for depth in range(1, len(parts) + 1):
            path = ".".join(parts[:depth])
            if path not in sys.modules:
                package = types.ModuleType(path)
                package.__path__ = []
                sys.modules[path] = package
        vars(sys.modules[name]).update(content)


def _configure_django(lms_root_url: str, actor_type: str) -> None:
    import django
    from django.conf import settings

    # Its loggers write user names and whole statements.
    for noisy in ("event_routing_backends", "xapi_tracking", "eventtracking"):
        logger = logging.getLogger(noisy)
        logger.disabled = False
        logger.propagate = False
        logger.handlers = [logging.NullHandler()]
        logger.setLevel(logging.CRITICAL + 1)
    if not settings.configured:
        settings.configure(
            INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "event_routing_backends"],
            DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
            LMS_ROOT_URL=lms_root_url,
            XAPI_AGENT_IFI_TYPE=actor_type,
            XAPI_EVENTS_ENABLED=True,
            XAPI_EVENT_LOGGING_ENABLED=False,
            CALIPER_EVENTS_ENABLED=False,
            CALIPER_EVENT_LOGGING_ENABLED=False,
            FERNET_KEYS=["unused: nothing is stored"],
            USE_TZ=True,
            LOGGING_CONFIG=None,
            EVENT_TRACKING_BACKENDS={},
        )
    django.setup()


def _put_site_at_the_seams() -> None:
    from event_routing_backends import helpers
    from event_routing_backends.processors.xapi import transformer

    helpers.User = _User

    def get_user_email(username_or_id: Any) -> str:
        # Upstream's own gives every unknown user one address; that would merge strangers into one learner.
        user = helpers.get_user(username_or_id)
        if user is None:
            _site.miss(UNKNOWN_USER, USERS, username_or_id)
            raise ValueError("unknown user")
        if not user.email:
            _site.miss(NO_EMAIL, USERS, user.user_id)
            raise ValueError("user without e-mail address")
        return cast(str, user.email)

    transformer.get_user_email = get_user_email
