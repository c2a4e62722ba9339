"""The project's own errors.

Each one says what happened, where, and what to do next, in one message that is safe to show: it never carries a
tracking-log line, a user's name or a secret.
"""

import unicodedata


def printable(text: str) -> str:
    """A text as it can be shown on a terminal and in a log: what would move a cursor, change colours or turn the
    direction of writing stands there as its number. Line breaks stay.

    Args:
        text: that may hold a file's name, an object's key, or what a server has answered.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        one.encode("unicode_escape").decode()
        if one != "\n" and unicodedata.category(one) in {"Cc", "Cf", "Cs", "Zl", "Zp"}
        else one
        for one in text
    )


def one_line(text: str) -> str:
    """The same for a name that may hold line breaks, which would begin a line of somebody else's making."""
    return printable(text).replace("\n", "\\n")


class AspectsError(Exception):
    """Something went wrong that an operator can act upon.

    Args:
        what: what happened, and where (a URI, a table, a setting); no personal data.
        do: what to do next: the setting, grant, file or command.
    """

    def __init__(self, what: str, *, do: str) -> None:
        what, do = printable(what), printable(do)
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
