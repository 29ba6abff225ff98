"""Text that a tenant's users typed, made safe to show, and the small words sentences are made of.

Names, descriptions and reasons come from people this server does not know. They may hold invisible characters, terminal
escapes or sentences meant for a model. Here they are cleaned and cut; that they are data is said in the server's
instructions, and they stand only in named fields or between quotes.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence

CUT_MARK = "…[cut]"
"""Ends a value that was longer than its limit, so that nobody takes it for the whole."""

_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-_])")
_KEPT_FORMAT = {"\u200c", "\u200d"}
# Joiners are part of how some scripts and emoji are written; every other format character only hides.
_HIDDEN = re.compile(r"[\u115f\u1160\u3164\uffa0\u034f\ufe00-\ufe0e\U000e0100-\U000e01ef]")


def neutralise(text: str, limit: int | None = None) -> str:
    """The text without ANSI escapes, control, zero-width, bidi, tag and other invisible characters, at most `limit`
    long.

    Newlines and tabs become spaces when they stand in one-line values; a longer text ends with `CUT_MARK`.
    """
    cleaned = _ANSI.sub("", text)
    if not cleaned.isascii() or not cleaned.isprintable():
        cleaned = _HIDDEN.sub("", "".join(_visible(cleaned)))
    if limit is not None and len(cleaned) > limit:
        cleaned = cleaned[: max(limit - len(CUT_MARK), 0)].rstrip() + CUT_MARK
    return cleaned


def _visible(text: str) -> Iterable[str]:
    joinable = False
    for character in text:
        category = unicodedata.category(character)
        if character in "\n\t\r":
            yield " " if character != "\n" else "\n"
        elif character in _KEPT_FORMAT:
            # A joiner between plain ASCII letters joins nothing and only hides a difference.
            if joinable:
                yield character
        elif category in {"Cc", "Cf", "Cs", "Co", "Cn"} or category in {"Zl", "Zp"}:
            continue
        else:
            yield character
        joinable = ord(character) > 0x2FF


def quoted(text: str, limit: int = 80) -> str:
    """A tenant's name inside a sentence of ours: cleaned, on one line, cut, and between quotes it cannot close."""
    one_line = " ".join(neutralise(text).split())
    inner = one_line.replace("“", "'").replace("”", "'").replace('"', "'")
    return f"“{neutralise(inner, limit)}”"


def person(name: str, email: str | None = None) -> str:
    """A person inside a sentence: the quoted name, with the e-mail where it helps to tell people apart."""
    return f"{quoted(name)} ({neutralise(email, 120)})" if email else quoted(name)


def plural(count: int, one: str, many: str | None = None) -> str:
    """`1 person`, `2 people`, `1,204 people`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def share(part: int, whole: int) -> str:
    """`18 %`; `0 %` of nothing. Rounded to whole per cent, but never to 0 or 100 when that would be untrue."""
    if whole == 0 or part == 0:
        return "0 %"
    rounded = round(100 * part / whole)
    if part < whole:
        rounded = min(max(rounded, 1), 99)
    return f"{rounded} %"


def listed(words: Sequence[str], most: int = 5) -> str:
    """`a, b and c`; beyond `most`, `a, b and 7 more`."""
    if len(words) > most:
        return f"{', '.join(words[:most])} and {len(words) - most:,} more"
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} and {words[-1]}"
