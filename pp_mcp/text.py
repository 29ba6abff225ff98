"""Text that a tenant's users typed, made safe to show, and the small words sentences are made of.

Names, descriptions and reasons come from people this server does not know. They may hold invisible characters, terminal
escapes or sentences meant for a model. Here they are cleaned and cut; that they are data is said in the server's
instructions, and they stand only in named fields or between quotes.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from difflib import get_close_matches

CUT_MARK = "…[cut]"
"""Ends a value that was longer than its limit, so that nobody takes it for the whole."""

_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-_])")
_KEPT_FORMAT = {"\u200c", "\u200d"}
# Joiners are part of how some scripts and emoji are written; every other format character only hides.
_HIDDEN = re.compile(r"[\u115f\u1160\u3164\uffa0\u034f\u17b4\u17b5\u180b-\u180f\ufe00-\ufe0e\U000e0100-\U000e01ef]")
_KEYCAPS = frozenset("0123456789#*")
"""What an emoji selector may follow besides characters that have an emoji form."""

_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Categories of characters that nobody sees: controls, formats, line and paragraph separators, and unassigned ones."""

_CLOSING = dict.fromkeys(map(ord, '“”„‟〝〞\uff02"'), "'")
_WORD = re.compile(r"[A-Za-z0-9_.:+-]{1,40}")
_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9.-]{1,190}")


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
    joinable, last = False, ""
    for character in text:
        category = unicodedata.category(character)
        if character in "\n\t\r":
            yield " " if character != "\n" else "\n"
        elif character in _KEPT_FORMAT:
            # A joiner between plain ASCII letters joins nothing and only hides a difference; so does a second one.
            if joinable:
                yield character
            joinable = False
            continue
        elif category in _UNSEEN or (
            character == "\ufe0f" and (last == character or not (joinable or last in _KEYCAPS))
        ):
            continue
        else:
            yield character
        joinable, last = ord(character) > 0x2FF, character


def quoted(text: str, limit: int = 80) -> str:
    """A tenant's name inside a sentence of ours: cleaned, on one line, cut, and between quotes it cannot close."""
    one_line = " ".join(neutralise(text).split())
    return f"“{neutralise(one_line.translate(_CLOSING), limit)}”"


def word(value: str | None) -> str:
    """A value of the API's own, such as a state, a type or a date, inside a sentence: as it stands where it is a single
    plain word, else between quotes like any other text."""
    if not value:
        return "none"
    return value if _WORD.fullmatch(value) else quoted(value, 40)


def person(name: str, email: str | None = None) -> str:
    """A person inside a sentence: the quoted name, with the e-mail where it helps to tell people apart."""
    if not email:
        return quoted(name)
    return f"{quoted(name)} ({email if _ADDRESS.fullmatch(email) else quoted(email, 120)})"


def plural(count: int, one: str, many: str | None = None) -> str:
    """`1 person`, `2 people`, `1,204 people`."""
    return f"{count:,} {one if count == 1 else many or plural_of(one)}"


def plural_of(noun: str) -> str:
    """`people` for `person`, else the noun with an s."""
    return "people" if noun == "person" else f"{noun}s"


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


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that a misspelt one most likely means, letter case aside; None where none is close."""
    names = {one.casefold(): one for one in known}
    return next((names[near] for near in get_close_matches(name.casefold(), names, n=1)), None)
