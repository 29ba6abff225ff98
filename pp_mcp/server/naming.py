"""The forms that names of things have, where things of a kind are found, and the words for a name that is unclear."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from pydantic import BaseModel

from pp_mcp.declare import Kind, Reference
from pp_mcp.errors import InvalidArgument, UnclearReference
from pp_mcp.models import Assignment, ContentItem, Group, User
from pp_mcp.operations.params import is_email
from pp_mcp.text import listed, neutralise, quoted

_ID = re.compile(
    r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}|[0-7][0-9A-HJKMNP-TV-Z]{25}"
)
_ID_IN_URL = re.compile(rf"(?:^|/)({_ID.pattern})(?=[/_.-]|$)")

LONGEST = 500
"""Characters of a reference; no name or address is longer."""


@dataclass(frozen=True)
class Source:
    """Where things of a kind are found."""

    words: str
    plural: str
    model: type[BaseModel]
    get: str
    find: str
    by: str
    """The filter that takes part of a name."""
    tool: str
    """The tool that finds valid ids."""
    only: tuple[tuple[str, str], ...] = ()


SOURCES: dict[Kind, Source] = {
    "user": Source("person", "people", User, "get_user", "list_users", "search", "list_users"),
    "group": Source("group", "groups", Group, "get_group", "list_groups", "name", "list_groups"),
    "content_item": Source(
        "content item",
        "content items",
        ContentItem,
        "get_content_item",
        "list_content_items",
        "search",
        "search_content",
    ),
    "article": Source("article", "articles", ContentItem, "get_article", "list_articles", "search", "list_articles"),
    "assignment": Source(
        "assignment", "assignments", Assignment, "get_assignment", "list_assignments", "", "list_assignments"
    ),
    "event": Source(
        "event",
        "events",
        ContentItem,
        "get_content_item",
        "list_content_items",
        "search",
        "search_content",
        (("content_type", "event"),),
    ),
}


ONLY_BY_ID: dict[Kind, str] = {
    "channel": "PlusPlus shows it in the channel's address",
    "assignment": "list_assignments shows it",
}
"""Kinds that have no name of their own, and where their ids are found."""


def check(argument: str, reference: Reference, given: str) -> str:
    """The reference without the space around it, if its form is one that can be looked up; needs no request.

    Raises:
        InvalidArgument: it is empty, too long, holds what cannot be seen, or is a broken e-mail address.
        UnclearReference: it holds no id, and nothing but an id can be looked up.
    """
    text = given.strip()
    shown, kind = quoted(text), reference.kind
    wrong = why = ""
    if not text:
        wrong, why = f"{argument} is empty, or has an empty entry.", "is empty"
    elif len(text) > LONGEST:
        wrong, why = f"{argument}: {shown} is longer than {LONGEST} characters.", f"at most {LONGEST} characters"
    elif hides(text):
        why = "holds control or invisible characters"
        wrong = f"{argument} {why}: {shown}. Type it anew."
    elif kind == "user" and "@" in text and not is_url(text) and not is_email(text):
        wrong = f"{argument}: {shown} is not an e-mail address."
        why = "must be an e-mail such as jane.doe@example.com, a public_id or a full name"
    if wrong:
        raise InvalidArgument(wrong, field_errors={argument: [why]})
    if id_in(text) is None:
        if kind in ONLY_BY_ID:
            wrong = f"{argument} must be the public_id (or URL) of the {kind}, not {shown}: {ONLY_BY_ID[kind]}."
        elif is_url(text):
            wrong = f"{argument}: the address holds no public_id. {SOURCES[kind].tool} finds it by name."
        if wrong:
            raise UnclearReference(wrong, argument=argument, given=text)
    return text


def is_url(text: str) -> bool:
    """Whether the text is meant as a web address."""
    return re.match(r"https?://", text, re.IGNORECASE) is not None


def id_in(text: str) -> str | None:
    """The public_id in the text: itself, or the last one in the path of a pasted URL. None where there is none."""
    stripped = text.strip()
    if _ID.fullmatch(stripped):
        return stripped.lower() if "-" in stripped else stripped
    if is_url(stripped):
        try:
            found = _ID_IN_URL.findall(urlsplit(stripped).path)
        except ValueError:
            return None
        if found:
            return found[-1].lower() if "-" in found[-1] else found[-1]
    return None


def hides(text: str) -> bool:
    """Whether the text holds what cannot be seen: nobody means such a name, and no lookup would find it."""
    one_line = " ".join(text.split())
    return neutralise(one_line) != one_line


def names_of(thing: Any) -> set[str]:
    """All that a thing can be named by."""
    return {thing.public_id, plain(getattr(thing, "name", "")), (getattr(thing, "email", None) or "").casefold()}


def plain(name: str) -> str:
    return " ".join(name.split()).casefold()


def unclear_reference(
    argument: str, source: Source, given: str, matches: list[Any], exact: bool, *, too_many: bool = False
) -> UnclearReference:
    candidates = [candidate_of(thing) for thing in matches[:5]]
    if too_many:
        why = f"{quoted(given)} matches more {source.plural} than can be looked through: give the public_id."
    elif exact:
        why = f"{len(matches)} {source.plural} are called {quoted(given)}: give the public_id of the one that is meant."
    elif matches:
        why = (
            f"No {source.words} is called exactly {quoted(given)}. "
            f"Similar: see candidates; or search with {source.tool}."
        )
    else:
        why = f"No {source.words} matches {quoted(given)}. Search with {source.tool}."
    return UnclearReference(f"{argument}: {why}", argument=argument, given=given, candidates=candidates)


def candidate_of(thing: Any) -> dict[str, str]:
    shown = {"public_id": thing.public_id, "name": getattr(thing, "name", "")}
    for field in ("email", "content_type", "source", "member_count"):
        value = getattr(thing, field, None)
        if value is not None:
            shown[field] = str(value)
    if getattr(thing, "is_active", None) is False:
        shown["note"] = "inactive"
    if getattr(thing, "is_archived", None):
        shown["note"] = "archived"
    return shown


def all_unclear(argument: str, wanted: list[str], unclear: list[UnclearReference]) -> UnclearReference:
    if len(wanted) == 1:
        return unclear[0]
    names = listed([quoted(error.given) for error in unclear], 10)
    candidates = [{"for": error.given, **candidate} for error in unclear for candidate in error.candidates]
    found = len(wanted) - len(unclear)
    are, these = ("is", "this") if len(unclear) == 1 else ("are", "these")
    return UnclearReference(
        f"{argument}: {len(unclear):,} of {len(wanted):,} entries {are} unclear: {names}. Nothing was done; mend or "
        f"leave out {these}" + (f", the other {found:,} {'was' if found == 1 else 'were'} found." if found else "."),
        argument=argument,
        given=listed([error.given for error in unclear], 10),
        candidates=candidates,
    )
