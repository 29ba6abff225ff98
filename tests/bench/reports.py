"""The questions put to the server and to the mirror in one run, and the table of what both cost."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast

from mcp import Client as McpClient
from mcp.types import CallToolResult, TextContent
from pydantic import SecretStr

from pp_mcp.api import Client
from pp_mcp.config import Settings
from pp_mcp.declare import Call
from pp_mcp.inventory import BY_NAME
from pp_mcp.models import ContentItem, Group, User
from pp_mcp.server.app import build_server
from pp_mcp.server.arguments import prepare
from tests.bench.measure import Cost, Counting, peak_of, timed
from tests.bench.mirror import LONG, Mirror
from tests.bench.questions import Ids, Question, questions
from tests.bench.tenant import TOKEN, Place, running

CONNECTIONS = 8
SMALL = 2_000
"""Assignments of the tenant that memory is compared with."""


@dataclass(frozen=True)
class Line:
    """One question: our cost, the mirror's, how much more memory than on the small tenant, and what we answered."""

    question: Question
    ours: Cost
    theirs: Cost
    growth: float | None
    complete: bool
    summary: str


async def run(place: Place, *, memory: bool, bulk: int, say: Callable[[str], None]) -> list[Line]:
    """Asks every question of a tenant like `place`."""
    say(f"A tenant of {place.people:,} people and {place.assignments:,} assignments is being made…")
    lines: list[Line] = []
    with running(place) as url:
        network = Counting(CONNECTIONS)
        async with _client(url, network) as client:
            asked = questions(await _ids(client, bulk))
            mirror = Mirror(client, network)
            grown = await _growth(client, asked, place, say) if memory else {}
            for question in asked:
                ours, answer = await _ask(url, question)
                theirs = await mirror.cost(question)
                complete = answer.get("coverage", {}).get("complete", answer.get("status") == "done")
                line = Line(question, ours, theirs, grown.get(question.words), complete, str(answer.get("summary")))
                lines.append(line)
                say(f"{question.words} {ours.seconds:.1f} s, the mirror {theirs.seconds:.1f} s. {line.summary}")
    return lines


@asynccontextmanager
async def _client(url: str, network: Counting) -> AsyncGenerator[Client]:
    async with Client(
        base_url=url, token=SecretStr(TOKEN), transport=network, max_concurrency=CONNECTIONS, budget=LONG
    ) as client:
        yield client


async def _ids(client: Client, bulk: int) -> Ids:
    api = client.call()
    groups = await api.page("list_groups", Group, page=1, page_size=1, name="Platform")
    course = await api.page("list_content_items", ContentItem, page=1, page_size=1, search="Security 101")
    articles = await api.page("list_content_items", ContentItem, page=1, page_size=100, is_archived=False)
    rare = sorted(articles.items, key=lambda item: (item.total_assignments or 0, item.public_id))
    people: list[str] = []
    number = 0
    while len(people) < bulk + 1:
        number += 1
        page = await api.page("list_users", User, page=number, page_size=100, is_active=True)
        people += [user.public_id for user in page.items]
        if page.next_page is None:
            break
    return Ids(
        course.items[0].public_id,
        groups.items[0].public_id,
        people[-1],
        (rare[0].public_id, rare[1].public_id),
        tuple(people[:bulk]),
    )


async def _ask(url: str, question: Question) -> tuple[Cost, dict[str, Any]]:
    """The question to the real server by a real MCP client; a preview is confirmed."""
    network = Counting(CONNECTIONS)
    settings = Settings.model_validate(
        {"base_url": url, "api_token": TOKEN, "toolsets": frozenset({"all"}), "secret_key": "k" * 40}
    )
    last: list[CallToolResult] = []

    async with McpClient(build_server(settings, transport=network)) as client:

        async def ask() -> int:
            characters = 0
            arguments = question.arguments
            while True:
                result = await client.call_tool(question.tool, arguments)
                last.append(result)
                characters += sum(len(block.text) for block in result.content if isinstance(block, TextContent))
                token = _data(result).get("confirm_token")
                if token is None:
                    return characters
                arguments = {**arguments, "confirm_token": token}

        cost = await timed(network, ask)
    return cost, _data(last[-1])


def _data(result: CallToolResult) -> dict[str, Any]:
    return cast("dict[str, Any]", result.structured_content or {})


async def _growth(big: Client, asked: list[Question], place: Place, say: Callable[[str], None]) -> dict[str, float]:
    """By how many MB each report's peak is above the same report's on a small tenant of as many people."""
    small_place = Place(people=place.people, assignments=SMALL, latency=0.0, rate=1_000_000)
    grown: dict[str, float] = {}
    with running(small_place) as url:
        async with _client(url, Counting(CONNECTIONS)) as small:
            same = questions(await _ids(small, 1))
            for question, there in zip(asked, same, strict=True):
                if question.writes is None:
                    peak = await peak_of(lambda question=question: _answer(big, question))
                    grown[question.words] = peak - await peak_of(lambda there=there: _answer(small, there))
                    say(f"{question.words} {peak:.1f} MB at most, {grown[question.words]:+.1f} MB")
    return grown


async def _answer(client: Client, question: Question) -> None:
    """The report alone, without the server around it, and with all the time it needs."""
    operation = BY_NAME[question.tool]
    call = Call(api=client.call(), today=datetime.now(UTC).date())
    values, _ = await prepare(operation, question.arguments, call)
    await operation.function(call, **values)


def table(lines: list[Line]) -> str:
    """The figures as a Markdown table."""
    head = (
        "| question | seconds | mirror | times faster | requests | mirror | tokens to read | mirror | times fewer | "
        "memory | complete |"
    )
    rows = [head, "| --- |" + " ---: |" * 9 + " --- |"]
    for line in lines:
        ours, theirs = line.ours, line.theirs
        cells = [
            line.question.words,
            f"{ours.seconds:.1f}",
            f"{theirs.seconds:.1f}",
            f"{theirs.seconds / ours.seconds:.1f}",
            f"{ours.requests:,}",
            f"{theirs.requests:,}",
            f"{ours.characters // 4:,}",
            f"{theirs.characters // 4:,}",
            f"{theirs.characters / ours.characters:,.0f}",
            "" if line.growth is None else f"{line.growth:+.1f} MB",
            "yes" if line.complete else "no",
        ]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def as_json(lines: list[Line]) -> str:
    """The figures for a program."""
    return json.dumps(
        [
            {
                "question": line.question.words,
                "tool": line.question.tool,
                "ours": vars(line.ours),
                "mirror": vars(line.theirs),
                "memory_growth_mb": line.growth,
                "complete": line.complete,
            }
            for line in lines
        ],
        indent=2,
    )
