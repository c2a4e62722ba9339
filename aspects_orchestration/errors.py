"""The project's own errors.

Each one says what happened, where, and what to do next, in one message that is safe to show: it never carries a
tracking-log line, a user's name or a secret.
"""


class AspectsError(Exception):
    """Something went wrong that an operator can act upon.

    Args:
        what: what happened, and where (a URI, a table, a setting); no personal data.
        do: what to do next: the setting, grant, file or command.
    """

    def __init__(self, what: str, *, do: str) -> None:
        super().__init__(what, do)
        self.what = what
        self.do = do

    def __str__(self) -> str:
        return f"{self.what.rstrip('.')}. {self.do}"

    def __reduce__(self) -> tuple[object, ...]:
        # Errors cross process borders; keyword-only arguments do not survive the default pickling.
        return _rebuild, (type(self), self.what, self.do)


def _rebuild(kind: type[AspectsError], what: str, do: str) -> AspectsError:
    return kind(what, do=do)


class SettingsError(AspectsError):
    """A setting is missing, unknown or impossible."""


class LogStoreError(AspectsError):
    """Log storage cannot be listed, read or written."""


class WarehouseError(AspectsError):
    """ClickHouse refused, is unreachable, or does not hold what it should.

    `code` is the number of ClickHouse's own error, where it answered with one.
    """

    code: int | None = None


class LrsError(AspectsError):
    """Ralph refuses, is unreachable, or does not do what it should."""


class LmsError(AspectsError):
    """The LMS database refuses, is unreachable, or lacks a table or column that is needed."""


class IdentityError(AspectsError):
    """The identities or courses given cannot be used."""


class AccountError(AspectsError):
    """The account of a run does not add up; nothing was published."""
