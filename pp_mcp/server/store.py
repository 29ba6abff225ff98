"""What outlives a call: tokens that are spent, previews and tasks that are kept, counts of an hour.

In this process by default; `shared.py` keeps it in Redis, for all replicas.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from pp_mcp.api.limits import SharedBudget
from pp_mcp.config import Settings
from pp_mcp.errors import Refused

PARTS = 60
"""A window of time is counted in so many parts: an hour by the minute."""

MOST_CLAIMS = 100_000
"""Claims that a process remembers, the latest."""

LARGEST_VALUE, LARGEST_TOTAL = 4_000_000, 64_000_000
"""Characters of one value as JSON, and of all that a process keeps, the latest."""


@dataclass(frozen=True)
class Count:
    """What a window of time holds. `taken`: the new ones fitted and were counted; `before`: how many there were without
    them; `wait`: seconds until there is more room, 0 where there was enough."""

    taken: bool
    before: int
    wait: float = 0.0


class Store(Protocol):
    """Keys are short texts without names or secrets, values are JSON, times are in seconds. Nothing here ever fails."""

    async def claim(self, key: str, seconds: float) -> bool:
        """Takes the key for that time; False where it is taken already."""
        ...

    async def is_claimed(self, key: str) -> bool:
        """Whether the key is taken."""
        ...

    async def release(self, key: str) -> None:
        """As if the key had never been taken."""
        ...

    async def keep(self, key: str, value: Any, seconds: float) -> bool:
        """Keeps the value for that time, in place of an earlier one; False where it is too large."""
        ...

    async def kept(self, key: str) -> Any:
        """The value; None where there is none any more."""
        ...

    async def take(self, key: str) -> Any:
        """The value, which is then no longer kept: only one of several that ask at once gets it."""
        ...

    async def keys(self, start: str) -> list[str]:
        """The keys of all kept values that begin like this."""
        ...

    async def count(self, key: str, amount: int, most: int, seconds: float) -> Count:
        """Counts `amount` more within the last `seconds`, unless they would come to more than `most`. A negative amount
        takes some back."""
        ...

    def rate_budget(self, token: str, *, timeout: float, max_pause: float) -> SharedBudget | None:
        """What all replicas may send with this API token; None where there is only one process. A request lasts at most
        `timeout`; a pause of more than `max_pause` is doubted after that."""
        ...

    async def is_there(self) -> bool:
        """False while this process goes on by itself although it should share its state."""
        ...

    async def aclose(self) -> None:
        """Closes what is open."""
        ...


class ProcessStore:
    """The state of this process alone."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._claims: dict[str, float] = {}
        self._values: dict[str, tuple[float, str]] = {}
        self._size = 0
        self._counts: dict[str, dict[int, int]] = {}

    async def claim(self, key: str, seconds: float) -> bool:
        if await self.is_claimed(key):
            return False
        self._claims[key] = self._now() + seconds
        if len(self._claims) > MOST_CLAIMS:
            self._claims = {one: until for one, until in self._claims.items() if until > self._now()}
        if len(self._claims) > MOST_CLAIMS:
            del self._claims[next(iter(self._claims))]
        return True

    async def is_claimed(self, key: str) -> bool:
        return self._claims.get(key, float("-inf")) > self._now()

    async def release(self, key: str) -> None:
        self._claims.pop(key, None)

    async def keep(self, key: str, value: Any, seconds: float) -> bool:
        text = json.dumps(value)
        if len(text) > LARGEST_VALUE:
            return False
        for one in [one for one, (until, _) in self._values.items() if until <= self._now() or one == key]:
            self._drop(one)
        self._values[key] = (self._now() + seconds, text)
        self._size += len(text)
        while self._size > LARGEST_TOTAL:
            self._drop(next(iter(self._values)))
        return True

    def _drop(self, key: str) -> None:
        self._size -= len(self._values.pop(key)[1])

    async def kept(self, key: str) -> Any:
        until, text = self._values.get(key, (float("-inf"), ""))
        return json.loads(text) if until > self._now() else None

    async def take(self, key: str) -> Any:
        value = await self.kept(key)
        if key in self._values:
            self._drop(key)
        return value

    async def keys(self, start: str) -> list[str]:
        return [key for key, (until, _) in self._values.items() if key.startswith(start) and until > self._now()]

    async def count(self, key: str, amount: int, most: int, seconds: float) -> Count:
        width = seconds / PARTS
        part = int(self._now() / width)
        parts = {at: held for at, held in self._counts.pop(key, {}).items() if at > part - PARTS}
        before = max(sum(parts.values()), 0)
        taken = before + amount <= most
        if taken and amount:
            parts[part] = parts.get(part, 0) + amount
        if parts:
            self._counts[key] = parts
        return Count(taken, before, 0.0 if taken or not parts else (min(parts) + PARTS) * width - self._now())

    def rate_budget(self, token: str, *, timeout: float, max_pause: float) -> SharedBudget | None:
        return None

    async def is_there(self) -> bool:
        return True

    async def aclose(self) -> None:
        pass


def store_of(settings: Settings) -> Store:
    """What these settings share between replicas, or what this process keeps for itself.

    Raises:
        Refused: PP_REDIS_URL cannot be used.
    """
    url = settings.redis_url.get_secret_value()
    if not url:
        return ProcessStore()
    try:
        from pp_mcp.server.shared import RedisStore

        return RedisStore(url, fleet=settings.base_url, keys=settings.signing_keys)
    except ImportError as error:
        raise Refused("PP_REDIS_URL needs a package that is not installed: pip install 'pp-mcp[redis]'.") from error
    except ValueError as error:
        raise Refused("PP_REDIS_URL is not an address such as redis://host:6379/0 or rediss://host:6379/0.") from error
