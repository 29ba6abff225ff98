"""One request over HTTP and what came of it. The only module that knows httpx2, whose exceptions end here."""

import errno
import json
import logging
import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, cast

import anyio
import httpx2
from pydantic import SecretStr

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
