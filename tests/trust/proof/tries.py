"""One row of the proof: an attack, how often it was tried, and what got past."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import anyio

LONGEST = 170
"""Seconds that one attack may take."""


@dataclass
class Tries:
    """What came of one attack."""

    tried: int = 0
    past: list[str] = field(default_factory=list[str])
    """What happened, for each try that did not hold."""
    figure: str = ""
    """What was measured, where the row is about a time or a number."""
    seconds: float = 0.0

    def held(self, holds: object, otherwise: object = "") -> None:
        """Counts a try. `otherwise` says what happened where it did not hold."""
        self.tried += 1
        if not holds:
            self.past.append(str(otherwise)[:300])

    @property
    def is_held(self) -> bool:
        """Whether every try held, and there was one."""
        return self.tried > 0 and not self.past

    @property
    def verdict(self) -> str:
        """For the table."""
        return "held" if self.is_held else f"**{len(self.past)} past**" if self.tried else "**not tried**"


@dataclass(frozen=True)
class Attack:
    """A row: `do` tries it. `beside` others run those that spend their time waiting."""

    section: str
    what: str
    do: Callable[[Tries], Awaitable[None]]
    beside: bool = False


ATTACKS: list[Attack] = []


def attack(section: str, what: str, *, beside: bool = False) -> Callable[[Callable[[Tries], Awaitable[None]]], None]:
    """Adds a row to the table."""

    def add(do: Callable[[Tries], Awaitable[None]]) -> None:
        ATTACKS.append(Attack(section, what, do, beside))

    return add


async def run(attack: Attack) -> Tries:
    """Tries it. What raises or takes too long did not hold."""
    tries = Tries()
    began = time.monotonic()
    try:
        with anyio.fail_after(LONGEST):
            await attack.do(tries)
    except Exception as error:
        while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
            error = error.exceptions[0]
        tries.held(False, f"{type(error).__name__}: {error}")
    tries.seconds = time.monotonic() - began
    return tries


def table(tried: list[tuple[Attack, Tries]]) -> str:
    """The rows, and below them what got past."""
    lines = ["| part | attack or fault | tried | held | measured |", "| --- | --- | ---: | --- | --- |"]
    lines += [
        f"| {attack.section} | {attack.what} | {tries.tried:,} | {tries.verdict} | {tries.figure} |"
        for attack, tries in tried
    ]
    held = sum(tries.is_held for _, tries in tried)
    total = sum(tries.tried for _, tries in tried)
    lines.append(f"\n{held} of {len(tried)} held; {total:,} tries.")
    for attack, tries in tried:
        if not tries.is_held:
            lines.append(f"\nNot held: {attack.what} ({tries.seconds:.0f} s)")
            lines += [f"  - {one}" for one in list(dict.fromkeys(tries.past))[:4]]
    return "\n".join(lines)
