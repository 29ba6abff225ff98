"""Sending a request: once, again, or not at all.

What went wrong                             | GET | PUT, DELETE, assign, bulk (un)archive | other writes
--------------------------------------------|-----|---------------------------------------|-------------
429: nothing happened                       | yes | yes                                   | yes
connecting failed, no free connection       | yes | yes                                   | yes
5xx, broken connection, timeout, unreadable | yes | yes                                   | never
any other answer                            | no  | no                                    | no

"Yes" means that it is sent again: after a 429 as long as the call's time budget covers the wait, otherwise up to
ATTEMPTS times.
"""

import json
import logging
import random
import socket
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from functools import cache
from http.cookiejar import CookieJar, DefaultCookiePolicy
from ipaddress import ip_address
from typing import Any, Generic, TypeVar, cast

import anyio
import anyio.lowlevel
import httpx2
from pydantic import SecretStr

from pp_mcp.api.limits import Clock, Gate, Spending
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
)
from pp_mcp.telemetry import API_RETRIES, Ending, api_request

T = TypeVar("T")

log = logging.getLogger("pp_mcp.api")

ATTEMPTS = 3
LONGEST_PAUSE = 30.0  # seconds
LONGEST_CONNECT = 10.0  # seconds; the call's budget then allows another try
LARGEST_BODY = 32 * 1024 * 1024  # bytes, after decompression
LARGEST_DEPTH = 50  # of nested objects and lists
LARGEST_NUMBER = 1e18

UNREADABLE = "unreadable"
"""Code of an UnexpectedAnswer that may be readable when asked for again."""

NOTHING_HAPPENED = (NotReached, RateLimited)
"""Errors after which the request certainly had no effect and may soon succeed."""

SETTLING = (NotFound, Conflict, Rejected, ServerFailure, AnswerLost)
"""Errors that, in answer to a repeated write, are reported instead of the failure that caused the repeat.

An answer about the target shows what became of it; another failure is as good as the first. An answer about the token
or the rate, or a failure to connect, says nothing about the first attempt.
"""


def may_repeat(route: Route, error: PlusPlusError) -> bool:
    """Whether the operation may be sent again after `error`."""
    unreadable = isinstance(error, UnexpectedAnswer) and error.status <= 299 and error.code == UNREADABLE
    passing = unreadable or isinstance(error, AnswerLost | ServerFailure)
    return isinstance(error, NOTHING_HAPPENED) or (route.repeatable and passing)


def pause(attempt: int, chance: Callable[[], float], *, first: float = 0.25) -> float:
    """Seconds to wait after attempt number `attempt`: doubling from `first`, plus up to as much again by chance."""
    return min(LONGEST_PAUSE, first * 2 ** (attempt - 1) * (1 + chance()))


class Oversized(ValueError):
    """An answer larger than LARGEST_BODY."""


def json_of(response: httpx2.Response) -> object:
    """The body of an answer. Raises ValueError that says in plain words why it cannot be read."""
    body = response.content
    if len(body) > LARGEST_BODY:
        raise Oversized(f"it is larger than {LARGEST_BODY // 1024 // 1024} MiB")
    try:
        value = cast(object, json.loads(body, parse_int=_number, parse_float=_number, parse_constant=_number))
        depth = _depth([value])
    except (ValueError, RecursionError):
        start = body[:200].lstrip().lower()
        if start.startswith((b"<!doctype", b"<html")):
            raise ValueError("it is a web page instead of JSON. Check PP_BASE_URL") from None
        raise ValueError("it is not valid JSON" if start else "it is empty") from None
    if depth > LARGEST_DEPTH + 1:
        raise ValueError(f"it is nested more than {LARGEST_DEPTH} levels deep")
    return value


def _number(text: str) -> int | float:
    value = float(text)
    if not abs(value) < LARGEST_NUMBER:
        raise ValueError("NaN, infinity or a number beyond all reason")
    return int(text) if text.lstrip("-").isdigit() else value


def _depth(value: object) -> int:
    depth, level = 0, [value]
    while level:
        depth += 1
        inner = [
            cast(dict[str, object], one).values() if type(one) is dict else cast(list[object], one) for one in level
        ]
        level = [one for values in inner for one in values if type(one) in (dict, list)]
    return depth


def request_id_of(response: httpx2.Response) -> str | None:
    """The id support asks for: from the error envelope (documented), else from the header X-Request-Id (inferred)."""
    if response.status_code >= 400:
        return error_from_answer(response.status_code, response.headers, response.content, "", "").request_id
    return clean(response.headers.get("x-request-id", ""), 200) or None


@dataclass(frozen=True)
class Written(Generic[T]):
    """What a request came to: the value read from its answer, the HTTP status, how often it was sent."""

    value: T
    status: int
    attempts: int
    request_id: str | None


class Sender:
    """Sends the requests of all calls of the process, which share its connections and the rate budget."""

    def __init__(
        self,
        *,
        base_url: str,
        token: SecretStr,
        user_agent: str,
        clock: Clock,
        timeout: float,
        max_concurrency: int,
        max_pause: float,
        transport: httpx2.AsyncBaseTransport | None,
        chance: Callable[[], float] | None,
    ) -> None:
        for name in ("httpx2", "httpcore2"):
            # They log whole URLs, and queries hold names and e-mail addresses.
            logging.getLogger(name).setLevel(logging.WARNING)
        try:
            url = httpx2.URL(base_url)
        except httpx2.InvalidURL:
            url = httpx2.URL()
        if not url.is_absolute_url:
            raise ValueError("base_url must be an absolute http(s) URL")
        trust_env = not _is_loopback(url.host)
        self.http = httpx2.AsyncClient(
            base_url=base_url,
            headers={
                "Authorization": f"Bearer {token.get_secret_value()}",
                "Accept": "application/json",
                "User-Agent": user_agent,
            },
            # A session cookie would be a second identity beside the token.
            cookies=CookieJar(policy=DefaultCookiePolicy(allowed_domains=[])),
            follow_redirects=False,
            limits=httpx2.Limits(max_connections=max_concurrency, max_keepalive_connections=max_concurrency),
            transport=transport,
            # A proxy named in the environment would see the token, and cannot reach a loopback address anyway.
            trust_env=trust_env,
            verify=_tls(trust_env=trust_env) if transport is None else True,
        )
        self._base_url, self._headers = base_url.rstrip("/"), dict(self.http.headers)
        # Shorter texts are no secrets, and may stand anywhere by chance.
        self._secret = token.get_secret_value().encode() if len(token.get_secret_value()) >= 8 else None
        self._timeout = timeout
        self._max_pause = max_pause
        self._gate = Gate(clock, places=max_concurrency, max_pause=max_pause)
        self._chance = chance or random.random  # not for secrets: only spreads repeated requests
        self.clock = clock

    def request(
        self, method: str, path: str, query: Mapping[str, str], body: object, headers: Mapping[str, str] | None
    ) -> httpx2.Request:
        """A request to the tenant. The client's own way of building one parses the address four times.

        Raises ValueError for a body that is not JSON.
        """
        url = f"{self._base_url}/{path.lstrip('/')}"
        return httpx2.Request(
            method, url, params=query or None, json=body, headers={**self._headers, **(headers or {})}
        )

    async def send(
        self,
        operation: str,
        route: Route,
        request: httpx2.Request,
        spending: Spending,
        read: Callable[[httpx2.Response], T],
        *,
        gone: Callable[[httpx2.Response], T] | None = None,
    ) -> Written[T]:
        """Sends `request` until `read` makes a value of a 2xx (or 304) answer, or raises ValueError.

        `gone` makes the value when a *repeated* request is answered with 404: what was to be deleted is deleted.
        Raises the errors of the tree in `pp_mcp.errors`.
        """
        attempts = faults = limited = 0
        pending: PlusPlusError | None = None
        while True:
            try:
                departed = await self._gate.enter(spending, operation=operation, method=request.method)
            except (OutOfTime, RateLimited) as refused:
                raise pending or refused from None
            attempts += 1
            try:
                if attempts > 1:
                    API_RETRIES.add(1, {"route": route.path})
                with api_request(request.method, route.path, self.http.base_url.host) as ending:
                    response = await self._attempt(operation, request, spending, departed, ending)
                lost = gone is not None and pending is not None and response.status_code == 404
                value = gone(response) if gone and lost else _read(operation, request, response, read)
                return Written(value, response.status_code, attempts, request_id_of(response))
            except PlusPlusError as fault:
                error = fault
            if isinstance(error, RateLimited):
                limited, told = limited + 1, error.retry_after
                # What the API asks for, yet ever longer if it keeps refusing: it may ask for next to nothing.
                delay = error.retry_after = max(told, pause(limited, self._chance, first=0.05 if told else 1.0))
                self._gate.block(told, delay)
                delay = min(delay, self._max_pause)
            else:
                faults += 1
                delay = pause(faults, self._chance)
            if not may_repeat(route, error) or faults >= ATTEMPTS or delay >= spending.remaining:
                if pending is not None and not isinstance(error, SETTLING):
                    raise pending
                if isinstance(error, AnswerLost) and not error.may_have_happened and spending.remaining <= 0.05:
                    raise OutOfTime(seconds=spending.budget)
                raise error
            if route.is_write and not isinstance(error, NOTHING_HAPPENED):
                pending = error
            if not isinstance(error, RateLimited):
                await self.clock.sleep(delay)

    async def look(self, operation: str, request: httpx2.Request, spending: Spending) -> httpx2.Response:
        """The answer to a request that changes nothing, whatever its status. It is sent once; errors as of `send`."""
        departed = await self._gate.enter(spending, operation=operation, method=request.method)
        return await self._attempt(operation, request, spending, departed, Ending())

    async def _attempt(
        self, operation: str, request: httpx2.Request, spending: Spending, departed: float, ending: Ending
    ) -> httpx2.Response:
        """Sends once and leaves the gate. Raises NotReached, AnswerLost."""
        method, is_write = request.method, request.method != "GET"
        outcome: httpx2.Response | NotReached | AnswerLost
        outcome = AnswerLost("it was cut off", operation=operation, method=method)
        try:
            # A write that has begun is not abandoned halfway: nobody would know what became of it.
            with anyio.CancelScope(shield=is_write):
                outcome = await self._exchange(operation, request, min(self._timeout, spending.remaining))
            ending.outcome = outcome.status_code if isinstance(outcome, httpx2.Response) else type(outcome).__name__
            await anyio.lowlevel.checkpoint_if_cancelled()
        except anyio.get_cancelled_exc_class():
            if is_write:
                log.warning("the client gave up; the write %s %s %s", method, operation, _ending(outcome))
            raise
        finally:
            response = outcome if isinstance(outcome, httpx2.Response) else None
            self._gate.leave(spending.caller, departed, response)
            spending.requests += not isinstance(outcome, NotReached)
            spending.writes += is_write and not isinstance(outcome, NotReached)
            spending.note(response and request_id_of(response))
            if log.isEnabledFor(logging.DEBUG):
                elapsed = (self.clock.now() - departed) * 1000
                log.debug("%s %s %s, %.0f ms", method, operation, _ending(outcome), elapsed)
        if isinstance(outcome, httpx2.Response):
            return outcome
        raise outcome

    async def _exchange(
        self, operation: str, request: httpx2.Request, seconds: float
    ) -> httpx2.Response | NotReached | AnswerLost:
        """What became of a request that is sent once, within `seconds`."""
        connecting = complete = False
        head: httpx2.Response | None = None
        body = bytearray()
        reason = ""

        async def trace(event: str, _info: Mapping[str, Any]) -> None:
            nonlocal connecting
            if event == "connection.connect_tcp.started":
                connecting = True
            elif event.endswith(".send_request_headers.started"):
                connecting = False

        timeout = httpx2.Timeout(seconds, connect=min(seconds, LONGEST_CONNECT))
        request.extensions = {"timeout": timeout.as_dict(), "trace": trace}
        # httpx2 bounds each step of a request; the scope bounds the whole of it.
        with anyio.move_on_after(seconds):
            try:
                head = await self.http.send(request, stream=True)
                async with aclosing(head), aclosing(head.aiter_bytes()) as chunks:
                    async for chunk in chunks:
                        body += chunk
                        if len(body) > LARGEST_BODY:
                            break
                complete = True
            except httpx2.DecodingError:
                body.clear()
                complete = True
            except (httpx2.HTTPError, httpx2.StreamError, httpx2.InvalidURL, httpx2.CookieConflict) as fault:
                reason, connecting = reason_of(fault), isinstance(fault, tuple(UNSENT))
        # An error status says all that matters, even if the rest of the answer broke off.
        if head is not None and (complete or head.status_code >= 400):
            return self._whole(head, body)
        if connecting:
            return NotReached(reason or "connecting timed out", operation=operation, method=request.method)
        reason = reason or f"no answer in {seconds:.3g} seconds"
        return AnswerLost(reason, operation=operation, method=request.method)

    def _whole(self, head: httpx2.Response, body: bytes | bytearray) -> httpx2.Response:
        """An answer whose body was read and decompressed, without our token if the API echoes it."""

        def hide(text: bytes) -> bytes:
            return text.replace(self._secret, b"[API token]") if self._secret else text

        packing = (b"content-encoding", b"content-length", b"transfer-encoding")
        # As bytes: a header may hold anything, and httpx2 would encode text as ASCII.
        headers = [(name, hide(value)) for name, value in head.headers.raw if name.lower() not in packing]
        return httpx2.Response(head.status_code, headers=headers, content=hide(bytes(body)))


_tls = cache(httpx2.create_ssl_context)
"""Reading the certificates takes 20 ms and a megabyte: clients of many callers share them."""


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _ending(outcome: httpx2.Response | NotReached | AnswerLost) -> str:
    if isinstance(outcome, httpx2.Response):
        return f"completed with status {outcome.status_code} (request id {request_id_of(outcome)})"
    what = "was not sent" if isinstance(outcome, NotReached) else "was sent, its outcome is unknown"
    return f"{what} ({outcome.detail})"


def _read(
    operation: str, request: httpx2.Request, response: httpx2.Response, read: Callable[[httpx2.Response], T]
) -> T:
    status = response.status_code
    if not (response.is_success or (status == 304 and "if-none-match" in request.headers)):
        raise error_from_answer(status, response.headers, response.content, operation, request.method)
    try:
        return read(response)
    except ValueError as fault:
        detail, code = str(fault), "too_large" if isinstance(fault, Oversized) else UNREADABLE
    if request.method != "GET":
        said = f"it came with status {status}, but {detail}"
        raise AnswerLost(said, operation=operation, method=request.method, status=status)
    raise UnexpectedAnswer(
        f"The answer to {operation} cannot be read: {detail}",
        detail=detail,
        code=code,
        status=status,
        operation=operation,
        method=request.method,
        request_id=request_id_of(response),
    )


UNSENT: dict[type[Exception], str] = {
    httpx2.PoolTimeout: "no connection was free in time",
    httpx2.ConnectTimeout: "connecting timed out",
    httpx2.ProxyError: "the proxy failed",
    httpx2.ConnectError: "connecting failed",
    httpx2.UnsupportedProtocol: "the address is neither http nor https",
    httpx2.LocalProtocolError: "the request cannot be sent over HTTP",
    httpx2.InvalidURL: "the address is not valid",
}
"""Exceptions after which nothing was sent."""

REASONS: dict[type[Exception], str] = {
    socket.gaierror: "DNS lookup failed",
    ssl.SSLCertVerificationError: "TLS certificate not accepted",
    ssl.SSLError: "TLS failed",
    ConnectionRefusedError: "connection refused",
    ConnectionResetError: "connection reset",
    **UNSENT,
    httpx2.TimeoutException: "it took too long",
    httpx2.TransportError: "the connection broke off",
}


def reason_of(fault: BaseException) -> str:
    """Why an exchange failed, by the classes of its causes; never by their text, which may hold addresses."""
    causes = list(_causes(fault))
    found = (reason for kind, reason in REASONS.items() if any(isinstance(cause, kind) for cause in causes))
    return next(found, "the exchange failed")


def _causes(fault: BaseException | None, depth: int = 0) -> Iterator[BaseException]:
    if fault is None or depth > 12:
        return
    yield fault
    if isinstance(fault, BaseExceptionGroup):
        for inner in cast(BaseExceptionGroup[BaseException], fault).exceptions:
            yield from _causes(inner, depth + 1)
    yield from _causes(fault.__cause__ or fault.__context__, depth + 1)
