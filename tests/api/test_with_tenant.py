"""The client against the demo tenant: what the tenant says was applied, and what the client says of it, agree."""

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import SecretStr
from stage import Clock

from pp_mcp.api import Client
from pp_mcp.demo import Faults, Sizes, Tenant
from pp_mcp.errors import AnswerLost, ApiError, Conflict, NotFound, PlusPlusError, RateLimited, ServerFailure
from pp_mcp.models import Article, Assignment, ContentItem, Enrollment, Group, User

pytestmark = pytest.mark.anyio

SMALL = Sizes(people=12, groups=3, content_items=10, assignments=30, enrollments=8)


@pytest.fixture(params=["bare", "data"])
def tenant(request: pytest.FixtureRequest) -> Iterator[Tenant]:
    tenant = Tenant(sizes=SMALL, envelope=request.param, total_pages=request.param == "data")
    yield tenant
    tenant.close()


@pytest.fixture
def client(tenant: Tenant, clock: Clock) -> Client:
    return Client(
        base_url=tenant.base_url,
        token=SecretStr(tenant.token),
        transport=tenant.transport(),
        clock=clock,
        chance=lambda: 0.0,
    )


@pytest.mark.parametrize(
    ("lists", "gets", "model", "total"),
    [
        ("list_users", "get_user", User, 12),
        ("list_groups", "get_group", Group, 3),
        ("list_content_items", "get_content_item", ContentItem, None),
        ("list_articles", "get_article", Article, None),
        ("list_assignments", "get_assignment", Assignment, 30),
        ("list_enrollments", None, Enrollment, 8),
    ],
)
async def test_reading(client: Client, lists: str, gets: str | None, model: Any, total: int | None) -> None:
    api = client.call()
    page = await api.page(lists, model, page_size=2)
    assert len(page.items) == min(2, page.total_count) > 0
    assert total in (None, page.total_count)
    assert page.total_pages == -(-page.total_count // 2)
    if gets:
        record = await api.one(gets, model, page.items[0].public_id)
        listed = page.items[0].model_dump()
        assert {**listed, **record.model_dump(include=set(listed))} == listed or model is ContentItem
        assert record.public_id == listed["public_id"]
        with pytest.raises(NotFound):
            await api.one(gets, model, "00000000-0000-4000-8000-000000000000")
    assert len(api.request_ids) == api.requests


async def test_an_unchanged_assignment(client: Client, tenant: Tenant) -> None:
    api = client.call()
    some = (await api.page("list_assignments", Assignment, state="not_started")).items[0]
    first = await api.one("get_assignment", Assignment, some.public_id)
    again = await api.one("get_assignment", Assignment, some.public_id)
    assert first == again
    assert [arrival[2] for arrival in tenant.requests][-2:] == [200, 304]
    done = await api.write("complete_assignment", Assignment, public_id=some.public_id)
    assert done.value.state == "completed"
    assert (await api.one("get_assignment", Assignment, some.public_id)).state == "completed"
    with pytest.raises(Conflict):
        await api.write("complete_assignment", Assignment, public_id=some.public_id)


async def test_people_and_groups(client: Client) -> None:
    api = client.call()
    made = await api.write("create_user", User, {"email": "new@example.com", "name": "Zoë"})
    assert (made.status, made.value.name) == (201, "Zoë")
    group = (await api.write("create_group", Group, {"name": "G"})).value
    for operation, extra, members in (
        ("add_group_members", {}, 1),
        ("remove_group_members", {}, 0),
        ("replace_group_members", {"confirm_replace": True}, 1),
    ):
        body = {"member_ids": [made.value.public_id], **extra}
        changed = await api.write(operation, Group, body, public_id=group.public_id)
        assert changed.value.member_count == members
    with pytest.raises(ApiError) as caught:
        await api.write("create_user", User, {"email": "new@example.com", "name": "Zoë"})
    assert "email" in caught.value.field_errors


async def test_a_batch_and_a_deletion(client: Client) -> None:
    api = client.call()
    items = (await api.page("list_content_items", ContentItem, is_archived=False)).items
    gone = items[0].public_id
    assert (await api.erase("delete_content_item", public_id=gone)).status == 204
    answer = await api.bulk("archive_content_items", [gone, items[1].public_id])
    assert [item.status for item in answer.items] == ["failed", "succeeded"]
    assert answer.items[0].error_message
    answer = await api.bulk("archive_content_items", [items[1].public_id])
    assert [item.status for item in answer.items] == ["succeeded"]


async def test_the_rate_limit_is_never_run_into(clock: Clock) -> None:
    tenant = Tenant(sizes=SMALL, rate_limit=3, rate_window=5)
    client = Client(base_url=tenant.base_url, token=SecretStr(tenant.token), transport=tenant.transport(), clock=clock)
    api = client.call(budget=3)
    for _ in range(3):
        await api.page("list_users", User)
    with pytest.raises(RateLimited):
        await api.page("list_users", User)
    assert [arrival[2] for arrival in tenant.requests] == [200] * 3
    tenant.close()


FAULTS = ["429", "429-bare", "5xx", "5xx-after", "drop-before", "drop-after", "truncate", "garbage", "wrong-type"]


@pytest.mark.parametrize("fault", FAULTS)
async def test_one_fault_is_mended_or_told_as_it_is(client: Client, tenant: Tenant, fault: str) -> None:
    api = client.call()
    items = (await api.page("list_articles", Article)).items

    tenant.faults = Faults()
    tenant.faults.script([fault])
    assert (await api.page("list_users", User)).total_count == 12

    tenant.faults.script([fault])
    assert (await api.erase("delete_content_item", public_id=items[0].public_id)).value is None
    with pytest.raises(NotFound):
        await api.one("get_article", Article, items[0].public_id)

    before = (await api.page("list_groups", Group)).total_count
    tenant.faults.script([fault], writes_only=True)
    if fault.startswith("429"):
        await api.write("create_group", Group, {"name": "New"})
        possible = (1,)
    else:
        with pytest.raises((AnswerLost, ServerFailure)) as caught:
            await api.write("create_group", Group, {"name": "New"})
        assert caught.value.may_have_happened
        possible = (0, 1)
    assert (await api.page("list_groups", Group)).total_count - before in possible
    assert tenant.faults.scripted == 0


@pytest.mark.parametrize("seed", range(6))
async def test_a_stormy_day(clock: Clock, seed: int) -> None:
    shares = ["429=0.1", "5xx=0.1", "5xx-after=0.05", "drop-before=0.05", "drop-after=0.1", "truncate=0.1"]
    tenant = Tenant(sizes=SMALL, faults=Faults.parse([*shares, "garbage=0.05", "wrong-type=0.05"], seed=seed))
    client = Client(
        base_url=tenant.base_url,
        token=SecretStr(tenant.token),
        transport=tenant.transport(),
        clock=clock,
        chance=lambda: 0.0,
    )
    certain: list[str] = []
    doubtful: list[str] = []
    for number in range(25):
        name = f"group {number}"
        try:
            await client.call().write("create_group", Group, {"name": name})
            certain.append(name)
        except (AnswerLost, ServerFailure):
            doubtful.append(name)
        except PlusPlusError as error:
            pytest.fail(f"{type(error).__name__} for a fault that leaves the outcome open")
    tenant.faults = Faults()
    rows = (await client.call().page("list_groups", Group, page_size=100)).items
    found = [row.name for row in rows if row.name.startswith("group ")]
    assert len(found) == len(set(found))
    assert set(certain) <= set(found) <= set(certain) | set(doubtful)
    assert certain
    tenant.close()
