"""Who is in a group, who reports to whom: read once for a report, and kept small."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from pp_mcp.api.walk import PAGE_SIZE, RESERVE, Coverage, walk
from pp_mcp.api.workers import for_each
from pp_mcp.declare import Call
from pp_mcp.errors import NotFound, PlusPlusError
from pp_mcp.models import PersonRef, User

NOT_READ = "not read"
"""Stands for a manager where the people could not all be read."""

UNKNOWN = "unknown"
"""Stands for the manager of somebody who is not among the people the API lists."""

NOT_KNOWN = (NOT_READ, UNKNOWN)

FEW = 3
"""People that are looked up without asking first how many there are in all."""


class Profile(NamedTuple):
    """What a report needs to know of a person."""

    manager: PersonRef | None
    is_active: bool


class People:
    """Some people's profiles, by id. `coverage` says how they were read; none where nothing had to be."""

    def __init__(self) -> None:
        self.profiles: dict[str, Profile] = {}
        self.coverage: Coverage | None = None
        self.unlisted: set[str] = set()
        """People that were looked up and are not there."""
        self._managers: dict[str, PersonRef] = {}

    def __len__(self) -> int:
        return len(self.profiles)

    def __contains__(self, public_id: str) -> bool:
        return public_id in self.profiles

    @classmethod
    def of(cls, users: Iterable[User]) -> People:
        """These people, known already."""
        people = cls()
        for user in users:
            people.take(user)
        return people

    def take(self, user: User) -> None:
        """Notes one person."""
        manager = user.manager
        if manager is not None:
            # One object for all who have the same manager.
            manager = self._managers.setdefault(manager.public_id, manager)
        self.profiles[user.public_id] = Profile(manager, user.is_active is not False)

    def manager_of(self, public_id: str) -> PersonRef | str | None:
        """A person's manager; None where there is none, a word of `NOT_KNOWN` where that is not known."""
        profile = self.profiles.get(public_id)
        if profile is not None:
            return profile.manager
        gone = public_id in self.unlisted or (self.coverage is not None and self.coverage.complete)
        return UNKNOWN if gone else NOT_READ

    def keep(self, public_id: str) -> None:
        """Forgets everybody else."""
        self.profiles = {one: profile for one, profile in self.profiles.items() if one == public_id}


async def read_people(call: Call, filters: dict[str, str | None], *, tolerant: bool = False) -> People:
    """The people these filters leave. At most half of the time left is spent, and where it is not enough the coverage
    says so."""
    people = People()
    people.coverage = await walk(
        call.api,
        "list_users",
        User,
        people.take,
        people.profiles.clear,
        filters=filters,
        progress=call.rows_read,
        tolerant=tolerant,
        leave=RESERVE + max(0.0, call.api.remaining - RESERVE) / 2,
    )
    return people


async def add_missing(call: Call, people: People, wanted: Iterable[str]) -> None:
    """Adds the profiles of these people where they are missing: looked up one by one, or all people read, whichever is
    less. What cannot be read stays missing: it must not spoil a report that stands already."""
    missing = [one for one in dict.fromkeys(wanted) if one not in people]
    try:
        if len(missing) > FEW:
            first = await call.api.page("list_users", User, page=1, page_size=PAGE_SIZE)
            for user in first.items:
                people.take(user)
            missing = [one for one in missing if one not in people]
            if first.total_pages < len(missing):
                read = await read_people(call, {}, tolerant=True)
                people.profiles |= read.profiles
                people.coverage = read.coverage
                return
        await _look_up(call, people, missing)
    except PlusPlusError:
        return


async def _look_up(call: Call, people: People, missing: list[str]) -> None:
    async def look(public_id: str) -> bool:
        try:
            people.take(await call.api.one("get_user", User, public_id))
        except NotFound:
            people.unlisted.add(public_id)
        return True

    await for_each(missing, look)
