"""Attacks and faults, each tried many times against the server; where times matter, against real processes."""

from __future__ import annotations

import importlib
import logging
import sys
import time

import anyio
import click

from .tries import ATTACKS, Attack, Tries, run, table

MODULES = ("gate", "tokens", "outcomes", "bulk", "audit", "http", "api", "text", "times")


@click.command()
@click.option("--only", default="", help="Only rows whose section or words contain this text.")
def main(only: str) -> None:
    """Tries every attack and prints what held; exit 1 where something did not."""
    logging.disable(logging.CRITICAL)
    for name in MODULES:
        importlib.import_module(f"{__name__}.{name}")
    chosen = [one for one in ATTACKS if only.casefold() in f"{one.section} {one.what}".casefold()]
    began = time.monotonic()
    tried = anyio.run(everything, chosen)
    click.echo(table(tried))
    click.echo(f"\n{time.monotonic() - began:.0f} s")
    sys.exit(not all(tries.is_held for _, tries in tried))


async def everything(chosen: list[Attack]) -> list[tuple[Attack, Tries]]:
    """Tries them one after the other, and beside them those that spend their time waiting."""
    tried: dict[str, Tries] = {}

    async def one(attack: Attack) -> None:
        tried[attack.what] = await run(attack)
        click.echo(f"{tried[attack.what].verdict:>12}  {attack.what}", err=True)

    async with anyio.create_task_group() as group:
        for attack in chosen:
            if attack.beside:
                group.start_soon(one, attack)
        for attack in chosen:
            if not attack.beside:
                await one(attack)
    return [(attack, tried[attack.what]) for attack in chosen]
