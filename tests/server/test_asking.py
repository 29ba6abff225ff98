"""PP_CONFIRM=elicit: the person is asked through the client, in both eras and over both transports."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, nullcontext
from typing import Any

import pytest
from mcp import Client, MCPError
from mcp.types import CallToolResult, ElicitResult, InputRequiredResult
from stage import WAYS, Stage, Way, ask, connected, refused

pytestmark = pytest.mark.anyio

YES = ElicitResult(action="accept", content={"confirm": True})
NOT_YES = [
    (ElicitResult(action="accept", content={"confirm": False}), "declined"),
    (ElicitResult(action="decline"), "declined"),
    (ElicitResult(action="cancel"), "closed the question"),
]


class Person:
    """Who answers the questions; remembers them. `meanwhile` happens while the person thinks."""

    def __init__(self, *answers: ElicitResult, meanwhile: Callable[[], None] = lambda: None) -> None:
        self.answers = list(answers)
        self.questions: list[str] = []
        self.meanwhile = meanwhile

    async def __call__(self, _: Any, params: Any) -> ElicitResult:
        self.questions.append(params.message)
        self.meanwhile()
        return self.answers.pop(0)


@asynccontextmanager
async def asking(stage: Stage, way: Way, person: Person | None) -> AsyncIterator[Client]:
    options = {"elicitation_callback": person} if person else {}
    async with connected(stage.tenant, way, client=options, confirm="elicit") as client:
        yield client


@pytest.fixture(params=WAYS, ids=" ".join)
def way(request: pytest.FixtureRequest) -> Way:
    return request.param


async def test_yes(stage: Stage, way: Way) -> None:
    target = stage.assignment("not_started")
    person = Person(YES)
    async with asking(stage, way, person) as client:
        answer = await ask(client, "drop_assignment", assignment=target)
    assert answer["status"] == "done"
    assert stage.state(target) == "dropped"
    (question,) = person.questions
    assert question.startswith("Drop “")
    assert "starts from zero" in question
    assert question.endswith("This cannot be undone.")


@pytest.mark.parametrize(("reply", "word"), NOT_YES, ids=["unticked", "declined", "cancelled"])
async def test_anything_but_yes(stage: Stage, way: Way, reply: ElicitResult, word: str) -> None:
    before = stage.tenant.snapshot()
    async with asking(stage, way, Person(reply)) as client:
        answer = await ask(client, "drop_assignment", assignment=stage.assignment("not_started"))
    assert answer["status"] == "unchanged"
    assert answer["summary"].startswith(f"Not done: the user {word}. Drop “")
    assert answer["summary"].endswith("Nothing was sent.")
    assert stage.writes() == []
    assert stage.tenant.snapshot() == before


async def test_a_client_that_cannot_ask_gets_a_token(stage: Stage, way: Way) -> None:
    target = stage.assignment("not_started")
    async with asking(stage, way, None) as client:
        preview = await ask(client, "drop_assignment", assignment=target)
        assert preview["status"] == "confirmation_required"
        answer = await ask(client, "drop_assignment", assignment=target, confirm_token=preview["confirm_token"])
    assert answer["status"] == "done"


async def test_a_target_that_changes_while_the_person_thinks(stage: Stage, way: Way) -> None:
    """The yes was to something else: it is not done, and the person, or the model, sees what it would be now."""
    group = stage.group()
    members = stage.members(group)
    newcomer = stage.strangers(group, 1)[0]

    def join() -> None:
        stage.change(
            "INSERT OR IGNORE INTO group_members SELECT g.id, u.id FROM groups g, users u WHERE g.public_id = ? "
            "AND u.email = ?",
            group,
            newcomer,
        )

    no = ElicitResult(action="decline")
    person = Person(YES, no, meanwhile=join)
    async with asking(stage, way, person) as client:
        answer = await ask(client, "remove_group_members", group=group, members=members[:1])
    assert stage.writes() == []
    assert stage.members(group) == sorted([*members, newcomer])
    if way.era == "2026-07-28":
        assert answer["status"] == "unchanged"
        assert len(person.questions) == 2
        assert person.questions[0] != person.questions[1]
    else:
        assert answer["status"] == "confirmation_required"
        assert answer["summary"].startswith("The confirmation is no longer valid")


async def test_a_target_that_is_done_meanwhile(stage: Stage, way: Way) -> None:
    target = stage.assignment("not_started")
    person = Person(
        YES,
        meanwhile=lambda: stage.change(
            "UPDATE assignments SET state = 'dropped', dropped_at = '2026-01-01T00:00:00Z' WHERE public_id = ?", target
        ),
    )
    async with asking(stage, way, person) as client:
        answer = await ask(client, "drop_assignment", assignment=target)
    assert answer["status"] == "unchanged"
    assert stage.writes() == []


async def test_a_model_cannot_answer_for_the_person(stage: Stage, way: Way) -> None:
    """Neither a made-up token nor one that a preview gave takes the question's place."""
    group = stage.group()
    call: dict[str, Any] = {"group": group, "members": stage.members(group)[:1]}
    flags = {"confirm_replace": True, "confirm_large_removal": True}
    before = stage.tenant.snapshot()
    no = ElicitResult(action="decline")
    person = Person(no, no, no)
    async with asking(stage, way, person) as client:
        preview = await ask(client, "replace_group_members", **call)
        assert preview["status"] == "confirmation_required"
        assert person.questions == []
        for token in (preview["confirm_token"], "made.up", None):
            given = {"confirm_token": token} if token else {}
            answer = await ask(client, "replace_group_members", **call, **flags, **given)
            assert answer["status"] == "unchanged"
    assert len(person.questions) == 3
    assert stage.writes() == []
    assert stage.tenant.snapshot() == before


async def test_the_missing_flags_are_said_before_anybody_is_asked(stage: Stage, way: Way) -> None:
    group = stage.group()
    call: dict[str, Any] = {"group": group, "members": stage.members(group)[:1]}
    person = Person(YES)
    async with asking(stage, way, person) as client:
        preview = await ask(client, "replace_group_members", **call)
        assert preview["needs"] == ["confirm_replace", "confirm_large_removal"]
        flags = dict.fromkeys(preview["needs"], True)
        answer = await ask(client, "replace_group_members", **call, **flags)
    assert answer["status"] == "done"
    assert stage.members(group) == call["members"]
    assert len(person.questions) == 1


async def test_nobody_is_asked_about_what_needs_no_confirming(stage: Stage, way: Way) -> None:
    person = Person()
    async with asking(stage, way, person) as client:
        assert (await ask(client, "update_user", user=stage.person(), name="Renamed"))["status"] == "done"
        error = await refused(client, "drop_assignment", assignment=stage.assignment("completed"))
        assert error["code"] == "invalid_argument"
    assert person.questions == []


async def test_an_answer_to_another_call_is_none(stage: Stage) -> None:
    """In the newer protocol the client carries the answer and the server's sealed word of what was asked."""
    first, other = stage.assignment("not_started"), stage.assignment("not_started", 1)
    async with asking(stage, WAYS[0], Person()) as client:
        asked = await client.session.call_tool("drop_assignment", {"assignment": first}, allow_input_required=True)
        assert isinstance(asked, InputRequiredResult)
        repeated: dict[str, Any] = {"input_responses": {"confirm": YES}, "allow_input_required": True}
        for state in (None, "made up"):
            with pytest.raises(MCPError, match="requestState") if state else nullcontext():
                again = await client.session.call_tool(
                    "drop_assignment", {"assignment": first}, request_state=state, **repeated
                )
                assert isinstance(again, InputRequiredResult)
        with pytest.raises(MCPError, match="requestState"):
            await client.session.call_tool(
                "drop_assignment", {"assignment": other}, request_state=asked.request_state, **repeated
            )
        assert stage.writes() == []
        done = await client.session.call_tool(
            "drop_assignment", {"assignment": first}, request_state=asked.request_state, **repeated
        )
        assert isinstance(done, CallToolResult)
    assert stage.state(first) == "dropped"
    assert stage.state(other) == "not_started"
