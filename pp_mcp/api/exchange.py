"""From a request to its readable answer: waiting, sending, repeating, giving up. What `client.py` speaks through."""

import logging
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import anyio
import anyio.lowlevel

from pp_mcp.api.clock import Clock
from pp_mcp.api.limits import RateBudget
from pp_mcp.api.retry import ATTEMPTS, UNREADABLE, may_repeat, nothing_happened, pause, settles
from pp_mcp.api.routes import Route
from pp_mcp.api.wire import Answer, Lost, Request, Unreadable, Unsent, Wire
from pp_mcp.errors import (
    AnswerLost,
    NotReached,
    OutOfTime,
    PlusPlusError,
    RateLimited,
    UnexpectedAnswer,
    clean,
    error_from_answer,
    wait_told,
)

T = TypeVar("T")

log = logging.getLogger("pp_mcp.api")

KEPT_REQUEST_IDS = 1000


@dataclass(frozen=True)
class Exchanged(Generic[T]):
    value: T
    answer: Answer
    attempts: int


class Line:
    """What all calls of the process share: the connections, the rate budget, the number of requests under way."""

    def __init__(
        self,
        wire: Wire,
        clock: Clock,
        *,
        timeout: float,
        max_concurrency: int,
        chance: Callable[[], float] | None = None,
    ) -> None:
        self.wire = wire
        self.clock = clock
        self.timeout = timeout
        self.limits = RateBudget(clock)
        self.capacity = anyio.CapacityLimiter(max_concurrency)
        # Not for secrets: only spreads repeated requests.
        self.chance = chance or random.random


class Exchange:
    """The requests of one call, under one deadline."""

    def __init__(self, line: Line, budget: float) -> None:
        self._line = line
        self.budget = budget
        self._deadline = line.clock.now() + budget
        self.requests = 0
        self.request_ids: list[str] = []

    @property
    def remaining(self) -> float:
        """Seconds left of the budget, never below 0."""
        return max(0.0, self._deadline - self._line.clock.now())

    async def run(
        self,
        operation: str,
        route: Route,
        request: Request,
        read: Callable[[Answer], T],
        *,
        gone: Callable[[Answer], T] | None = None,
    ) -> Exchanged[T]:
        """Sends `request` until `read` makes a value of a 2xx (or 304) answer.

        `gone` makes the value when a *repeated* request is answered with 404: what was to be deleted is deleted.
        Raises the errors of the tree in `pp_mcp.errors`.
        """
        attempts = faults = limited = 0
        pending: PlusPlusError | None = None
        while True:
            try:
                answer = await self._send(operation, request)
            except (NotReached, AnswerLost) as lost:
                attempts += 1
                error: PlusPlusError = lost
            except (OutOfTime, RateLimited) as refused:
                raise pending or refused from None
            else:
                attempts += 1
                if gone is not None and pending is not None and answer.status == 404:
                    return Exchanged(gone(answer), answer, attempts)
                try:
                    return Exchanged(self._read(operation, request, answer, read), answer, attempts)
                except PlusPlusError as wrong:
                    error = wrong
            if isinstance(error, RateLimited):
                limited += 1
                told = error.retry_after
                # What the API asks for, yet ever longer if it keeps refusing: it may ask for next to nothing.
                delay = max(told, pause(limited, self._line.chance, first=0.05 if told else 1.0))
                error.retry_after = delay
                self._line.limits.block(delay)
            else:
                faults += 1
                delay = pause(faults, self._line.chance)
            if not may_repeat(route, error) or faults >= ATTEMPTS or delay >= self.remaining:
                raise self._final(error, pending)
            if route.is_write and not nothing_happened(error):
                pending = error
            if not isinstance(error, RateLimited):
                await self._line.clock.sleep(delay)

    def _final(self, error: PlusPlusError, pending: PlusPlusError | None) -> PlusPlusError:
        if pending is not None and not settles(error):
            return pending
        if isinstance(error, AnswerLost) and not error.is_write and self.remaining <= 0.05:
            return OutOfTime(seconds=self.budget)
        return error

    async def _send(self, operation: str, request: Request) -> Answer:
        limits, capacity = self._line.limits, self._line.capacity
        while True:
            await limits.turn(self._deadline, operation=operation, method=request.method)
            await self._seat(capacity)
            try:
                # The wait for a place may have used up the rate or the time.
                if self.remaining <= 0:
                    raise OutOfTime(seconds=self.budget)
                if limits.is_open():
                    return await self._send_now(operation, request)
            finally:
                capacity.release()

    async def _seat(self, capacity: anyio.CapacityLimiter) -> None:
        with anyio.move_on_after(self.remaining):
            await capacity.acquire()
            return
        raise OutOfTime(seconds=self.budget)

    async def _send_now(self, operation: str, request: Request) -> Answer:
        seconds = min(self._line.timeout, self.remaining)
        if request.method == "GET":
            return await self._attempt(operation, request, seconds)
        cut_off = AnswerLost("it was cut off", operation=operation, method=request.method, is_write=True)
        outcome: Answer | PlusPlusError = cut_off
        try:
            # A write that has begun is not abandoned halfway: nobody would know what became of it.
            with anyio.CancelScope(shield=True):
                outcome = await self._outcome(operation, request, seconds)
            await anyio.lowlevel.checkpoint_if_cancelled()
        except anyio.get_cancelled_exc_class():
            self._log_abandoned(operation, request, outcome)
            raise
        if isinstance(outcome, PlusPlusError):
            raise outcome
        return outcome

    async def _outcome(self, operation: str, request: Request, seconds: float) -> Answer | PlusPlusError:
        try:
            return await self._attempt(operation, request, seconds)
        except PlusPlusError as error:
            return error

    def _log_abandoned(self, operation: str, request: Request, outcome: Answer | PlusPlusError) -> None:
        if isinstance(outcome, Answer):
            ending = f"completed with status {outcome.status} (request id {request_id_of(outcome)})"
        else:
            ending = "was not sent" if isinstance(outcome, NotReached) else "was sent, its outcome is unknown"
        log.warning("the client gave up; the write %s %s %s", request.method, operation, ending)

    async def _attempt(self, operation: str, request: Request, seconds: float) -> Answer:
        started = self._line.clock.now()
        answer: Answer | None = None
        is_write = request.method != "GET"
        self._line.limits.depart()
        outcome = "cancelled"
        try:
            answer = await self._line.wire.send(request, seconds)
            self.requests += 1
            outcome = str(answer.status)
            return answer
        except Unsent as fault:
            outcome = f"not reached ({fault})"
            raise NotReached(str(fault), operation=operation, method=request.method) from None
        except Lost as fault:
            self.requests += 1
            outcome = f"answer lost ({fault})"
            raise AnswerLost(str(fault), operation=operation, method=request.method, is_write=is_write) from None
        finally:
            # What a 429 says about waiting goes through block(), which heeds Retry-After first.
            self._line.limits.arrive(None if answer is None or answer.status == 429 else answer.headers)
            request_id = self._note_request_id(answer)
            elapsed = (self._line.clock.now() - started) * 1000
            log.debug("%s %s: %s in %.0f ms, request id %s", request.method, operation, outcome, elapsed, request_id)

    def _note_request_id(self, answer: Answer | None) -> str | None:
        request_id = request_id_of(answer)
        if request_id:
            self.request_ids.append(request_id)
            del self.request_ids[:-KEPT_REQUEST_IDS]
        return request_id

    def _read(self, operation: str, request: Request, answer: Answer, read: Callable[[Answer], T]) -> T:
        unchanged = answer.status == 304 and "if-none-match" in request.headers
        if not (200 <= answer.status <= 299 or unchanged):
            error = error_from_answer(answer.status, answer.headers, answer.body, operation, request.method)
            if isinstance(error, RateLimited) and wait_told(answer.headers) is None:
                error.retry_after = 0.0
            raise error
        try:
            return read(answer)
        except Unreadable as fault:
            raise unreadable(str(fault), operation, request, answer) from None


def unreadable(detail: str, operation: str, request: Request, answer: Answer) -> PlusPlusError:
    """A 2xx answer that cannot be read: a write may have happened, a read has simply failed."""
    if request.method != "GET":
        said = f"it came with status {answer.status}, but {detail}"
        return AnswerLost(said, operation=operation, method=request.method, is_write=True, status=answer.status)
    return UnexpectedAnswer(
        f"The answer to {operation} cannot be read: {detail}",
        detail=detail,
        status=answer.status,
        code="too_large" if answer.oversized else UNREADABLE,
        operation=operation,
        method=request.method,
        request_id=request_id_of(answer),
    )


def request_id_of(answer: Answer | None) -> str | None:
    """The id support asks for: of the error envelope (documented), else of the header X-Request-Id (inferred)."""
    if answer is None:
        return None
    if answer.status >= 400:
        return error_from_answer(answer.status, answer.headers, answer.body, "", "").request_id
    return clean(answer.headers.get("x-request-id", ""), 200) or None
