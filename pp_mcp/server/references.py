"""What names a thing (id, e-mail, name, pasted URL) → the thing itself. Never a guess.

An id is looked up, so that a mistyped one is an error and not an empty list. An e-mail goes through the exact filter.
A name must match whole, letter case aside, and only one thing. Everything else is an error with up to five candidates.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import anyio
from pydantic import BaseModel

from pp_mcp.answers import Named
from pp_mcp.api import Api
from pp_mcp.api.walk import PAGE_SIZE, drain
from pp_mcp.declare import Kind, Reference
from pp_mcp.errors import InvalidArgument, NotFound, UnclearReference
from pp_mcp.models import Assignment, ContentItem, EventRef, Group, User
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


NAMES_READ = 500
"""Matches of a name that are looked through; more than that is too many to call one of them exact."""

ONE_BY_ONE = 20
"""References in one list that are looked up singly; a longer list may be cheaper to find by reading all pages."""


class References:
    """Resolves the references of one tool call."""

    def __init__(self, api: Api) -> None:
        self._api = api

    async def one(self, argument: str, reference: Reference, given: str) -> tuple[Any, Named | None]:
        """The thing that `given` names, and how to name it in the answer (None where its id was given).

        Raises:
            UnclearReference: several things match, or none.
        """
        text = check(argument, reference, given)
        public_id = id_in(text)
        if reference.kind == "channel":
            return public_id, None
        source = SOURCES[reference.kind]
        if public_id is not None:
            thing = await self._by_id(argument, reference.kind, source, public_id)
            if reference.kind == "assignment":
                return thing, None
        elif reference.kind == "user" and "@" in text:
            thing = await self._by_email(argument, text)
        else:
            thing = await self._by_name(argument, source, text)
        if reference.kind == "event" and isinstance(thing, ContentItem):
            thing = EventRef.model_validate({"public_id": thing.public_id, "name": thing.name})
        named = Named(kind=reference.kind, public_id=thing.public_id, name=thing.name)
        return thing, None if text == thing.public_id else named

    async def many(self, argument: str, reference: Reference, given: list[str]) -> list[Any]:
        """The things that a list names; one error for all that are unclear."""
        source = SOURCES[reference.kind]
        wanted = list(dict.fromkeys(check(argument, reference, text) for text in given))
        everything: list[Any] | None = None
        if len(wanted) > ONE_BY_ONE:
            first = await self._api.page(source.find, source.model, page_size=PAGE_SIZE)
            if first.total_pages <= len(wanted):
                # Only what may be meant is kept: the list may be far longer than what is named.
                texts = {plain(text) for text in wanted} | {id_in(text) for text in wanted}
                everything = await drain(
                    self._api, source.find, source.model, keep=lambda thing: not texts.isdisjoint(names_of(thing))
                )
        unclear: dict[str, UnclearReference] = {}
        found: dict[str, Any] = {}
        if everything is not None:
            self._match(argument, source, wanted, everything, found, unclear)
        else:
            await self._each(argument, reference, wanted, found, unclear)
        if unclear:
            raise all_unclear(argument, wanted, [unclear[text] for text in wanted if text in unclear])
        return [found[text] for text in wanted]

    async def _each(
        self,
        argument: str,
        reference: Reference,
        wanted: list[str],
        found: dict[str, Any],
        unclear: dict[str, UnclearReference],
    ) -> None:
        failures: list[Exception] = []

        async def look(text: str, scope: anyio.CancelScope) -> None:
            try:
                found[text] = (await self.one(argument, reference, text))[0]
            except UnclearReference as error:
                unclear[text] = error
            except Exception as error:
                # The first failure speaks for the whole list; the other look-ups are stopped.
                failures.append(error)
                scope.cancel()

        async with anyio.create_task_group() as group:
            for text in wanted:
                group.start_soon(look, text, group.cancel_scope)
        if failures:
            raise failures[0]

    def _match(
        self,
        argument: str,
        source: Source,
        wanted: list[str],
        everything: list[Any],
        found: dict[str, Any],
        unclear: dict[str, UnclearReference],
    ) -> None:
        by_id = {thing.public_id: thing for thing in everything}
        by_email: dict[str, list[Any]] = {}
        by_name: dict[str, list[Any]] = {}
        for thing in everything:
            by_email.setdefault((getattr(thing, "email", None) or "").casefold(), []).append(thing)
            by_name.setdefault(plain(getattr(thing, "name", "")), []).append(thing)
        for text in wanted:
            public_id = id_in(text)
            if public_id is not None:
                matches = [by_id[public_id]] if public_id in by_id else []
            elif source.model is User and "@" in text:
                matches = by_email.get(text.casefold(), [])
            else:
                matches = by_name.get(plain(text), [])
            if len(matches) == 1:
                found[text] = matches[0]
            else:
                unclear[text] = unclear_reference(argument, source, text, matches, bool(matches))

    async def _by_id(self, argument: str, kind: Kind, source: Source, public_id: str) -> Any:
        try:
            return await self._api.one(source.get, source.model, public_id)
        except NotFound as error:
            if kind == "event":
                # That an event's id is its content item's is inferred; a tenant may keep them apart.
                return EventRef.model_validate({"public_id": public_id, "name": public_id})
            raise UnclearReference(
                f"{argument}: no {source.words} has the id {public_id}. {source.tool} finds valid ones.",
                argument=argument,
                given=public_id,
            ) from error

    async def _by_email(self, argument: str, email: str) -> User:
        page = await self._api.page("list_users", User, email=email, page_size=5)
        matches = [user for user in page.items if (user.email or "").casefold() == email.casefold()]
        if len(matches) == 1:
            return matches[0]
        source = SOURCES["user"]
        near = matches or await self._near(source, email.split("@")[0].replace("_", " "), {})
        raise unclear_reference(argument, source, email, near, bool(matches))

    async def _by_name(self, argument: str, source: Source, name: str) -> Any:
        only: dict[str, str] = dict(source.only)
        rows: list[Any] = []
        filters = {source.by: " ".join(name.split()), **only}
        page = await self._api.page(source.find, source.model, page=1, page_size=PAGE_SIZE, **filters)
        rows += page.items
        while page.next_page is not None and page.items and len(rows) < NAMES_READ:
            page = await self._api.page(source.find, source.model, page=page.next_page, page_size=PAGE_SIZE, **filters)
            rows += page.items
        exact = list({row.public_id: row for row in rows if plain(row.name) == plain(name)}.values())
        all_read = page.next_page is None or not page.items
        if len(exact) == 1 and all_read:
            return exact[0]
        near: list[Any] = exact or rows
        if not near:
            near = await self._near(source, name, only)
        raise unclear_reference(argument, source, name, near, len(exact) > 1, too_many=not all_read)

    async def _near(self, source: Source, name: str, only: dict[str, str]) -> list[Any]:
        """Things that share a word with the name, the longest first: a typo rarely spoils every word."""
        for word in sorted(set(re.findall(r"\w{3,}", name)), key=lambda one: (-len(one), one))[:3]:
            page = await self._api.page(source.find, source.model, page=1, page_size=5, **{source.by: word, **only})
            if page.items:
                return page.items
        return []
