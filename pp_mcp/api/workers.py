"""The same done for many things, some at a time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

import anyio

from pp_mcp.errors import PlusPlusError

T = TypeVar("T")

WORKERS = 16
"""Tasks at once; how many requests really run at once is the client's limit."""


async def for_each(things: Iterable[T], work: Callable[[T], Awaitable[bool]], *, workers: int = WORKERS) -> None:
    """Awaits `work` for each thing, in order, by so many workers. One whose work answers false takes no more.

    Raises:
        PlusPlusError: the first that work raised; the other workers are cancelled.
    """
    queue = iter(things)
    failures: list[PlusPlusError] = []

    async def worker(scope: anyio.CancelScope) -> None:
        for thing in queue:
            try:
                if not await work(thing):
                    return
            except PlusPlusError as error:
                failures.append(error)
                scope.cancel()
                return

    async with anyio.create_task_group() as group:
        for _ in range(workers):
            group.start_soon(worker, group.cancel_scope)
    if failures:
        raise failures[0]
