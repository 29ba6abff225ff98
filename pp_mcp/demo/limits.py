"""The rate limit: a fixed window per token."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class Allowance:
    """What the headers say after a request; `reset` is in seconds (documented), not a point in time."""

    limit: int
    remaining: int
    reset: int
    exceeded: bool

    def headers(self) -> dict[str, str]:
        """The documented headers."""
        return {
            "X-RateLimit-Limit": str(self.limit),
            "X-RateLimit-Remaining": str(self.remaining),
            "X-RateLimit-Reset": str(self.reset),
        }


class RateLimit:
    """At most `limit` requests in `window` seconds; a refused request does not count. The real limits are unknown."""

    def __init__(self, limit: int, window: float, now: Callable[[], datetime]) -> None:
        self._limit = limit
        self._window = window
        self._now = now
        self._windows: dict[str, tuple[float, int]] = {}

    def take(self, key: str) -> Allowance:
        """Count a request under a key (a token, or "" for requests without a valid one)."""
        now = self._now().timestamp()
        started, used = self._windows.get(key, (now, 0))
        if not 0 <= now - started < self._window:
            started, used = now, 0
        exceeded = used >= self._limit
        if not exceeded:
            used += 1
        self._windows[key] = (started, used)
        reset = max(1, math.ceil(started + self._window - now))
        return Allowance(self._limit, self._limit - used, reset, exceeded)
