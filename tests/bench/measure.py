"""Seconds, requests, characters and memory of one piece of work."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import httpx2


class Counting(httpx2.AsyncBaseTransport):
    """The network, with a count of the requests and of the characters that came back."""

    def __init__(self, connections: int) -> None:
        limits = httpx2.Limits(max_connections=connections, max_keepalive_connections=connections)
        self._inner = httpx2.AsyncHTTPTransport(limits=limits)
        self.requests = 0
        self.characters = 0

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Sends the request on."""
        response = await self._inner.handle_async_request(request)
        self.requests += 1
        self.characters += int(response.headers.get("content-length", "0"))
        return response

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._inner.aclose()


@dataclass(frozen=True)
class Cost:
    """What a piece of work took, and how many characters a model reads of it."""

    seconds: float = 0.0
    requests: int = 0
    characters: int = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.seconds + other.seconds, self.requests + other.requests, self.characters + other.characters)


async def timed(network: Counting, work: Callable[[], Awaitable[int]]) -> Cost:
    """The cost of `work`, which answers how many characters a model has to read."""
    requests, began = network.requests, time.perf_counter()
    characters = await work()
    return Cost(time.perf_counter() - began, network.requests - requests, characters)


async def peak_of(work: Callable[[], Awaitable[object]]) -> float:
    """The most memory, in MB, that `work` held at once beyond what was held before."""
    tracemalloc.start()
    try:
        await work()
        return tracemalloc.get_traced_memory()[1] / 1e6
    finally:
        tracemalloc.stop()
