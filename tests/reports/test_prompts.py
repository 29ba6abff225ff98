"""Prompts: short, about tools that are there, the same in both eras."""

from __future__ import annotations

import re

import pytest
from mcp import Client
from stage import IN_MEMORY, LEGACY, Way, connected

from pp_mcp.demo import Tenant
from pp_mcp.inventory import BY_NAME
from pp_mcp.server.prompts import PROMPTS

pytestmark = pytest.mark.anyio

ARGUMENTS = {
    "weekly_overdue_digest": [{}, {"group": "Platform"}],
    "onboard_new_hire": [
        {"person": "new.person@acme.example"},
        {"person": "New Person", "content_item": "Engineering Onboarding", "manager": "Rosa Alvarez"},
    ],
    "match_group_to_roster": [{"group": "Platform", "roster": "jane.doe@acme.example\nSam O'Neil"}],
    "clean_up_catalogue": [{}, {"content_type": "article", "stale_days": "180"}],
    "overdue_board": [{}, {"group": "Platform"}],
    "chase_course": [{"content_item": "Security 101"}, {"content_item": "Security 101", "due_date": "2026-12-24"}],
}
CASES = [(name, given) for name, cases in ARGUMENTS.items() for given in cases]


async def rendered(client: Client, name: str, given: dict[str, str]) -> str:
    (message,) = (await client.get_prompt(name, given)).messages
    assert message.role == "user"
    assert message.content.type == "text"
    return message.content.text


@pytest.mark.parametrize("way", [IN_MEMORY, LEGACY], ids=str)
async def test_every_prompt_is_listed_with_its_arguments(tenant: Tenant, way: Way) -> None:
    async with connected(tenant, way) as client:
        listed = {prompt.name: prompt for prompt in (await client.list_prompts()).prompts}
    assert set(listed) == set(ARGUMENTS) == {prompt.function.__name__ for prompt in PROMPTS}
    for name, prompt in listed.items():
        assert prompt.title
        assert prompt.description
        required = {argument.name for argument in prompt.arguments or [] if argument.required}
        assert required == set(min(ARGUMENTS[name], key=len))
        assert all(argument.description for argument in prompt.arguments or [])


@pytest.mark.parametrize("way", [IN_MEMORY, LEGACY], ids=str)
@pytest.mark.parametrize(("name", "given"), CASES, ids=[f"{name} {len(given)}" for name, given in CASES])
async def test_prompts_are_short_and_name_what_they_were_given(
    tenant: Tenant, way: Way, name: str, given: dict[str, str]
) -> None:
    async with connected(tenant, way) as client:
        text = await rendered(client, name, given)
    assert 200 < len(text) < 1_200
    for value in given.values():
        assert value in text
    assert "''" not in text


@pytest.mark.parametrize("prompt", PROMPTS, ids=lambda prompt: prompt.function.__name__)
def test_prompts_name_tools_that_there_are(prompt: object) -> None:
    name = prompt.function.__name__  # type: ignore[attr-defined]
    texts = " ".join(prompt.function(**given) for given in ARGUMENTS[name])  # type: ignore[attr-defined]
    looks_like_a_tool = {
        word
        for word in re.findall(r"\b[a-z]+(?:_[a-z]+)+\b", texts)
        if word.startswith(
            (
                "get_",
                "list_",
                "create_",
                "update_",
                "add_",
                "replace_",
                "report_",
                "bulk_",
                "delete_",
                "archive_",
                "search_",
                "assign_",
            )
        )
    }
    assert looks_like_a_tool == set(prompt.tools)  # type: ignore[attr-defined]
    assert looks_like_a_tool <= set(BY_NAME)


@pytest.mark.parametrize("prompt", PROMPTS, ids=lambda prompt: prompt.function.__name__)
def test_prompts_name_arguments_that_the_tools_take(prompt: object) -> None:
    name = prompt.function.__name__  # type: ignore[attr-defined]
    texts = " ".join(prompt.function(**given) for given in ARGUMENTS[name])  # type: ignore[attr-defined]
    taken = {argument for tool in prompt.tools for argument in BY_NAME[tool].arguments.model_fields}  # type: ignore[attr-defined]
    assert set(re.findall(r"\b([a-z_]+)=", texts)) <= taken


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        ({"read_only": True}, {"weekly_overdue_digest"}),
        ({"toolsets": frozenset({"reports", "content"})}, {"weekly_overdue_digest", "clean_up_catalogue"}),
        ({"toolsets": frozenset({"users"})}, set()),
        ({"confirm": "block"}, {"weekly_overdue_digest", "onboard_new_hire"}),
    ],
    ids=["read only", "two toolsets", "none of them", "block"],
)
async def test_prompts_for_tools_that_are_off_are_not_offered(
    tenant: Tenant, settings: dict[str, object], names: set[str]
) -> None:
    async with connected(tenant, **settings) as client:
        assert {prompt.name for prompt in (await client.list_prompts()).prompts} == names
