"""When a request is sent again: the policy, as pure functions.

fault                                       | GET | PUT, DELETE, assign, bulk (un)archive | other writes
--------------------------------------------|-----|---------------------------------------|-------------
429: nothing happened                       | yes | yes                                   | yes
connecting failed, no free connection       | yes | yes                                   | yes
5xx, broken connection, timeout, unreadable | yes | yes                                   | never
other answers                               | no  | no                                    | no

429 is repeated as long as the call's time budget allows the wait, everything else up to ATTEMPTS times.
"""

import errno
import json
import logging
import random
import socket
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, Generic, TypeVar, cast

import anyio
import anyio.lowlevel
import httpx2
from pydantic import SecretStr

from pp_mcp.api.limits import Clock, RateBudget
from pp_mcp.api.routes import Route
from pp_mcp.errors import (
    AnswerLost,
    Conflict,
    NotFound,
    NotReached,
    OutOfTime,
    PlusPlusError,
    RateLimited,
    Rejected,
    ServerFailure,
    UnexpectedAnswer,
    clean,
    error_from_answer,
    wait_told,
)

ATTEMPTS = 3

UNREADABLE = "unreadable"
"""Code of an UnexpectedAnswer with a 2xx status whose body may be readable next time."""

LONGEST_PAUSE = 30.0
"""Seconds."""


def may_repeat(route: Route, error: PlusPlusError) -> bool:
    """Whether the operation may be sent again after `error`."""
    return nothing_happened(error) or (route.repeatable and is_passing(error))


def nothing_happened(error: PlusPlusError) -> bool:
    """Whether the request surely had no effect and may soon succeed."""
    return isinstance(error, NotReached | RateLimited)


def is_passing(error: PlusPlusError) -> bool:
    """Whether the fault lies in transport or server, so that the same request may succeed when sent again."""
    unreadable = isinstance(error, UnexpectedAnswer) and error.status <= 299 and error.code == UNREADABLE
    return unreadable or isinstance(error, AnswerLost | ServerFailure)


def settles(error: PlusPlusError) -> bool:
    """Whether `error`, after a repeated write, may be told in place of the fault that made it be repeated.

    An answer about the thing itself tells what became of it, another loss or failure tells as much as the first.
    One about the token or the rate, or a failure to connect, says nothing of the attempt before.
    """
    return isinstance(error, NotFound | Conflict | Rejected | ServerFailure | AnswerLost)


def pause(attempt: int, chance: Callable[[], float], *, first: float = 0.25) -> float:
    """Seconds to wait after attempt number `attempt`: doubling from `first`, up to twice that by chance (0 to 1)."""
    return min(LONGEST_PAUSE, first * 2 ** (attempt - 1) * (1 + chance()))


LARGEST_BODY = 32 * 1024 * 1024
"""Bytes, after decompression."""

LONGEST_CONNECT = 10.0
"""Seconds; a host that does not answer by then may be tried again within the call's budget."""


class Unsent(Exception):
    """Nothing was sent; the text is a short class of reasons."""


class Lost(Exception):
    """It was sent, and no whole answer came; the text is a short class of reasons."""


class Unreadable(Exception):
    """An answer came and makes no sense; the text says why in plain words."""


@dataclass(frozen=True)
class Request:
    """`content` is JSON. `headers` come on top of those every request has."""

    method: str
    path: str
    query: Mapping[str, str]
    content: bytes | None
    headers: Mapping[str, str]


@dataclass(frozen=True)
class Answer:
    """`headers` have lower-case names; `body` is decompressed, and broken off at LARGEST_BODY if `oversized`."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    oversized: bool = False

    def json(self) -> object:
        """Raises Unreadable."""
        if self.oversized:
            raise Unreadable(f"it is larger than {LARGEST_BODY // 1024 // 1024} MiB")
        try:
            return cast(object, json.loads(self.body))
        except (ValueError, RecursionError):
            start = self.body[:200].lstrip().lower()
        if start.startswith((b"<!doctype", b"<html")):
            raise Unreadable("a web page in place of JSON. Check PP_BASE_URL")
        raise Unreadable("JSON was expected" if start else "it is empty")


class Wire:
    """The connections to one base URL, kept for reuse."""

    def __init__(
        self,
        *,
        base_url: str,
        token: SecretStr,
        user_agent: str,
        connections: int,
        transport: httpx2.AsyncBaseTransport | None,
    ) -> None:
        for name in ("httpx2", "httpcore2"):
            # They log whole URLs, and queries hold names and e-mail addresses.
            logging.getLogger(name).setLevel(logging.WARNING)
        self._base_url = base_url.rstrip("/")
        try:
            usable = httpx2.URL(self._base_url).is_absolute_url
        except httpx2.InvalidURL:
            usable = False
        if not usable:
            raise ValueError("base_url must be an absolute http(s) URL")
        self._client = httpx2.AsyncClient(
            headers={
                "Authorization": f"Bearer {token.get_secret_value()}",
                "Accept": "application/json",
                "User-Agent": user_agent,
            },
            # A session cookie would be a second identity beside the token.
            cookies=CookieJar(policy=DefaultCookiePolicy(allowed_domains=[])),
            follow_redirects=False,
            limits=httpx2.Limits(max_connections=connections, max_keepalive_connections=connections),
            transport=transport,
        )

    async def aclose(self) -> None:
        await self._client.aclose()

    async def send(self, request: Request, seconds: float) -> Answer:
        """Sends once, for `seconds` at most in all. Raises Unsent, Lost."""
        sending = _Sending()
        # httpx2 bounds each step of a request; the scope bounds the whole of it.
        with anyio.move_on_after(seconds):
            try:
                return await self._stream(request, sending, seconds)
            except (httpx2.HTTPError, httpx2.StreamError, httpx2.InvalidURL, httpx2.CookieConflict) as fault:
                if sending.settled():
                    return sending.answer()
                if _was_unsent(fault):
                    raise Unsent(reason_of(fault)) from None
                raise Lost(reason_of(fault)) from None
        if sending.settled():
            return sending.answer()
        if sending.connecting:
            raise Unsent("connecting timed out")
        raise Lost(f"no answer in {seconds:.3g} seconds")

    async def _stream(self, request: Request, sending: "_Sending", seconds: float) -> Answer:
        built = self._client.build_request(
            request.method,
            self._base_url + request.path,
            params=dict(request.query) or None,
            content=request.content,
            headers={**request.headers, **({"Content-Type": "application/json"} if request.content else {})},
            timeout=httpx2.Timeout(seconds, connect=min(seconds, LONGEST_CONNECT)),
            extensions={"trace": sending.trace},
        )
        response = await self._client.send(built, stream=True)
        try:
            sending.status = response.status_code
            sending.headers = {name.lower(): value for name, value in response.headers.items()}
            async with aclosing(response.aiter_bytes()) as chunks:
                async for chunk in chunks:
                    sending.body += chunk
                    if len(sending.body) > LARGEST_BODY:
                        sending.oversized = True
                        break
        except httpx2.DecodingError:
            sending.body.clear()
        finally:
            await response.aclose()
        return sending.answer()


class _Sending:
    """How far one request has come, which decides what its failure means."""

    def __init__(self) -> None:
        self.connecting = False
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body = bytearray()
        self.oversized = False

    async def trace(self, event: str, _info: Mapping[str, Any]) -> None:
        if event == "connection.connect_tcp.started":
            self.connecting = True
        elif event.endswith(".send_request_headers.started"):
            self.connecting = False

    def settled(self) -> bool:
        """An error status says all that matters, even if the rest of the answer broke off."""
        return self.status >= 400

    def answer(self) -> Answer:
        return Answer(self.status, self.headers, bytes(self.body), self.oversized)


def _was_unsent(fault: Exception) -> bool:
    kinds = (
        httpx2.ConnectError,
        httpx2.ConnectTimeout,
        httpx2.PoolTimeout,
        httpx2.ProxyError,
        httpx2.LocalProtocolError,
        httpx2.UnsupportedProtocol,
        httpx2.InvalidURL,
    )
    return isinstance(fault, kinds)


_REASONS: tuple[tuple[type[BaseException], str], ...] = (
    (socket.gaierror, "DNS lookup failed"),
    (ssl.SSLCertVerificationError, "TLS certificate not accepted"),
    (ssl.SSLError, "TLS failed"),
    (ConnectionRefusedError, "connection refused"),
    (ConnectionResetError, "connection reset"),
    (httpx2.PoolTimeout, "no connection was free in time"),
    (httpx2.ConnectTimeout, "connecting timed out"),
    (httpx2.TimeoutException, "it took too long"),
    (httpx2.ProxyError, "the proxy failed"),
    (httpx2.ConnectError, "connecting failed"),
    (httpx2.UnsupportedProtocol, "the address is neither http nor https"),
    (httpx2.LocalProtocolError, "the request cannot be put into HTTP"),
    (httpx2.RemoteProtocolError, "the connection broke off"),
    (httpx2.NetworkError, "the connection broke off"),
)

_REASONS_BY_ERRNO = {
    errno.ECONNREFUSED: "connection refused",
    errno.ENETUNREACH: "network unreachable",
    errno.EHOSTUNREACH: "host unreachable",
}


def reason_of(fault: BaseException) -> str:
    """A short class of reasons for a fault, from the causes below it; never its text, which may hold addresses."""
    causes = list(_causes(fault))
    for cause in causes:
        if isinstance(cause, OSError) and cause.errno in _REASONS_BY_ERRNO:
            return _REASONS_BY_ERRNO[cause.errno]
    for kind, reason in _REASONS:
        if any(isinstance(cause, kind) for cause in causes):
            return reason
    return "the exchange failed"


def _causes(fault: BaseException | None, depth: int = 0) -> Iterator[BaseException]:
    if fault is None or depth > 12:
        return
    yield fault
    if isinstance(fault, BaseExceptionGroup):
        for inner in cast(BaseExceptionGroup[BaseException], fault).exceptions:
            yield from _causes(inner, depth + 1)
    yield from _causes(fault.__cause__ or fault.__context__, depth + 1)


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
