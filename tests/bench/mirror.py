"""The peer: a client that mirrors the API, reads page after page and keeps all rows for a model to look through."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from pp_mcp.api import Client
from pp_mcp.models import Assignment, ContentItem, Enrollment, User
from tests.bench.measure import Cost, Counting, timed
from tests.bench.questions import Question, Reading

_MODELS: dict[str, Any] = {
    "list_assignments": Assignment,
    "list_users": User,
    "list_content_items": ContentItem,
    "list_enrollments": Enrollment,
}

LONG = 3_600.0
"""Seconds: the mirror has no budget."""


class Mirror:
    """Answers questions by reading everything; what was read once for one question is not read again for another."""

    def __init__(self, client: Client, network: Counting) -> None:
        self._client = client
        self._network = network
        self._known: dict[Reading, Cost] = {}

    async def cost(self, question: Question) -> Cost:
        """What the question costs by this way."""
        total = Cost()
        for reading in question.lists:
            if reading not in self._known:
                self._known[reading] = await self._timed(partial(self._read, reading))
            total += self._known[reading]
        if question.writes is not None:
            total += await self._timed(partial(self._write, *question.writes))
        return total

    async def _timed(self, work: Callable[[], Awaitable[None]]) -> Cost:
        async def characters() -> int:
            before = self._network.characters
            await work()
            return self._network.characters - before

        return await timed(self._network, characters)

    async def _read(self, reading: Reading) -> None:
        operation, filters = reading
        api = self._client.call(budget=LONG)
        rows: list[Any] = []
        number: int | None = 1
        while number is not None:
            page = await api.page(operation, _MODELS[operation], page=number, page_size=100, **dict[str, Any](filters))
            rows += page.items
            number = page.next_page

    async def _write(self, item: str, people: tuple[str, ...]) -> None:
        api = self._client.call(budget=LONG)
        for person in people:
            body = {"user_id": person, "content_item_id": item, "due_date": "2035-01-31"}
            await api.write("assign_content", Assignment, body)
