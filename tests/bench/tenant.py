"""A demo tenant in a process of its own, so that what is measured here is the server's alone."""

from __future__ import annotations

import multiprocessing
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from pp_mcp.demo import DEMO_TOKEN, Faults, Sizes, Tenant

TOKEN = DEMO_TOKEN


@dataclass(frozen=True)
class Place:
    """How large the tenant is and how it answers. `latency` and `window` are in seconds, `rate` requests a window."""

    people: int = 5_000
    assignments: int = 200_000
    latency: float = 0.05
    rate: int = 1_000
    window: float = 10.0

    @property
    def sizes(self) -> Sizes:
        """What the seed makes; a tenth of the people, but more than a few, are content items."""
        items = max(120, self.people // 20)
        return Sizes(
            people=self.people,
            groups=40,
            content_items=items,
            assignments=self.assignments,
            enrollments=self.assignments // 40,
        )


@contextmanager
def running(place: Place) -> Generator[str]:
    """Serves such a tenant on a free port of this machine; gives its base URL."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_serve, args=(place, there), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{here.recv()}/public_api/v2"
    finally:
        process.terminate()
        process.join(10)


def _serve(place: Place, ready: Connection) -> None:
    from pp_mcp.demo.serve import server

    tenant = Tenant(
        sizes=place.sizes,
        rate_limit=place.rate,
        rate_window=place.window,
        faults=Faults(latency=place.latency),
    )
    serving = server(tenant, "127.0.0.1", 0)
    serving.config.log_level = "error"
    serving.config.access_log = False
    serving.config.configure_logging()
    started = serving.startup

    async def startup(sockets: Any = None) -> None:
        await started(sockets)
        ready.send(serving.servers[0].sockets[0].getsockname()[1])

    serving.startup = startup
    serving.run()
