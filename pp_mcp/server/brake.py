"""A brake on a runaway agent: so many writes an hour, and no more."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from pp_mcp.errors import Refused
from pp_mcp.text import plural

HOUR = 3_600.0
"""Seconds."""


class Brake:
    """Counts the writes of the last hour, of this process. `most` is none for no limit."""

    def __init__(self, most: int | None, now: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._now = now
        self._taken: deque[tuple[float, int]] = deque()
        self._count = 0

    def take(self, writes: int) -> None:
        """Counts `writes` more.

        Raises:
            Refused: they would be more than an hour may have; none of them is counted.
        """
        if self._most is None:
            return
        now = self._now()
        while self._taken and self._taken[0][0] <= now - HOUR:
            self._count -= self._taken.popleft()[1]
        if self._count + writes > self._most:
            wait = round((self._taken[0][0] + HOUR - now) / 60) + 1 if self._taken else 0
            when = f" Room comes back from {plural(wait, 'minute')} on." if wait else ""
            raise Refused(
                f"This would make {self._count + writes:,} writes within an hour; {self._most:,} are allowed "
                f"(PP_MAX_WRITES_PER_HOUR), {self._count:,} were made.{when} Nothing was sent. If this many is meant, "
                "a person has to raise the limit."
            )
        self._taken.append((now, writes))
        self._count += writes
