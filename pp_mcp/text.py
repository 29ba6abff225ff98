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
_FAR = re.compile("[\u034f-\U0010ffff]")
"""What `_HIDDEN` finds is among these; names in Latin letters have none of them, which is quick to see."""

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
    cleaned = _ANSI.sub("", text) if "\x1b" in text else text
    is_printable = cleaned.isprintable()
    if not is_printable or "\ufe0f" in cleaned:
        # Of what counts as printable, only this selector depends on what stands before it.
        cleaned = "".join(_visible(cleaned))
    if not cleaned.isascii() and _FAR.search(cleaned):
        cleaned = _HIDDEN.sub("", cleaned)
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


_WRITTEN_OUT = re.compile("[\u0600-\u0605\u06dd\u070f\u08e2]")
"""Format characters that are seen: they enclose numbers."""

_SELECTORS = re.compile(r"[\ufe0e\ufe0f\U000e0100-\U000e01ef]")
"""Choose the form of the character before them."""


def hidden_in(text: str, *, breaks: bool = False) -> list[str]:
    """The characters of a text that nobody sees, as `U+202E`: what must not be written to the tenant.

    Joiners are fine where a script or an emoji uses them, a selector after the ideograph or symbol it belongs to, and
    line breaks where `breaks` allows them.
    """
    found: list[str] = []
    last = ""
    for character in text:
        if character in _KEPT_FORMAT:
            hides = not last or ord(last) <= 0x2FF or last in _KEPT_FORMAT
        elif _SELECTORS.fullmatch(character):
            hides = last not in _KEYCAPS and unicodedata.category(last or " ") not in ("Lo", "So", "Sm", "Sk", "Po")
        elif character in "\r\n":
            hides = not breaks
        else:
            unseen = unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp")
            hides = (unseen and not _WRITTEN_OUT.fullmatch(character)) or _HIDDEN.fullmatch(character) is not None
        if hides:
            found.append(f"U+{ord(character):04X}")
        last = character
    return found


_LETTERS = re.compile(r"[^\W\d_]+")


def mixed_words(text: str) -> list[str]:
    """The words that mix Latin, Cyrillic or Greek letters, which look alike: `“jane” (Cyrillic and Latin)`."""
    mixed: list[str] = []
    for found in _LETTERS.findall(unicodedata.normalize("NFC", text)):
        names = {unicodedata.name(letter, "").partition(" ")[0].capitalize() for letter in found}
        scripts = sorted(names & {"Latin", "Cyrillic", "Greek"})
        if len(scripts) > 1:
            mixed.append(f"{quoted(found)} ({listed(scripts)})")
    return mixed


_VERBS = (
    "add|archive|assign|bulk|complete|create|delete|drop|exempt|get|list|remove|replace|report|revert|search|unarchive"
    "|update"
)
_NOUNS = "api_token|article|assign|completion|content|enrollments|exemption|group|learner|overdue|update|user"
_ORDERS = re.compile(
    r"\b(ignore|disregard|override)\s+((all|any|the|your|of|these|my)\s+)*(previous|prior|above|earlier|instructions?)\b"
    r"|\bforget\s+(\w+\s+){0,3}instructions?\b"
    r"|\bsystem[ _-]?(notice|prompt|override)s?\b|\bsystem( message)?\s*:"
    r"|\b(you are|act as)( now)? an? (ai (assistant|agent|model)|language model|llm)\b"
    r"|\b(note|notice|message|instructions?) (to|for) (the |all |any )?(ai (assistant|agent|model)|llm|language model)"
    r"|\bthe user (has )?(already )?(agreed|approved|confirmed|consented)\b"
    r"|\b(do not|don't) (tell|inform) the user\b|\bwithout (telling|informing|asking) the user\b"
    rf"|\bconfirm_(token|replace|large_removal)\b|\b({_VERBS})_({_NOUNS})",
    re.IGNORECASE,
)
_NEEDED = (
    *("ignore", "disregard", "override", "forget", "system", "ai a", "ai m", "llm", "language model", "the user"),
    *("confirm_", *(f"_{noun}" for noun in _NOUNS.split("|"))),
)
"""One of these stands in every text that `_ORDERS` finds; looking for them takes a tenth of the time."""
_ALIKE = re.compile("[\u0130\u0131\u017f\u212a]")
"""The letters beyond ASCII that a pattern without case takes for one of its letters."""


def looks_like_instructions(text: str) -> bool:
    """Whether a tenant's text reads like orders to an assistant: a hint for the reader, not a filter."""
    plain = " ".join(neutralise(text).split())
    lower = plain.lower()
    for part in _NEEDED:
        if part in lower:
            return _ORDERS.search(plain) is not None
    return _ALIKE.search(plain) is not None and _ORDERS.search(plain) is not None


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
