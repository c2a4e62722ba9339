"""Values of the LMS as platform-plugin-aspects writes them: through Django REST framework's fields, then as CSV.

Null is empty. Times of model fields are ISO 8601 with Z, times that pass through a character field or a method are
`str(datetime)` (platform-plugin-aspects 1.1, sinks/serializers.py; Django REST framework, fields.DateTimeField).
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

_HEX = re.compile(r"[0-9a-fA-F]{32}")
_DASHED = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def text(value: Any) -> str:
    """Any value as text; empty for null."""
    if type(value) is str:
        return value
    if value is None:
        return ""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def field_time(value: datetime | None) -> str:
    """A time as a model's field shows it: `2024-05-01T10:20:30.123456Z`, without a fraction that is zero."""
    return "" if value is None else value.isoformat() + "Z"


def plain_time(value: datetime | None) -> str:
    """A time as `str` shows it: `2024-05-01 10:20:30.123456+00:00`, without a fraction that is zero."""
    return "" if value is None else f"{value}+00:00"


def whole(value: Any) -> int:
    """A number; 0 for null, as the columns are not nullable."""
    return 0 if value is None else int(value)


def flag(value: Any) -> bool:
    """A boolean from 0, 1 or null."""
    return bool(value)


def uuid_text(value: Any) -> str | None:
    """A UUID with dashes, from 32 hexadecimal digits with or without them; None for anything else."""
    plain = text(value).strip()
    if _HEX.fullmatch(plain):
        plain = plain.lower()
        return f"{plain[:8]}-{plain[8:12]}-{plain[12:16]}-{plain[16:20]}-{plain[20:]}"
    return plain.lower() if _DASHED.fullmatch(plain) else None
