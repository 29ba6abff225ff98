"""`python -m tests.bench [reports|requests|http|start|menu|soak|asked|tasks]`."""

from __future__ import annotations

import logging
import sys

import anyio
import click

from tests.bench import asked as asking
from tests.bench import http as serving
from tests.bench import menu as menus
from tests.bench import reports as reporting
from tests.bench import requests as counting
from tests.bench import soak as soaking
from tests.bench import start as starting
from tests.bench import tasks as doing
from tests.bench.chore_changes import CHANGES
from tests.bench.chore_questions import QUESTIONS
from tests.bench.tenant import Place


@click.group(invoke_without_command=True)
@click.pass_context
def main(context: click.Context) -> None:
    """Measures the server; without a command, the reports at full size."""
    if context.invoked_subcommand is None:
        context.invoke(reports)


@main.command()
@click.option("--people", type=click.IntRange(min=60), default=Place.people, show_default=True)
@click.option("--assignments", type=click.IntRange(min=1), default=Place.assignments, show_default=True)
@click.option("--latency", type=click.FloatRange(min=0), default=Place.latency, show_default=True, help="Seconds.")
@click.option("--rate", type=click.IntRange(min=1), default=Place.rate, show_default=True, help="Requests a window.")
@click.option("--window", type=click.FloatRange(min=0.1), default=Place.window, show_default=True, help="Seconds.")
@click.option("--bulk", type=click.IntRange(1, 1_000), default=500, show_default=True, help="People to assign to.")
@click.option("--memory/--no-memory", default=True, help="Measure memory too, which takes about as long again.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def reports(
    people: int = Place.people,
    assignments: int = Place.assignments,
    latency: float = Place.latency,
    rate: int = Place.rate,
    window: float = Place.window,
    bulk: int = 500,
    memory: bool = True,
    as_json: bool = False,
) -> None:
    """Questions to the server and to a mirror of the API, side by side."""
    place = Place(people, assignments, latency, rate, window)

    async def run() -> list[reporting.Line]:
        return await reporting.run(
            place, memory=memory, bulk=min(bulk, people // 2), say=lambda text: click.echo(text, err=True)
        )

    lines = anyio.run(run)
    click.echo(reporting.as_json(lines) if as_json else reporting.table(lines))


@main.command()
@click.option("--rounds", type=click.IntRange(1, 100), default=5, show_default=True, help="Turns of each server.")
@click.option("--seconds", type=click.FloatRange(0.2, 60), default=2.0, show_default=True, help="Of a turn.")
def http(rounds: int, seconds: float) -> None:
    """Calls a second over HTTP beside a bare server of the SDK; exit 1 where a goal is missed. Linux only."""
    sys.exit(not anyio.run(serving.run, rounds, seconds, click.echo))


@main.command()
@click.option("--minutes", type=click.FloatRange(0.05, 60), default=2.0, show_default=True)
def soak(minutes: float) -> None:
    """Mixed traffic against a faulty tenant; exit 1 where a promise is broken. Linux only: it reads /proc."""
    logging.basicConfig(level=logging.CRITICAL, stream=sys.stderr)

    async def run() -> soaking.Tally:
        return await soaking.run(minutes, lambda text: click.echo(text, err=True))

    tally = anyio.run(run)
    click.echo(tally.table())
    sys.exit(bool(tally.wrong))


@main.command()
@click.option("--times", type=click.IntRange(1, 100), default=10, show_default=True)
def start(times: int) -> None:
    """Seconds until the first list of tools; exit 1 where it takes too long beside a bare server."""
    runs = list(starting.run(times))
    click.echo(starting.table(runs))
    sys.exit(starting.ratio(runs) > starting.LIMIT)


@main.command()
def menu() -> None:
    """Characters of the menu of tools; exit 1 where it is over its budget."""
    click.echo(menus.table())
    sys.exit(menus.total() > menus.BUDGET)


@main.command()
def requests() -> None:
    """Requests that the commonest tools make; exit 1 where one makes more than it may."""
    found = anyio.run(counting.spent)
    click.echo(counting.table(found))
    sys.exit(any(one.is_over for one in found))


@main.command()
def asked() -> None:
    """Thirty kinds of question on the demo tenant: calls and characters of each."""
    click.echo(asking.table(anyio.run(asking.run)))


@main.command()
@click.option("--latency", type=click.FloatRange(min=0), default=doing.LATENCY, show_default=True, help="Seconds.")
def tasks(latency: float) -> None:
    """Twenty chores by our tools and by a plain mirror of the API; exit 1 where one comes out wrong."""

    async def run() -> tuple[list[doing.Comparison], tuple[int, int]]:
        done = await doing.run([*QUESTIONS, *CHANGES], lambda text: click.echo(text, err=True), latency)
        return done, await doing.menus()

    done, menu = anyio.run(run)
    click.echo(doing.table(done, menu))
    sys.exit(not doing.total(done).ours.right)


if __name__ == "__main__":
    main()
