"""The proof notices what does not hold: it is run by itself, so its own eyes are tested here."""

from __future__ import annotations

import importlib

import anyio
import pytest

from .proof import MODULES
from .proof import __name__ as package
from .proof.tries import ATTACKS, Attack, Tries, run, table

pytestmark = pytest.mark.anyio


async def test_what_gets_past_is_said() -> None:
    async def mixed(tries: Tries) -> None:
        tries.held(True, "never shown")
        tries.held(False, "the door was open")

    tries = await run(Attack("gate", "a door", mixed))
    assert (tries.tried, tries.past, tries.is_held) == (2, ["the door was open"], False)
    shown = table([(Attack("gate", "a door", mixed), tries)])
    assert "| gate | a door | 2 | **1 past** |" in shown
    assert "0 of 1 held; 2 tries." in shown
    assert "the door was open" in shown
    assert "never shown" not in shown


async def test_what_raises_did_not_hold() -> None:
    async def breaks(tries: Tries) -> None:
        tries.held(True)
        raise ValueError("of its own")

    tries = await run(Attack("gate", "a door", breaks))
    assert not tries.is_held
    assert tries.past == ["ValueError: of its own"]


async def test_what_was_not_tried_did_not_hold() -> None:
    async def nothing(_: Tries) -> None:
        await anyio.lowlevel.checkpoint()

    tries = await run(Attack("gate", "a door", nothing))
    assert not tries.is_held
    assert "not tried" in tries.verdict


def test_every_part_has_its_rows() -> None:
    for name in MODULES:
        importlib.import_module(f"{package}.{name}")
    assert {one.section for one in ATTACKS} == set(MODULES)
    assert len({one.what for one in ATTACKS}) == len(ATTACKS) >= 60
