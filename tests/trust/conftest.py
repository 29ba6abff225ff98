"""The whole stack on virtual time: a client, the server and the tenant behind it, which a test can exchange."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from mcp import Client
from mcp.types import Implementation

from .loop import VirtualTime
from .world import Switch, World, quiet, serve, tiny


@pytest.fixture(scope="session")
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return "asyncio", {"loop_factory": VirtualTime}


@pytest.fixture(scope="module")
def switch(tmp_path_factory: pytest.TempPathFactory) -> Switch:
    return Switch(tmp_path_factory.mktemp("secrets"))


@pytest.fixture(scope="module")
async def assistant(switch: Switch, anyio_backend: Any) -> AsyncIterator[Client]:
    """One client of one server, for a whole module: making them takes longer than a test."""
    switch.server = serve(switch)
    async with Client(switch.server, client_info=Implementation(name="trust", version="1")) as client:
        yield client


@pytest.fixture
async def world(switch: Switch, assistant: Client) -> AsyncIterator[World]:
    await quiet()
    made = World(tiny(), assistant, switch)
    yield made
    made.close()
