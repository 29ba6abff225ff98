"""What names a thing (id, e-mail, name, pasted URL) → the thing itself. Never a guess.

An id is looked up, so that a mistyped one is an error and not an empty list. An e-mail goes through the exact filter.
A name must match whole, letter case aside, and only one thing. Everything else is an error with up to five candidates.
"""

from __future__ import annotations

import re
from typing import Any

import anyio

from pp_mcp.answers import Named
from pp_mcp.api import Api
from pp_mcp.api.walk import PAGE_SIZE, drain
from pp_mcp.declare import Kind, Reference
from pp_mcp.errors import NotFound, UnclearReference
from pp_mcp.models import ContentItem, EventRef, User
from pp_mcp.server.naming import SOURCES, Source, all_unclear, check, id_in, names_of, plain, unclear_reference

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
