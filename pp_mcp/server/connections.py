"""A limit on open connections: uvicorn's HTTP/1.1 protocol, which by itself lets anyone open any number for ever."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, ClassVar, cast

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

log = logging.getLogger("pp_mcp.server")

REQUEST_SECONDS = 15.0
"""Seconds from the first byte of a request to its last."""

REFUSAL_SECONDS = 2.0
"""Seconds that a refused connection may take to send its request and read the refusal."""

IDLE_SECONDS = 1.0
"""Seconds after an answer for which a connection is not closed to make room: its client is about to ask again, and a
request that meets a closing connection is lost."""

MOST_REFUSED = 256
"""Refused connections that are told so at the same time; more are just closed."""

QUIET_SECONDS = 60.0
"""Seconds between two lines in the log about refused connections."""

_FULL = b"Too many open connections. Try again in a few seconds.\n"
_BUSY = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 5\r\ncontent-type: text/plain; charset=utf-8\r\n"
REFUSAL = b"%sconnection: close\r\ncontent-length: %d\r\n\r\n%s" % (_BUSY, len(_FULL), _FULL)
TOO_SLOW = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


class BoundedProtocol(H11Protocol):
    """One connection of at most `limit_concurrency` (of uvicorn's configuration).

    Beyond that, the connection that has been idle longest is closed to make room. If every one is sending a request,
    being answered or was just answered, the new one is refused with 503. A request must be complete within
    `REQUEST_SECONDS`.
    """

    refused: ClassVar[set[BoundedProtocol]] = set()
    told: ClassVar[float] = float("-inf")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.most = self.limit_concurrency
        # uvicorn would refuse requests instead of connections, and log each.
        self.limit_concurrency = None
        self._deadline: asyncio.TimerHandle | None = None
        self.idle_since: float | None = self.loop.time()
        """When the connection was opened or its last request was answered; None while there is a request."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Makes room for the connection, or refuses it."""
        super().connection_made(transport)
        if self.most is None or len(self.connections) <= self.most:
            return
        others = cast("set[BoundedProtocol]", self.connections) - {self}
        now = self.loop.time()
        idle = {
            one: one.idle_since
            for one in others
            if one.idle_since is not None and (not one.cycle or now - one.idle_since >= IDLE_SECONDS)
        }
        if idle:
            oldest = min(idle, key=idle.__getitem__)
            self.connections.discard(oldest)
            oldest.shutdown()
        else:
            self._refuse(transport)

    def _refuse(self, transport: asyncio.Transport) -> None:
        self.connections.discard(self)
        now = self.loop.time()
        if now - BoundedProtocol.told > QUIET_SECONDS:
            BoundedProtocol.told = now
            log.warning("%s connections are open (PP_MAX_CONNECTIONS); new ones are refused.", self.most)
        if len(self.refused) >= MOST_REFUSED:
            transport.abort()
            return
        self.refused.add(self)
        self._deadline = self.loop.call_later(REFUSAL_SECONDS, transport.abort)

    def data_received(self, data: bytes) -> None:
        """Takes in a part of a request."""
        if self not in self.refused:
            super().data_received(data)
            self._watch()
        elif self.idle_since is not None and not self.transport.is_closing():
            # What else arrives is dropped: closing at once would reset the connection before the refusal is read.
            self.idle_since = None
            self.transport.write(REFUSAL)
            self.transport.write_eof()

    def on_response_complete(self) -> None:
        """Waits for the next request."""
        super().on_response_complete()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forgets the connection."""
        self.refused.discard(self)
        self._stop_clock()
        super().connection_lost(exc)

    def _watch(self) -> None:
        """Starts the clock for a request that is arriving, and stops it once it is complete."""
        cycle = cast("RequestResponseCycle | None", self.cycle)
        is_answering = cycle is not None and not cycle.more_body and not cycle.response_complete
        is_arriving = self.conn.their_state is not h11.IDLE or bool(self.conn.trailing_data[0])
        is_idle = not is_answering and not is_arriving
        self.idle_since = self.loop.time() if is_idle else None
        if is_answering or is_idle or self.transport.is_closing():
            self._stop_clock()
        elif self._deadline is None:
            self._deadline = self.loop.call_later(REQUEST_SECONDS, self._too_slow)

    def _stop_clock(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _too_slow(self) -> None:
        cycle = cast("RequestResponseCycle | None", self.cycle)
        if cycle is None or not cycle.response_started or cycle.response_complete:
            self.transport.write(TOO_SLOW)
        self.transport.close()
