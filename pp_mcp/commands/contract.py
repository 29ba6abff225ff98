"""`pp-mcp contract`: the files that say what the tools are."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from pp_mcp.commands import stop


@click.command()
@click.option("--write", is_flag=True, help="Write the files.")
@click.option("--check", is_flag=True, help="Exit with 1 if a file differs from the code.")
@click.option("--root", type=click.Path(file_okay=False, exists=True, path_type=Path), default=Path(), help="Checkout.")
def contract(write: bool, check: bool, root: Path) -> None:
    """Write or check the contract: tools/, and what the pages and server.json say about tools and settings."""
    from pp_mcp import contract as files

    if write == check:
        stop("Give either --write or --check.")
    try:
        found = files.write(root) if write else files.differences(root)
    except (OSError, ValueError) as error:
        stop(str(error))
    for path, what in found.items():
        name = path.relative_to(root)
        click.echo(f"{what}: {name}" if write else f"{name} {what}")
    if check and found:
        click.echo("Run: pp-mcp contract --write", err=True)
        sys.exit(1)
