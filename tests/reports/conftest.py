"""The tenants that reports are made of."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from stage import NOON, Stage

from pp_mcp.demo import Sizes, Tenant

SIZES = Sizes(people=150, groups=12, content_items=60, assignments=2_400, enrollments=300)
MANY = 10**9
"""Requests that all tests together do not reach."""


@pytest.fixture(scope="module")
def tenants() -> Iterator[list[Tenant]]:
    """One as the reference documents it, one as the guides show it."""
    made = [
        Tenant(sizes=SIZES, now=lambda: NOON, rate_limit=MANY),
        Tenant(sizes=SIZES, now=lambda: NOON, rate_limit=MANY, seed=11, ids="ulid", envelope="data", total_pages=True),
    ]
    yield made
    for tenant in made:
        tenant.close()


@pytest.fixture(scope="module")
def whole(request: pytest.FixtureRequest) -> Iterator[Tenant]:
    """A tenant of the module's SIZES."""
    tenant = Tenant(sizes=request.module.SIZES, now=lambda: NOON)
    yield tenant
    tenant.close()


@pytest.fixture
def there(whole: Tenant) -> Stage:
    return Stage(whole)
