"""The benchmark of the main job: every chore comes out right by both ways, and ours costs the fraction we promise."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from tests.bench.chore_changes import CHANGES
from tests.bench.chore_questions import QUESTIONS
from tests.bench.tasks import Comparison, Desk, menus, run, solve, table, total

TASKS = [*QUESTIONS, *CHANGES]


@pytest.fixture(scope="module")
def compared() -> list[Comparison]:
    said: list[str] = []
    done = anyio.run(run, TASKS, said.append, 0.0)
    assert len(said) == len(TASKS)
    return done


def test_there_are_twenty(compared: list[Comparison]) -> None:
    assert len({one.words for one in compared}) == len(TASKS) == 20


@pytest.mark.parametrize("number", range(len(TASKS)), ids=[task.words for task in TASKS])
def test_it_comes_out_right_by_both_ways(compared: list[Comparison], number: int) -> None:
    one = compared[number]
    assert (one.ours.right, one.mirror.right) == (True, True)
    assert one.ours.calls <= one.mirror.calls
    assert one.ours.tokens < one.mirror.tokens


def test_ours_takes_a_tenth_of_the_tokens_and_a_third_of_the_calls(compared: list[Comparison]) -> None:
    both = total(compared)
    assert both.ours.tokens * 10 <= both.mirror.tokens
    assert both.ours.calls * 3 <= both.mirror.calls


def test_the_readme_has_these_figures(compared: list[Comparison]) -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    both = total(compared)
    for words, ours, mirror in (
        ("calls that the model makes", both.ours.calls, both.mirror.calls),
        ("tokens of calls and answers", both.ours.tokens, both.mirror.tokens),
        ("tokens of the menu, read once beside", *anyio.run(menus)),
    ):
        (row,) = re.findall(rf"^\| {words} \| ([\d,]+) \| ([\d,]+) \| 1 : ([\d.]+) \|$", readme, re.MULTILINE)
        said = [float(cell.replace(",", "")) for cell in row]
        assert said == pytest.approx([ours, mirror, mirror / ours], rel=0.1)


def test_the_table_has_a_row_for_each(compared: list[Comparison]) -> None:
    lines = table(compared, anyio.run(menus)).splitlines()
    assert len([line for line in lines if line.startswith("| ")]) == len(TASKS) + 3
    assert "no" not in {line.rpartition("| ")[2].split()[0] for line in lines if line.startswith("| ")}


def test_a_wrong_answer_and_a_wrong_state_are_seen() -> None:
    async def nothing(_desk: Desk) -> None:
        return None

    async def idle() -> list[str]:
        made = [replace(task, ours=nothing) for task in TASKS]
        return [task.words for task in made if (await solve(task, ours=True, latency=0)).right]

    assert anyio.run(idle) == []
