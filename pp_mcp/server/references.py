"""A reference (id, e-mail, name, pasted URL) → the thing it names. Never a guess.

An id is looked up, so that a mistyped one is an error and not an empty list. An e-mail goes through the exact filter.
A name must match whole, letter case aside, and only one thing. Everything else is an error with up to five candidates.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from pydantic import BaseModel

from pp_mcp.api import Api
from pp_mcp.api.walk import PAGE_SIZE, drain, for_each
from pp_mcp.declare import Kind
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

NAMES_READ = 500
"""Matches of a name that are looked through; with more, none of them can be called the only exact one."""

ONE_BY_ONE = 20
"""References in one list that are looked up singly; for a longer list, reading all pages may take fewer requests."""

WORDS_TRIED = 6
"""Words of a name that nothing has which are searched for, the longest first."""

Key = tuple[str, str]
"""By what a thing is found: `("public_id", …)`, `("email", …)` or `("name", …)`, in comparable form."""


@dataclass(frozen=True)
class Source:
    """Where things of a kind are found."""

    one: str
    many: str
    model: type[BaseModel]
    get: str
    find: str
    name_filter: str
    """The filter that takes part of a name."""
    tool: str
    """The tool that finds valid ids."""
    only: tuple[tuple[str, str], ...] = ()


_ITEM = ("get_content_item", "list_content_items", "search", "search_content")
SOURCES: dict[Kind, Source] = {
    "user": Source("person", "people", User, "get_user", "list_users", "search", "list_users"),
    "group": Source("group", "groups", Group, "get_group", "list_groups", "name", "list_groups"),
    "content_item": Source("content item", "content items", ContentItem, *_ITEM),
    "event": Source("event", "events", ContentItem, *_ITEM, only=(("content_type", "event"),)),
    "article": Source("article", "articles", ContentItem, "get_article", "list_articles", "search", "list_articles"),
    "assignment": Source(
        "assignment", "assignments", Assignment, "get_assignment", "list_assignments", "", "list_assignments"
    ),
}

ONLY_BY_ID: dict[Kind, str] = {
    "channel": "PlusPlus shows it in the channel's address",
    "assignment": "list_assignments shows it",
}
"""Kinds that have no name of their own, and where their ids are found."""


@dataclass(frozen=True)
class Lookup:
    """One reference as it was given, in a form that can be looked up."""

    argument: str
    kind: Kind
    text: str
    public_id: str | None

    @property
    def key(self) -> Key:
        """What the thing it names is found by."""
        if self.public_id is not None:
            return "public_id", self.public_id
        return ("email", self.text.casefold()) if self.is_email else ("name", _plain(self.text))

    @property
    def is_email(self) -> bool:
        return self.kind == "user" and self.public_id is None and "@" in self.text

    @property
    def is_plain_id(self) -> bool:
        """Whether the answer need not say what was found: it was given as nothing but its id."""
        return self.kind in ONLY_BY_ID or self.text == self.public_id

    def unclear(self, why: str, candidates: Iterable[Any] = ()) -> UnclearReference:
        """The error that says why it names no single thing."""
        shown = [_candidate(thing) for thing in candidates]
        return UnclearReference(
            f"{self.argument}: {why}", argument=self.argument, given=self.text, candidates=shown[:5]
        )


_NAMED_IN_PATHS: dict[str, frozenset[Kind]] = {
    "users": frozenset({"user"}),
    "people": frozenset({"user"}),
    "groups": frozenset({"group"}),
    "assignments": frozenset({"assignment"}),
    "channels": frozenset({"channel"}),
    "articles": frozenset({"article", "content_item"}),
    "events": frozenset({"event", "content_item"}),
    **dict.fromkeys(
        ("content-items", "content", "courses", "videos", "guides", "links", "tracks", "collections"),
        frozenset({"content_item"}),
    ),
}
"""What the part of an address before an id says the id is of."""


def understand(argument: str, kind: Kind, given: str, host: str) -> Lookup:
    """The reference in `given`, if its form is one that can be looked up; needs no request. `host` is the tenant's.

    Raises:
        InvalidArgument: it is empty, too long, holds what cannot be seen, or is a broken e-mail address.
        UnclearReference: it holds no id, and nothing but an id can be looked up.
    """
    text, shown = given.strip(), quoted(given.strip())
    lookup = Lookup(argument, kind, text, id_in(text))
    is_url = _is_url(text)
    wrong = ""
    if not text:
        wrong = "is empty, or has an empty entry"
    elif len(text) > LONGEST:
        wrong = f"is longer than {LONGEST} characters: {shown}"
    elif _hides(text):
        wrong = f"contains control or invisible characters: {shown}. Type it again"
    elif is_url and (foreign := _foreign(text, kind, host)):
        wrong = foreign
    elif lookup.is_email and not is_url and not is_email(text):
        wrong = f"must be an e-mail such as jane.doe@example.com, a public_id or a full name, not {shown}"
    if wrong:
        raise InvalidArgument(f"{argument} {wrong}.", field_errors={argument: [wrong]})
    if lookup.public_id is None and kind in ONLY_BY_ID:
        raise lookup.unclear(f"must be the public_id (or URL) of the {kind}, not {shown}: {ONLY_BY_ID[kind]}.")
    if lookup.public_id is None and is_url:
        raise lookup.unclear(f"the address contains no public_id. {SOURCES[kind].tool} finds it by name.")
    return lookup


def id_in(text: str) -> str | None:
    """The public_id in the text: itself, or the last one in the path of a pasted URL. None where there is none."""
    found = [text.strip()] if _ID.fullmatch(text.strip()) else []
    if not found and _is_url(text.strip()):
        try:
            found = _ID_IN_URL.findall(urlsplit(text.strip()).path)
        except ValueError:
            return None
    return (found[-1].lower() if "-" in found[-1] else found[-1]) if found else None


def _foreign(url: str, kind: Kind, host: str) -> str:
    """Why an address is not of the tenant, or not of a thing of this kind; nothing where it may be."""
    try:
        parts = urlsplit(url)
        there = parts.hostname or ""
    except ValueError:
        return f"is not a web address: {quoted(url)}"
    if there != host:
        return f"is an address of {quoted(there)}, not of this tenant ({host})"
    steps = parts.path.lower().split("/")
    named = [_NAMED_IN_PATHS[step] for step in steps if step in _NAMED_IN_PATHS]
    if named and kind not in named[-1]:
        return f"is the address of another kind of thing than {kind.replace('_', ' ')}"
    return ""


async def find(api: Api, lookup: Lookup) -> Any:
    """The thing that the reference names; of a channel, its id.

    Raises:
        UnclearReference: several things match, or none.
    """
    if lookup.kind == "channel":
        return lookup.public_id
    source = SOURCES[lookup.kind]
    if lookup.public_id is not None:
        thing = await _by_id(api, lookup, source, lookup.public_id)
    elif lookup.is_email:
        thing = await _by_email(api, lookup, source)
    else:
        thing = await _by_name(api, lookup, source)
    if lookup.kind == "event" and isinstance(thing, ContentItem):
        return EventRef.model_validate({"public_id": thing.public_id, "name": thing.name})
    return thing


Report = Callable[[float, float, str], Awaitable[None]]


async def find_all(api: Api, lookups: list[Lookup], report: Report) -> list[Any]:
    """The things that a list of one argument names, each once; one error for all that are unclear. `report` is told how
    far it is."""
    wanted = {lookup.key: lookup for lookup in lookups}
    if not lookups:
        return []
    source = SOURCES[lookups[0].kind]
    read_all = False
    if len(wanted) > ONE_BY_ONE:
        first = await api.page(source.find, source.model, page_size=PAGE_SIZE)
        read_all = first.total_pages <= len(wanted)
    found = await (_from_all_pages(api, source, wanted) if read_all else _one_by_one(api, wanted.values(), report))
    unclear = [one for one in found if isinstance(one, UnclearReference)]
    if unclear:
        raise _all_unclear(len(wanted), unclear)
    return list({thing.public_id: thing for thing in found}.values())


async def _one_by_one(api: Api, lookups: Collection[Lookup], report: Report) -> list[Any]:
    found: dict[Key, Any] = dict.fromkeys(lookup.key for lookup in lookups)
    done = 0

    async def look(lookup: Lookup) -> bool:
        nonlocal done
        try:
            found[lookup.key] = await find(api, lookup)
        except UnclearReference as error:
            found[lookup.key] = error
        done += 1
        await report(done, len(lookups), f"looking up {done:,} of {len(lookups):,}")
        return True

    await for_each(lookups, look)
    return list(found.values())


async def _from_all_pages(api: Api, source: Source, wanted: dict[Key, Lookup]) -> list[Any]:
    # Only what may be meant is kept: the list may be far longer than what is named.
    things = await drain(
        api, source.find, source.model, keep=lambda thing: not wanted.keys().isdisjoint(_keys_of(thing))
    )
    matches: dict[Key, list[Any]] = {key: [] for key in wanted}
    for thing in things:
        for key in _keys_of(thing):
            if key in matches:
                matches[key].append(thing)
    return [
        found[0] if len(found) == 1 else _several(wanted[key], source, found) if found else _none(wanted[key], source)
        for key, found in matches.items()
    ]


async def _by_id(api: Api, lookup: Lookup, source: Source, public_id: str) -> Any:
    try:
        return await api.one(source.get, source.model, public_id)
    except NotFound as error:
        if lookup.kind == "event":
            # That an event's id is its content item's is inferred; a tenant may keep them apart.
            return EventRef.model_validate({"public_id": public_id, "name": public_id})
        raise lookup.unclear(f"no {source.one} has the id {public_id}. {source.tool} finds valid ones.") from error


async def _by_email(api: Api, lookup: Lookup, source: Source) -> Any:
    page = await api.page(source.find, User, email=lookup.text, page_size=5)
    matches = [user for user in page.items if (user.email or "").casefold() == lookup.text.casefold()]
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise _several(lookup, source, matches)
    raise _none(lookup, source, await _near(api, source, lookup.text.split("@")[0].replace("_", " ")))


async def _by_name(api: Api, lookup: Lookup, source: Source) -> Any:
    filters = {source.name_filter: " ".join(lookup.text.split()), **dict(source.only)}
    rows: list[Any] = []
    number: int | None = 1
    while number is not None and len(rows) < NAMES_READ:
        page = await api.page(source.find, source.model, page=number, page_size=PAGE_SIZE, **filters)
        rows += page.items
        number = page.next_page if page.items else None
    if number is not None:
        why = f"{quoted(lookup.text)} matches more {source.many} than can be looked through: give the public_id."
        raise lookup.unclear(why, rows)
    exact = list({row.public_id: row for row in rows if lookup.key in _keys_of(row)}.values())
    if len(exact) == 1:
        return exact[0]
    if exact:
        raise _several(lookup, source, exact)
    raise _none(lookup, source, rows or await _near(api, source, lookup.text))


async def _near(api: Api, source: Source, name: str) -> list[Any]:
    """Things that share words with the name, the likeliest first: a rare word tells a thing from others, a common one
    does not."""
    found: dict[str, Any] = {}
    weights: defaultdict[str, float] = defaultdict(float)
    for word in sorted(set(re.findall(r"\w{3,}", name.casefold())), key=lambda one: (-len(one), one))[:WORDS_TRIED]:
        filters = {source.name_filter: word, **dict(source.only)}
        page = await api.page(source.find, source.model, page=1, page_size=5, **filters)
        things: list[Any] = page.items
        for thing in things:
            found[thing.public_id] = thing
            weights[thing.public_id] += 1 / max(page.total_count, 1)
    return [found[public_id] for public_id in sorted(weights, key=lambda one: -weights[one])]


def _several(lookup: Lookup, source: Source, matches: list[Any]) -> UnclearReference:
    return lookup.unclear(
        f"{len(matches)} {source.many} are called {quoted(lookup.text)}: give the public_id of the right one.", matches
    )


def _none(lookup: Lookup, source: Source, near: Iterable[Any] = ()) -> UnclearReference:
    shown = quoted(lookup.text)
    if near:
        why = f"No {source.one} is called {shown}. The candidates are only near; or search with {source.tool}."
    else:
        why = f"Not found: no {source.one} is called {shown}. Search with {source.tool}."
    return lookup.unclear(why, near)


def _all_unclear(wanted: int, unclear: list[UnclearReference]) -> UnclearReference:
    if wanted == 1:
        return unclear[0]
    names = listed([quoted(error.given) for error in unclear], 10)
    candidates = [{"for": error.given, **candidate} for error in unclear for candidate in error.candidates]
    found = wanted - len(unclear)
    them, others = "it" if len(unclear) == 1 else "them", "was" if found == 1 else "were"
    argument = unclear[0].argument
    return UnclearReference(
        f"{argument}: {len(unclear):,} of {wanted:,} entries unclear: {names}. Nothing was done. Correct {them} or "
        f"leave {them} out" + (f"; the other {found:,} {others} found." if found else "."),
        argument=argument,
        given=names,
        candidates=candidates,
    )


def _candidate(thing: Any) -> dict[str, str]:
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


def _keys_of(thing: Any) -> set[Key]:
    """All that a thing can be found by."""
    email = (getattr(thing, "email", None) or "").casefold()
    keys: set[Key] = {("public_id", thing.public_id), ("name", _plain(getattr(thing, "name", "")))}
    return keys | {("email", email)} if email else keys


def _plain(name: str) -> str:
    return " ".join(name.split()).casefold()


def _is_url(text: str) -> bool:
    return re.match(r"https?://", text, re.IGNORECASE) is not None


def _hides(text: str) -> bool:
    """Whether the text holds what cannot be seen: nobody means such a name, and no lookup would find it."""
    one_line = " ".join(text.split())
    return neutralise(one_line) != one_line
