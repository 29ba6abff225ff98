"""Section 3: nothing that may have been applied is called "not changed", and no clear refusal "may have happened"."""

from __future__ import annotations

import re
from typing import Any

import httpx2
from stage import Carry, Json, Stage

from .scene import data, do, scene, status, text
from .tries import Tries, attack

UNSURE = re.compile(r"may have happened|may or may not|unknown outcome|outcome is unknown", re.I)
NOT_CHANGED = re.compile(r"nothing (was|has been) (changed|done|sent)|not changed|unchanged", re.I)


def _writes(stage: Stage) -> list[tuple[str, Json]]:
    user = stage.person()
    return [
        ("update_group", {"group": stage.group(), "name": "Night Shift"}),
        ("complete_assignment", {"assignment": stage.assignment("in_progress")}),
        ("drop_assignment", {"assignment": stage.assignment("not_started")}),
        ("assign_content", {"user": user, "content_item": stage.unassigned(user)}),
        ("create_article", {"name": "How we work"}),
        ("add_group_members", {"group": stage.group(), "members": stage.strangers(stage.group(), 2)}),
    ]


async def _each(tries: Tries, answer: Any, what: str, *, unsure: bool, happens: bool) -> None:
    """Each write meets this answer. `happens`: the API does it all the same."""
    for number in range(len(await _count())):
        async with scene() as (stage, client):
            tool, arguments = _writes(stage)[number]

            async def between(request: httpx2.Request, carry: Carry) -> httpx2.Response:
                if request.method == "GET":
                    # Nothing can be read back either.
                    done = [one for one in stage.network.paths if not one.startswith("GET")]
                    return httpx2.Response(503) if done else await carry(request)
                if happens:
                    await carry(request)
                return answer(request) if callable(answer) else httpx2.Response(answer, content=b"")

            stage.network.between = between
            result = await do(client, tool, **arguments)
            said = text(result)
            if unsure:
                claims = NOT_CHANGED.search(said) or not UNSURE.search(said)
                tries.held(result.is_error and not claims, f"{what}, {tool}: {said[:200]}")
            else:
                tries.held(result.is_error and not UNSURE.search(said), f"{what}, {tool}: {said[:200]}")


async def _count() -> list[int]:
    async with scene() as (stage, _):
        return list(range(len(_writes(stage))))


@attack("outcomes", "a write applied behind 3xx, 408, 421, 425, 451, 5xx or garbage, and called not changed")
async def _(tries: Tries) -> None:
    for code in (300, 302, 307, 308, 408, 421, 425, 451, 500, 502, 503, 504):
        await _each(tries, code, f"HTTP {code}", unsure=True, happens=True)
    for body in (b"<html>ok</html>", b"{", b"[]", b'{"data": 7}', b"\xff\xfe"):
        await _each(
            tries, lambda _, body=body: httpx2.Response(200, content=body), f"200 {body!r}", unsure=True, happens=True
        )


@attack("outcomes", "a clear refusal (400 to 422) that is said to have happened perhaps")
async def _(tries: Tries) -> None:
    for code in (400, 401, 403, 404, 405, 409, 410, 413, 415, 422):
        await _each(tries, code, f"HTTP {code}", unsure=False, happens=False)


@attack("outcomes", "an error that claims success, or has no words")
async def _(tries: Tries) -> None:
    for code in (400, 403, 404, 409, 418, 422, 500, 503):
        async with scene() as (stage, client):
            stage.network.before = lambda request, _, code=code: (
                httpx2.Response(code) if request.method != "GET" else None
            )
            result = await do(client, "complete_assignment", assignment=stage.assignment("in_progress"))
            tries.held(result.is_error and len(text(result)) > 40, f"{code}: {text(result)[:80]}")
            tries.held("Traceback" not in text(result) and status(result) == "error", data(result))
