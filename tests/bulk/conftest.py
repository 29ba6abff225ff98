"""A tenant to change, and a desk at it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from stage import NOON, Stage

from pp_mcp.demo import Sizes, Tenant

from .chores import NEW_ITEM

SIZES = Sizes(people=120, groups=12, content_items=40, assignments=900, enrollments=60)


@pytest.fixture
def tenant() -> Iterator[Tenant]:
    made = Tenant(sizes=SIZES, now=lambda: NOON)
    made.connection.execute(
        """INSERT INTO content_items (public_id, name, name_key, content_type, created, modified)
           VALUES (?, 'Quite New', 'quite new', 'article', '2026-01-01T00:00:00.000000Z', '2026-01-01T00:00:00.000000Z')""",
        (NEW_ITEM,),
    )
    yield made
    made.close()


@pytest.fixture
def there(tenant: Tenant) -> Stage:
    return Stage(tenant)
