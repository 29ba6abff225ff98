"""Section 3: bulk work that is refused, overtaken, cancelled or stopped in the middle."""

from __future__ import annotations

import json
import signal
import tempfile
from collections import Counter
from pathlib import Path

import anyio
import httpx2
from stage import Json, Stage

from .audit import checked
from .processes import Place, api, stdio, until
from .scene import agree, applied, data, scene, status, text
from .tries import Tries, attack

LOOSE = "id NOT IN (SELECT assignment_id FROM enrollments WHERE assignment_id IS NOT NULL)"
OPEN = (
    f"SELECT public_id FROM assignments WHERE state IN ('not_started', 'in_progress') AND {LOOSE} ORDER BY id LIMIT ?"
)

THEIRS = "UPDATE assignments SET due_date = '2029-09-09' WHERE public_id = ?"


def _open(stage: Stage, count: int) -> list[str]:
    found = stage.column(OPEN, count)
    assert len(found) == count, len(found)
    return found


def _refuses(stage: Stage, code: int, ids: list[str] | None = None, after: int = 0) -> list[int]:
    """From the write number `after` on, those about `ids` (all where None) get this answer; gives a count of writes."""
    sent = [0]

    def before(request: httpx2.Request, _: int) -> httpx2.Response | None:
        if request.method == "GET":
            return None
        sent[0] += 1
        hit = ids is None or any(one in f"{request.url.path} {request.content!r}" for one in ids)
        return httpx2.Response(code, json={}) if hit and sent[0] > after else None

    stage.network.before = before
    return sent


@attack("bulk", "one 403 among forty ends the run; three in a row, or a 401, do not")
async def _(tries: Tries) -> None:
    for code, among in ((403, 1), (403, 2), (403, 40), (401, 40), (404, 1), (422, 2)):
        async with scene(people=60) as (stage, client):
            ids = _open(stage, 40)
            given: Json = {"action": "complete", "assignments": ids}
            preview = await client.call_tool("bulk_update_assignments", given)
            sent = _refuses(stage, code, ids[10 : 10 + among] if among < 40 else None)
            result = await agree(client, "bulk_update_assignments", given, preview)
            answer = data(result)
            what = f"{among} × {code}: {status(result)}, {answer.get('succeeded')} done, {sent[0]} sent"
            if among < 40:
                tries.held(answer.get("succeeded") == 40 - among and answer.get("failed") == among, what)
            else:
                tries.held(sent[0] <= 12, what)


@attack("bulk", "what somebody else changed since the preview is overwritten")
async def _(tries: Tries) -> None:
    for moment in ("before the call", "in the middle"):
        async with scene(people=60) as (stage, client):
            ids = _open(stage, 40)
            given: Json = {"action": "set_due_date", "assignments": ids, "due_date": "2031-01-31"}
            preview = await client.call_tool("bulk_update_assignments", given)
            if moment == "before the call":
                stage.change(THEIRS, ids[30])
            else:

                def before(request: httpx2.Request, _: int, stage: Stage = stage, taken: str = ids[30]) -> None:
                    writes = [one for one in stage.network.paths if not one.startswith("GET")]
                    if len(writes) == 10 and request.method != "GET":
                        stage.change(THEIRS, taken)

                stage.network.before = before
            result = await agree(client, "bulk_update_assignments", given, preview)
            kept = stage.one("SELECT due_date FROM assignments WHERE public_id = ?", ids[30])
            answer = data(result)
            what = f"{moment}: {status(result)}, theirs is {kept}, {answer.get('succeeded')} done, {answer.get('skipped')} skipped"
            tries.held(kept == "2029-09-09", what)
            tries.held(answer.get("succeeded") == 39 and answer.get("skipped") == 1, what)


@attack("bulk", "a bulk call on more than 1,000 assignments")
async def _(tries: Tries) -> None:
    async with scene() as (stage, client):
        everybody = [f"00000000-0000-4000-8000-{number:012}" for number in range(1_001)]
        for tool, given in (
            ("bulk_assign_content", {"content_item": stage.item(), "users": everybody}),
            ("bulk_update_assignments", {"action": "complete", "assignments": everybody}),
        ):
            result = await client.call_tool(tool, given)
            tries.held(result.is_error and not applied(stage), f"{tool}: {status(result)} {text(result)[:80]}")


async def _in_the_middle(tries: Tries, how: str) -> None:
    """Ends a run when some of it is done; what was done must be recorded, and nothing new begun."""
    async with api("--people", "150", "--assignments", "600", "--fault", "latency=0.1") as place:
        with tempfile.TemporaryDirectory() as folder:
            log = Path(folder, "audit.log")
            settings = {**place.settings, "PP_AUDIT_LOG": str(log), "PP_SECRET_KEY": "k" * 40}
            people = place.column("SELECT public_id FROM users WHERE is_active LIMIT 120")
            item = place.one(
                "SELECT public_id FROM content_items WHERE NOT is_archived AND content_type = 'article' ORDER BY total_assignments"
            )
            given: Json = {"content_item": item, "users": people, "reassign": True}
            before = _assigned(place, item)
            async with stdio(settings) as server:
                token = (await server.ask("bulk_assign_content", **given))["confirm_token"]
                number = await server.begin("bulk_assign_content", **given, confirm_token=token)
                await until(lambda: _assigned(place, item) - before >= 12)
                then = _assigned(place, item)
                if how == "SIGTERM":
                    server.process.send_signal(signal.SIGTERM)
                    await until(lambda: server.process.returncode is not None, 20)
                else:
                    meta = {"requestId": number, "reason": "enough"}
                    await server.send({"method": "notifications/cancelled", "params": meta})
                    await anyio.sleep(3)
                more = _assigned(place, item) - then
                tries.held(more <= 24, f"{more} more were assigned after {how}")
                if how == "SIGTERM":
                    await anyio.sleep(0.5)
                    answered = server.answers.get(number)
                    tries.held(answered is not None, "not answered, though the client still listened")
            done = _assigned(place, item) - before
            records = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
            outcome = [one for one in records if one.get("event") == "outcome"]
            counts = Counter[str]()
            for one in outcome:
                counts.update(one.get("counts") or {})
            recorded = counts.get("succeeded", 0)
            tries.held(outcome, f"no outcome recorded, though {done} were assigned")
            tries.held(done - 1 <= recorded <= done, f"{recorded} recorded as done, {done} were")
            tries.held(checked(log)[0], checked(log)[1])
            tries.figure = f"{more} begun after it, {done} done, {recorded} recorded"


def _assigned(place: Place, item: str) -> int:
    query = "SELECT count(*) FROM assignments a JOIN content_items c ON c.id = a.content_item_id WHERE c.public_id = ?"
    return place.one(query, item)


@attack("bulk", "SIGTERM in the middle of a run: new items begun, nothing recorded, no answer")
async def _(tries: Tries) -> None:
    await _in_the_middle(tries, "SIGTERM")


@attack("bulk", "a run cancelled in the middle: new items begun, nothing recorded")
async def _(tries: Tries) -> None:
    await _in_the_middle(tries, "cancelling")
