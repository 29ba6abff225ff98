"""What docs/shell.md says can be typed can be typed, and ends as it says."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from pp_mcp.cli import COMMANDS, main
from pp_mcp.commands.call import DONE, FAILED, NOT_CONFIRMED, PARTIAL, USAGE
from pp_mcp.commands.doctor import STATES

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "shell.md").read_text(encoding="utf-8")

LINES = [line for block in re.findall(r"```sh\n(.*?)```", PAGE, re.S) for line in block.splitlines()]


def test_every_line_ends_as_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PP_TENANT", "PP_BASE_URL", "PP_API_TOKEN", "PP_ROUTES", "PP_TOOLSETS", "PP_CONFIRM", "PP_AUDIT_LOG"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "tests" / "demo").mkdir(parents=True)
    shutil.copy(ROOT / "tests" / "demo" / "openapi.json", tmp_path / "tests" / "demo")
    monkeypatch.chdir(tmp_path)
    assert len(LINES) > 12
    for line in LINES:
        program, *arguments = shlex.split(line, comments=True)
        assert program == "pp-mcp"
        told = re.search(r"# exit (\d)$", line)
        ended = CliRunner().invoke(main, arguments)
        assert ended.exit_code == (int(told[1]) if told else 0), f"{line}\n{ended.output}"
    assert (tmp_path / "overdue.csv").read_text(encoding="utf-8").startswith("user")


def test_every_state_and_exit_code_is_explained() -> None:
    tables = re.findall(r"\| --- \| --- \|\n((?:\|.*\n)+)", PAGE)
    states, codes = ([line.split("|")[1].strip() for line in table.splitlines()] for table in tables)
    assert states == list(STATES)
    assert codes == [str(code) for code in (DONE, FAILED, USAGE, NOT_CONFIRMED, PARTIAL)]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_lines_for_completion_are_those_of_the_program(shell: str) -> None:
    assert f"_PP_MCP_COMPLETE={shell}_source pp-mcp" in PAGE
    script = CliRunner().invoke(main, [], prog_name="pp-mcp", env={"_PP_MCP_COMPLETE": f"{shell}_source"})
    assert f"_PP_MCP_COMPLETE={shell}_complete" in script.stdout
    assert {"call", "doctor", "tools"} <= set(COMMANDS)
