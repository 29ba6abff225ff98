"""The rate budget that all calls of the process share."""

from collections.abc import Mapping

import anyio

from pp_mcp.errors import RateLimited, seconds_in


class Clock:
    """Seconds of the running event loop's clock, and waiting for some. Tests put their own in its place."""

    def now(self) -> float:
        return anyio.current_time()

    async def sleep(self, seconds: float) -> None:
        await anyio.sleep(seconds)


SYSTEM_CLOCK = Clock()


class RateBudget:
    """How many requests the API would still take, as its answers tell.

    Reads X-RateLimit-Remaining and X-RateLimit-Reset (seconds until the reset: documented; window and scope unknown).
    Requests under way count as spent until their answers are there, so a burst does not overrun the limit.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._left: int | None = None
        self._reset_at = 0.0
        self._under_way = 0
        self._answered = anyio.Event()

    def seconds_to_wait(self) -> float:
        """Seconds until the API takes requests again; 0 if it does so now."""
        return max(0.0, self._reset_at - self._clock.now()) if self._left == 0 else 0.0

    def is_open(self) -> bool:
        """Whether one more request may be sent now."""
        if self._left is None or self._clock.now() >= self._reset_at:
            return True
        return self._under_way < self._left

    async def turn(self, deadline: float, *, operation: str, method: str) -> None:
        """Waits until one more request may be sent, or till `deadline` (clock time).

        Raises RateLimited, without waiting, if the reset comes too late.
        """
        while not self.is_open() and self._clock.now() < deadline:
            seconds = self.seconds_to_wait()
            if seconds > 0:
                if self._clock.now() + seconds >= deadline:
                    raise RateLimited(
                        f"PlusPlus takes no more requests for {seconds:.0f} seconds. Nothing was sent.",
                        retry_after=seconds,
                        status=429,
                        code="rate_limited",
                        operation=operation,
                        method=method,
                    )
                # At least a tick: rounding may leave a rest too small to move the clock.
                await self._clock.sleep(max(seconds, 0.01))
            else:
                with anyio.move_on_after(deadline - self._clock.now()):
                    await self._answered.wait()

    def depart(self) -> None:
        """A request is about to be sent."""
        self._under_way += 1

    def arrive(self, headers: Mapping[str, str] | None) -> None:
        """A request came to its end: with the (lower-case) headers of its answer, or with none worth reading."""
        self._under_way -= 1
        if headers is not None:
            self._learn(headers)
        self._answered.set()
        self._answered = anyio.Event()

    def block(self, seconds: float) -> None:
        """The API wants no request for that long."""
        until = self._clock.now() + seconds
        if self.seconds_to_wait() > 0:
            until = max(until, self._reset_at)
        self._left, self._reset_at = 0, until

    def _learn(self, headers: Mapping[str, str]) -> None:
        reset = seconds_in(headers.get("x-ratelimit-reset", ""))
        remaining = headers.get("x-ratelimit-remaining", "").strip()
        if reset is None or not (remaining.isascii() and remaining.isdigit() and len(remaining) < 10):
            return
        now, left = self._clock.now(), int(remaining)
        # Answers overtake one another: within one window the lowest figure is the newest. A reset that moved
        # by more than the rounding of whole seconds is another window.
        same_window = self._left is not None and now < self._reset_at and now + reset <= self._reset_at + 1.5
        if same_window and self._left is not None:
            self._left = min(self._left, left)
        else:
            self._left, self._reset_at = left, now + reset
