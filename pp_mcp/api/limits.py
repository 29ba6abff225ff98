"""Whose request goes next: the API's rate limit, how many run at once, and a fair share for every caller."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import Protocol
from uuid import uuid4

import anyio
import httpx2

from pp_mcp.errors import OutOfTime, RateLimited, seconds_in, wait_told
from pp_mcp.telemetry import RATE_LEFT, RATE_WAIT

SHORT = 10
"""The first so many requests of a call go before later ones of other calls; then it is first come, first served."""

KEPT_REQUEST_IDS = 1000


class Clock:
    """Seconds of the running event loop's clock, and waiting for some. Tests put their own in its place."""

    def now(self) -> float:
        return anyio.current_time()

    async def sleep(self, seconds: float) -> None:
        await anyio.sleep(seconds)


SYSTEM_CLOCK = Clock()


class Spending:
    """What one call may spend, and what it has spent. `budget` is in seconds and begins now."""

    def __init__(self, clock: Clock, budget: float, caller: str = "") -> None:
        self._clock = clock
        self.budget = budget
        self.caller = caller
        self._began = clock.now()
        self.deadline = self._began + budget
        self.turns = 0
        """How many requests were asked for."""
        self.requests = 0
        """How many requests were sent, repeated ones included."""
        self.writes = 0
        """How many of them were writes."""
        self.request_ids: list[str] = []
        """Ids of the answers so far, oldest first; the last 1,000."""

    @property
    def remaining(self) -> float:
        """Seconds left of the budget, never below 0."""
        return max(0.0, self.deadline - self._clock.now())

    @property
    def elapsed(self) -> float:
        """Seconds since the call began."""
        return self._clock.now() - self._began

    def extend(self, seconds: float) -> None:
        """From now on there are so many seconds left."""
        self.budget, self.deadline = seconds, self._clock.now() + seconds

    def note(self, request_id: str | None) -> None:
        """Keeps the id of an answer."""
        if request_id:
            self.request_ids.append(request_id)
            del self.request_ids[:-KEPT_REQUEST_IDS]


@dataclass(frozen=True)
class Told:
    """What an answer says of the rate limit: requests left in the window (None: it does not say), how many fit into
    it, the seconds until it ends, and for how many seconds to send nothing."""

    left: int | None = None
    limit: int = 0
    reset: float = 0.0
    hold: float = 0.0


def told_by(response: httpx2.Response) -> Told:
    """What the answer's headers say."""
    headers = response.headers
    hold = wait_told(headers) or 1.0 if response.status_code == 429 else 0.0
    reset = seconds_in(headers.get("x-ratelimit-reset", ""))
    left = _whole(headers.get("x-ratelimit-remaining", ""))
    if reset is None or left is None:
        return Told(hold=hold)
    return Told(left, _whole(headers.get("x-ratelimit-limit", "")) or left, reset, hold)


class SharedBudget(Protocol):
    """One rate budget for several processes. A request is known by its ticket, from when it is taken until it ends."""

    async def take(self, ticket: str, *, is_probe: bool) -> float:
        """Lets one more request out: 0.0; else after how many seconds to ask again. A probe may go out although the API
        wants no request yet, one of all processes at a time."""
        ...

    async def end(self, ticket: str, told: Told | None, *, is_proof: bool) -> None:
        """The request came to its end; None: without an answer. `is_proof`: a probe was answered, so what was said
        before it no longer counts."""
        ...


class RateBudget:
    """How many requests the API would still take, according to its answers.

    Reads X-RateLimit-Limit, -Remaining and -Reset (seconds until the reset: documented; window and scope unknown).
    Requests under way count as spent until they are answered, so a burst does not overrun the limit.

    A wait of more than `max_pause` seconds is believed for that long. Then one request at a time probes; a success
    opens the way. A caller that has used more than an even share of the window leaves its last tenth to the others;
    the caller "" is alone and leaves nothing.
    """

    def __init__(self, clock: Clock, max_pause: float) -> None:
        self._clock = clock
        self._max_pause = max_pause
        self._left: int | None = None
        self._limit = 0
        self._reset_at = self._probe_at = self._held_until = self._hold_ends = 0.0
        self._blocked_at = float("-inf")
        self._under_way = 0
        self._used: Counter[str] = Counter()
        self._probing = False
        self._doubted = False
        """Whether a probe has disproved what the API says about a long wait."""

    def opens_at(self, caller: str = "") -> float:
        """The time from which a request of the caller may be sent; 0 if time does not stand in the way."""
        now = self._clock.now()
        held = self._held_until if now < self._held_until else 0.0
        if self._left is None or now >= self._reset_at or self._left > self._kept_from(caller):
            return held
        return max(self._probe_at, held)

    def seconds_told(self) -> float:
        """Seconds until the reset, by the API's own figure."""
        now = self._clock.now()
        return max(0.0, (self._hold_ends if now < self._held_until else self._reset_at) - now)

    def hold(self, seconds: float) -> None:
        """The budget of all processes lets nothing out for so long."""
        now = self._clock.now()
        self._held_until, self._hold_ends = now + min(seconds, self._max_pause), now + seconds

    def allows(self, caller: str = "") -> bool:
        """Whether one more request of the caller may be sent now."""
        now = self._clock.now()
        if now < self._held_until:
            return False
        if self._left is None or now >= self._reset_at:
            return True
        # A probe goes alone.
        return now >= self.opens_at(caller) and self._under_way < max(1, self._left - self._kept_from(caller))

    def depart(self, caller: str = "") -> float:
        """A request is about to be sent; its time, to be given back when it is answered."""
        now = self._clock.now()
        self._probing = self._left == 0 and now < self._reset_at
        self._under_way += 1
        self._used[caller] += 1
        return now

    @property
    def is_probing(self) -> bool:
        """Whether what departed just now only tries whether a long wait is meant."""
        return self._probing or self._clock.now() < self._hold_ends

    def arrive(self, departed: float, response: httpx2.Response | None) -> None:
        """A request came to its end, answered or not."""
        self._under_way -= 1
        probe, self._probing = self._probing, False
        if response is None or departed <= self._blocked_at:
            return
        if response.status_code == 429:
            self.block(wait_told(response.headers) or 0.0, 0.0)
            return
        if probe and response.status_code < 500:
            self._left, self._doubted = None, True
        told = told_by(response)
        left, reset = told.left, told.reset
        if left is None or (self._doubted and left == 0 and reset > self._max_pause):
            return
        self._doubted = False
        now = self._clock.now()
        until = now + reset
        # Answers overtake one another: within one window the lowest figure is the newest. A reset that moved by more
        # than the rounding of whole seconds, to either side, is another window.
        if self._left is not None and now < self._reset_at and abs(until - self._reset_at) <= 1.5:
            if left < self._left:
                RATE_LEFT.set(left)
                self._left, self._probe_at = left, min(self._reset_at, now + self._max_pause)
            return
        self._used.clear()
        self._limit = told.limit
        self._close(left, reset)

    def block(self, told: float, least: float) -> None:
        """The API wants no request for `told` seconds, 0 if it does not say, and for no less than `least`."""
        now = self._clock.now()
        known = self._reset_at - now if self._left == 0 and not told else 0.0
        self._blocked_at, self._doubted = now, False
        self._close(0, max(told, least, known))

    def _close(self, left: int, seconds: float) -> None:
        now = self._clock.now()
        self._left, self._reset_at = left, now + seconds
        RATE_LEFT.set(left)
        self._probe_at = now + min(seconds, self._max_pause)

    def _kept_from(self, caller: str) -> int:
        greedy = caller and self._used[caller] * (len(self._used) + 1) > self._limit
        return self._limit // 10 if greedy else 0


def _whole(text: str) -> int | None:
    text = text.strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


@dataclass(frozen=True)
class Ticket:
    """A request that was let out: when, and its name in the budget of all processes."""

    departed: float
    name: str
    is_probe: bool


class _Waiter:
    def __init__(self, caller: str, place: tuple[int, int]) -> None:
        self.caller = caller
        self.place = place
        self.ticket: Ticket | None = None
        self.wake = anyio.Event()


class Gate:
    """Lets requests out: at most `places` at once, as the rate budget allows, and as that of all processes does.

    Of the waiting requests, the next one belongs to the caller with the fewest under way; among those, to the call that
    has asked for the fewest so far; then to the one that came first.
    """

    def __init__(self, clock: Clock, *, places: int, max_pause: float, shared: SharedBudget | None = None) -> None:
        self._clock = clock
        self._places = places
        self._max_pause = max_pause
        self._shared = shared
        self._rate = RateBudget(clock, max_pause)
        self._under_way: Counter[str] = Counter()
        self._waiting: list[_Waiter] = []
        self._numbers = count()

    async def enter(self, spending: Spending, *, operation: str, method: str) -> Ticket:
        """Waits until one more request may be sent; its ticket, to be given back to `leave`, and then to `tell`.

        Raises RateLimited, without waiting, if the API's limit lasts longer than the call; OutOfTime.
        """
        place = min(spending.turns, SHORT), next(self._numbers)
        spending.turns += 1
        while True:
            ticket = await self._admitted(_Waiter(spending.caller, place), spending, operation, method)
            wait = float("inf")
            try:
                wait = await self._shared.take(ticket.name, is_probe=ticket.is_probe) if self._shared else 0.0
            finally:
                if wait:
                    self.leave(spending.caller, ticket, None, wait if wait < float("inf") else 0.0)
            if not wait:
                return ticket

    async def tell(self, ticket: Ticket, response: httpx2.Response | None) -> None:
        """Tells the other processes that the request came to its end, and what its answer says."""
        if self._shared is None:
            return
        told = told_by(response) if response is not None else None
        is_proof = ticket.is_probe and response is not None and response.status_code < 500 and not (told and told.hold)
        if is_proof and told and told.left == 0 and told.reset > self._max_pause:
            told = Told()
        await self._shared.end(ticket.name, told, is_proof=is_proof)

    async def _admitted(self, waiter: _Waiter, spending: Spending, operation: str, method: str) -> Ticket:
        self._waiting.append(waiter)
        try:
            self._admit()
            while waiter.ticket is None:
                await self._wait(waiter, spending, operation, method)
            if spending.remaining <= 0:
                raise OutOfTime(seconds=spending.budget)
        except BaseException:
            if waiter.ticket is None:
                self._waiting.remove(waiter)
            else:
                self.leave(spending.caller, waiter.ticket, None)
            raise
        return waiter.ticket

    async def _wait(self, waiter: _Waiter, spending: Spending, operation: str, method: str) -> None:
        opens_at, now = self._rate.opens_at(waiter.caller), self._clock.now()
        if now >= spending.deadline:
            raise OutOfTime(seconds=spending.budget)
        if opens_at >= spending.deadline:
            told = self._rate.seconds_told()
            raise RateLimited(
                f"PlusPlus takes no more requests for {told:,.0f} seconds. Nothing was sent.",
                retry_after=told,
                status=429,
                code="rate_limited",
                operation=operation,
                method=method,
            )
        with anyio.move_on_after(spending.deadline - now) as scope:
            if opens_at <= now:
                await waiter.wake.wait()
            else:
                try:
                    async with anyio.create_task_group() as group:
                        group.start_soon(self._wake_at, opens_at, waiter)
                        await waiter.wake.wait()
                        group.cancel_scope.cancel()
                finally:
                    RATE_WAIT.record(self._clock.now() - now)
        if scope.cancelled_caught and waiter.ticket is None:
            raise OutOfTime(seconds=spending.budget)
        if waiter.ticket is None:
            waiter.wake = anyio.Event()
            self._admit()

    async def _wake_at(self, time: float, waiter: _Waiter) -> None:
        # At least a tick: rounding may leave a rest too small to move the clock.
        await self._clock.sleep(max(time - self._clock.now(), 0.01))
        waiter.wake.set()

    def leave(self, caller: str, ticket: Ticket, response: httpx2.Response | None, hold: float = 0.0) -> None:
        """A request came to its end, with its answer or without one; nothing goes out for `hold` seconds."""
        self._under_way[caller] -= 1
        if not self._under_way[caller]:
            del self._under_way[caller]
        if hold:
            self._rate.hold(hold)
        self._change(lambda: self._rate.arrive(ticket.departed, response))

    def block(self, told: float, least: float) -> None:
        """A 429 asks for a wait of `told` seconds, or does not say; `least` is waited for in any case."""
        self._change(lambda: self._rate.block(told, least))

    def _change(self, change: Callable[[], None]) -> None:
        before = [(waiter, self._rate.opens_at(waiter.caller)) for waiter in self._waiting]
        change()
        self._admit()
        for waiter, opens_at in before:
            if self._rate.opens_at(waiter.caller) != opens_at:
                waiter.wake.set()

    def _admit(self) -> None:
        while self._under_way.total() < self._places:
            fit = [waiter for waiter in self._waiting if self._rate.allows(waiter.caller)]
            if not fit:
                return
            chosen = min(fit, key=lambda waiter: (self._under_way[waiter.caller], waiter.place))
            self._waiting.remove(chosen)
            self._under_way[chosen.caller] += 1
            departed = self._rate.depart(chosen.caller)
            chosen.ticket = Ticket(departed, uuid4().hex if self._shared else "", self._rate.is_probing)
            chosen.wake.set()
