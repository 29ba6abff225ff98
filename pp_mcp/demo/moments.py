"""Dates and times: how they are stored, shown and read.

Stored datetimes are UTC text of one fixed width (`2026-03-01T09:30:00.000000Z`), so that text order is time order.
Shown ones lose a zero fraction, as the documented samples have none (`2026-03-01T09:30:00Z`).
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_MOMENT = re.compile(r"\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(\.\d+)?([Zz]|[+-]\d{2}:\d{2})", re.ASCII)


def stamp(moment: datetime) -> str:
    """The stored form of an aware datetime."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ").rjust(27, "0")


def shown(stored: str | None) -> str | None:
    """The form in which the API shows a stored datetime."""
    return None if stored is None else stored.replace(".000000Z", "Z")


def parse_day(text: str) -> str:
    """`YYYY-MM-DD`, checked; ValueError otherwise."""
    if not _DAY.fullmatch(text):
        raise ValueError("Enter a date as YYYY-MM-DD.")
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError as wrong:
        raise ValueError("This date does not exist.") from wrong


def parse_moment(text: str) -> str:
    """An ISO 8601 datetime with offset in stored form; ValueError otherwise. Digits beyond microseconds are dropped."""
    if not _MOMENT.fullmatch(text):
        raise ValueError("Enter a datetime with offset, like 2026-03-01T09:30:00Z.")
    whole, _, rest = text.upper().partition(".")
    if rest:
        digits = re.match(r"\d+", rest)
        assert digits is not None
        text = f"{whole}.{digits[0][:6].ljust(6, '0')}{rest[digits.end() :]}"
    try:
        return stamp(datetime.fromisoformat(text.upper()))
    except (ValueError, OverflowError) as wrong:
        raise ValueError("This datetime does not exist.") from wrong
