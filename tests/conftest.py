"""What the tests of the server share: a small tenant, a server over it, a client."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator

import pytest
from hypothesis import HealthCheck, settings
from mcp import Client
from stage import Stage, connected, small_tenant

from pp_mcp.demo import Tenant

settings.register_profile(
    "quick", deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)
settings.register_profile("full", settings.get_profile("quick"))
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def tenant() -> Iterator[Tenant]:
    made = small_tenant()
    yield made
    made.close()


@pytest.fixture
def stage(tenant: Tenant) -> Stage:
    """The tenant with words for looking into it, past the API."""
    return Stage(tenant)


@pytest.fixture
async def client(tenant: Tenant) -> AsyncIterator[Client]:
    """A client in memory, on the newer protocol, of a server with every toolset."""
    async with connected(tenant) as found:
        yield found
