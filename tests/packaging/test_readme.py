"""The set-up lines of the README and of the other pages work as printed."""

from __future__ import annotations

import json
import re
import shlex
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from pp_mcp.cli import main
from pp_mcp.commands.clients import BY_NAME, Launch
from pp_mcp.commands.demo import connecting

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [README, *(path.read_text(encoding="utf-8") for path in [ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/**/*.md")])]
PROGRAM = "/path/to/.venv/bin/pp-mcp"


def blocks(language: str, *pages: str) -> list[str]:
    return [text for page in pages for text in re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL)]


def commands() -> list[list[str]]:
    """Every call of pp-mcp in the pages' shell blocks, and those that they have clients make: the arguments."""
    found: list[list[str]] = []
    for line in "".join(blocks("sh", *PAGES)).splitlines():
        words = shlex.split(line, comments=True)
        for start, word in enumerate(words):
            if word.endswith("pp-mcp"):
                found.append(words[start + 1 :])
    return found


@pytest.mark.parametrize("arguments", commands(), ids=" ".join)
def test_every_command_exists_with_its_options(arguments: list[str]) -> None:
    ended = CliRunner().invoke(main, [*arguments, "--help"])
    assert ended.exit_code == 0, ended.output


def test_the_readmes_settings_are_what_init_prints(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [PROGRAM])
    assert blocks("json", README) == [BY_NAME["cursor"].printed(Launch(address={"PP_TENANT": "acme"})) + "\n"]


@pytest.mark.parametrize("program", ["pp-mcp", "__main__.py"])
def test_the_demo_prints_lines_that_start_it_from_anywhere(program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [f"bin dir/{program}"])
    text = connecting()
    entry = json.loads(text[text.index("{") : text.rindex("}") + 1])["mcpServers"]["plusplus-demo"]
    assert Path(entry["command"]).is_absolute()
    assert (entry["args"][:2] == ["-m", "pp_mcp"]) == (program != "pp-mcp")
    line = next(line for line in text.splitlines() if "claude mcp add" in line)
    assert shlex.split(line.partition(" -- ")[2]) == [entry["command"], *entry["args"]]


def test_what_the_demo_prints_is_in_the_readme(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [PROGRAM])
    assert connecting() in README
