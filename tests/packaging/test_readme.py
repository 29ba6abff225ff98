"""The set-up lines of the README and of the other pages work as printed."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import sys
from pathlib import Path

import anyio
import pytest
from click.testing import CliRunner
from stage import ask, connected, small_tenant

from pp_mcp import contract
from pp_mcp.audit import verify
from pp_mcp.cli import main
from pp_mcp.commands.clients import BY_NAME, Launch
from pp_mcp.commands.demo import connecting
from tests.bench.__main__ import main as bench

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [README, *(path.read_text(encoding="utf-8") for path in [ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/**/*.md")])]
PROGRAM = "/path/to/.venv/bin/pp-mcp"


def blocks(language: str, *pages: str) -> list[str]:
    return [text for page in pages for text in re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL)]


def lines(*pages: str) -> list[list[str]]:
    """The lines of the pages' shell blocks, in words."""
    return [shlex.split(line, comments=True) for line in "".join(blocks("sh", *pages)).splitlines()]


def commands(*pages: str) -> list[list[str]]:
    """Every call of pp-mcp in the pages' shell blocks, and those that they have clients make: the arguments."""
    found: list[list[str]] = []
    for words in lines(*pages):
        for start, word in enumerate(words):
            if word.endswith("pp-mcp"):
                found.append(words[start + 1 :])
    return found


@pytest.mark.parametrize("arguments", commands(*PAGES), ids=" ".join)
def test_every_command_exists_with_its_options(arguments: list[str]) -> None:
    ended = CliRunner().invoke(main, [*arguments, "--help"])
    assert ended.exit_code == 0, ended.output


def ending_by_themselves() -> list[list[str]]:
    """The calls of pp-mcp that reach no tenant and serve nothing."""
    pages = [README, *((ROOT / name).read_text("utf-8") for name in ("CONTRIBUTING.md", "docs/audit-log.md"))]
    return [
        words for words in commands(*pages) if words and words[0] not in ("serve", "doctor") and "--api" not in words
    ]


@pytest.fixture
def audit_log(tmp_path: Path) -> Path:
    """An audit log with two changes."""

    async def change() -> None:
        async with connected(small_tenant(), audit_log=str(file)) as client:
            for name in ("A group", "Another group"):
                await ask(client, "create_group", name=name)

    file = tmp_path / "audit.jsonl"
    anyio.run(change)
    return file


@pytest.mark.parametrize("arguments", ending_by_themselves(), ids=" ".join)
def test_every_command_that_ends_by_itself_runs(
    arguments: list[str], audit_log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "docs").mkdir()
    for name in (*contract.TABLES, "server.json"):
        shutil.copy(ROOT / name, tmp_path / name)
    for name, value in {"HOME": str(tmp_path), "PP_API_TOKEN": "pp_x", "XDG_CONFIG_HOME": ""}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".cursor").mkdir()
    _, last, _ = verify(audit_log)
    given = {"FILE": str(audit_log), "HASH": last, "CLIENT": "cursor"}
    ended = CliRunner().invoke(main, [given.get(word, word) for word in arguments], input="y\n")
    assert ended.exit_code == 0, ended.output


def test_every_command_of_the_bench_exists() -> None:
    modules = [words for words in lines(*PAGES) if words[1:2] == ["-m"] and words[0].endswith("python")]
    found = [words[3:] for words in modules if words[2] == "tests.bench"]
    assert len(found) > 2
    for words in found:
        assert CliRunner().invoke(bench, [*words, "--help"]).exit_code == 0, words


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
