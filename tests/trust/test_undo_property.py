"""Any write on any state, then its undo exactly as given: the tenant is as it was before, or as the answer said."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from mcp import Client
from stage import FULL, Json, Network, Stage, confirmed

from pp_mcp.declare import Effect
from pp_mcp.inventory import ALL_TOOLS

from .moves import MOVES, Move
from .tenant import quiet, tiny

pytestmark = pytest.mark.anyio


def test_every_write_is_among_the_moves() -> None:
    assert {move.tool for move in MOVES} == {tool.name for tool in ALL_TOOLS if tool.effect is not Effect.READ}


async def make(stage: Stage, move: Move, seed: int) -> str:
    """Makes one move and takes it back; answers what came of it."""
    arguments = move.draw(stage, Random(seed))
    if arguments is None:
        return "nothing to draw"
    before = stage.snapshot()
    answer = await confirmed(stage.client, move.tool, **arguments)
    after = stage.snapshot()
    if answer["status"] == "unchanged":
        assert after == before
        assert "undo" not in answer
        return "unchanged"
    assert answer["status"] == "done", answer
    assert after != before
    if move.leaves == "all":
        assert "undo" not in answer
        assert len(answer["undo_note"]) > 20
        return "for good"
    undo = answer["undo"]
    for one in undo if isinstance(undo, list) else [undo]:
        back = await confirmed(stage.client, one["tool"], **one["arguments"])
        assert back["status"] == "done", back
    left = stage.snapshot()
    if move.leaves == "dropped":
        forgive_dropped(before, left, answer)
    assert left == before
    # Half of the time it is done after all, so that the next move meets another state.
    if seed % 2:
        again = await confirmed(stage.client, move.tool, **arguments)
        assert again["status"] in ("done", "unchanged")
    return "restored"


def forgive_dropped(before: Json, left: Json, answer: Json) -> None:
    """What assigning and dropping leaves, and nothing else: the new assignments, dropped, counted with their items."""
    assert "ropped" in answer["undo_note"]
    made = {key: left["assignments"].pop(key) for key in set(left["assignments"]) - set(before["assignments"])}
    assert len(made) == answer.get("succeeded", 1)
    left["expiry"] = {key: left["expiry"][key] for key in before["expiry"]}
    for one in made.values():
        assert (one["state"], one["progress"], one["score"]) == ("dropped", 0.0, None)
        left["content_items"][one["content_item"]]["total_assignments"] -= 1


ONE = st.tuples(st.integers(0, len(MOVES) - 1), st.integers(0, 2**20))


@settings(max_examples=150 if FULL else 15)
@given(st.lists(ONE, min_size=4, max_size=7))
@example([(number, 3 * number) for number in range(len(MOVES))])
@example([(number, 7 * number + 1) for number in range(len(MOVES))])
async def test_every_undo_brings_back_any_state(
    assistant: Client, network: Network, anyio_backend: Any, moves: list[tuple[int, int]]
) -> None:
    await quiet()
    stage = Stage(tiny(), network=network, client=assistant)
    try:
        for number, seed in moves:
            await make(stage, MOVES[number], seed)
    finally:
        stage.close()


@pytest.mark.parametrize("move", [move for move in MOVES if move.leaves != "all"], ids=lambda move: move.label)
async def test_each_kind_is_really_taken_back(move: Move, stage: Stage) -> None:
    """So that the property above cannot pass by never meeting a change."""
    came_of_it = [await make(stage, move, seed) for seed in range(0, 20, 2)]
    assert came_of_it.count("restored") >= 3, came_of_it


async def test_only_what_this_call_did(stage: Stage) -> None:
    """Five are added, two of whom were in: the undo removes three, and nobody who came by other ways since."""
    group = stage.group()
    there, new = stage.members(group), stage.strangers(group, 4)
    answer = await confirmed(stage.client, "add_group_members", group=group, members=there[:2] + new[:3])
    assert len(answer["undo"]["arguments"]["members"]) == 3
    await confirmed(stage.client, "add_group_members", group=group, members=new[3:])
    await confirmed(stage.client, answer["undo"]["tool"], **answer["undo"]["arguments"])
    assert stage.members(group) == sorted([*there, new[3]])
