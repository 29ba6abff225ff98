"""The demo tenant as a whole."""

from __future__ import annotations

import random
import sqlite3
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from starlette.types import ASGIApp

from pp_mcp.demo import snapshot
from pp_mcp.demo.app import Api, Arrival
from pp_mcp.demo.faults import Faults
from pp_mcp.demo.ids import IdForm
from pp_mcp.demo.limits import RateLimit
from pp_mcp.demo.routes import PREFIX
from pp_mcp.demo.seed import plant
from pp_mcp.demo.store import Store

if TYPE_CHECKING:
    import httpx2

DEMO_TOKEN = "pp_demo_not_a_secret_0123456789"
"""The default token of a demo tenant."""

_MOST_ARRIVALS = 10_000


@dataclass(frozen=True)
class Sizes:
    """How many rows the seed makes of each kind.

    There are more content items if the assignments would not fit otherwise, and fewer enrollments if people and
    events do not suffice. Assignments that come with enrollments count among the assignments, up to half.
    """

    people: int = 300
    groups: int = 12
    content_items: int = 120
    assignments: int = 4000
    enrollments: int = 600

    def __post_init__(self) -> None:
        if self.people < 1 or min(self.groups, self.content_items, self.assignments, self.enrollments) < 0:
            raise ValueError("A tenant needs at least one person and no negative sizes.")


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Tenant:
    """A private tenant: the PlusPlus Public API v2 over sqlite, with seed data relative to today.

    `app` serves under `/public_api/v2`. In one process use `httpx2.AsyncClient(transport=tenant.transport(),
    base_url=tenant.base_url)`; over a network `pp_mcp.demo.serve.run`.

    A file database is seeded when it is new and keeps its state; its recorded seed, sizes and id form win over the
    arguments when it is opened again. `now` gives aware datetimes, in UTC. `rate_window` is in seconds.
    """

    def __init__(
        self,
        *,
        db: str | Path = ":memory:",
        sizes: Sizes = Sizes(),
        seed: int = 7,
        now: Callable[[], datetime] | None = None,
        token: str = DEMO_TOKEN,
        role: str = "admin",
        rate_limit: int = 6000,
        rate_window: float = 60.0,
        faults: Faults | None = None,
        envelope: Literal["bare", "data"] = "bare",
        ids: IdForm = "uuid",
        total_pages: bool = False,
    ) -> None:
        if role not in ("admin", "organizer", "user"):
            raise ValueError(f"No such role: {role!r}. Choose admin, organizer or user.")
        clock = now or _utc_now
        self._store = Store(db, now=clock, ids=ids, seed=seed)
        try:
            if self._store.is_new:
                plant(
                    self._store,
                    people=sizes.people,
                    groups=sizes.groups,
                    content_items=sizes.content_items,
                    assignments=sizes.assignments,
                    enrollments=sizes.enrollments,
                )
        except BaseException:
            self._store.close()
            raise
        self._api = Api(
            store=self._store,
            rate_limit=RateLimit(rate_limit, rate_window, clock),
            token=token,
            role=role,
            envelope=envelope,
            total_pages=total_pages,
            faults=faults or Faults(),
            arrivals=deque(maxlen=_MOST_ARRIVALS),
            request_ids=random.Random(f"requests/{self._store.seed}"),
            drifting=random.Random(f"drift/{self._store.seed}"),
        )
        self.app: ASGIApp = self._api.application()
        """The ASGI application."""
        self.base_url = f"https://demo.plusplus.app{PREFIX}"
        """The base URL for use in the same process."""
        self.token = token
        """The token that is valid from the start."""

    @property
    def connection(self) -> sqlite3.Connection:
        """The database, to read or change it without the API; every statement commits at once."""
        return self._store.connection

    @property
    def faults(self) -> Faults:
        """The current faults; may be changed or replaced at any time."""
        return self._api.faults

    @faults.setter
    def faults(self, faults: Faults) -> None:
        self._api.faults = faults

    @property
    def requests(self) -> deque[Arrival]:
        """The last 10,000 requests, oldest first: (method, path, status, applied). May be cleared."""
        return self._api.arrivals

    def transport(self) -> httpx2.AsyncBaseTransport:
        """A transport to this tenant in the same process; dropped connections look as on a network."""
        from pp_mcp.demo.transport import InProcess

        return InProcess(self.app)

    def snapshot(self) -> dict[str, Any]:
        """The whole state, `{table: {public_id: fields}}`, without timestamps (but with `due_date`)."""
        return snapshot.take(self._store)

    def close(self) -> None:
        """Close the database; a file keeps its state."""
        self._store.close()
