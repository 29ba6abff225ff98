"""Bundles, extensions and settings as the clients' own programs take them."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import Client
from mcp.client.stdio import StdioServerParameters, stdio_client

from pp_mcp.commands.clients import BY_NAME, Launch
from pp_mcp.commands.init import planned
from pp_mcp.demo import DEMO_TOKEN

from .conftest import Run

ROOT = Path(__file__).parents[2]
BUNDLES = ROOT / "bundles"
MCPB, GEMINI, CLAUDE = "@anthropic-ai/mcpb", "@google/gemini-cli", "@anthropic-ai/claude-code"
NPM = (f"{MCPB}@2.1.2", f"{GEMINI}@0.61.0", f"{CLAUDE}@2.1.197")
UV = "uv==0.13.9"


@pytest.fixture(scope="module")
def uv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """uv's programs, in a folder of their own."""
    folder = tmp_path_factory.mktemp("uv")
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", "--target", folder, UV], check=True)
    return folder / "bin"


def test_the_official_packer_takes_the_bundle(node: Run, tmp_path: Path) -> None:
    script = f"{MCPB}/dist/cli/cli.js"
    for arguments in (
        ("validate", BUNDLES / "mcpb" / "manifest.json"),
        ("pack", BUNDLES / "mcpb", tmp_path / "pp-mcp.mcpb"),
        ("info", tmp_path / "pp-mcp.mcpb"),
    ):
        ended = node(script, *arguments)
        assert ended.returncode == 0, ended.stdout + ended.stderr


def test_the_bundle_with_the_source_serves(uv: Path, tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    subprocess.run([sys.executable, BUNDLES / "with_source.py", folder], check=True)
    start = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["server"]["mcp_config"]
    answers = {"tenant": "acme", "api_token": DEMO_TOKEN, "read_only": "true"}
    environment = {name: answers[value[len("${user_config.") : -1]] for name, value in start["env"].items()}
    environment |= {"PATH": f"{uv}:{os.environ['PATH']}", "HOME": str(tmp_path), "UV_PYTHON": sys.executable}
    certificates = {name: os.environ[name] for name in ("SSL_CERT_FILE",) if name in os.environ}
    program = StdioServerParameters(
        command=str(uv / start["command"]),
        args=[word.replace("${__dirname}", str(folder)) for word in start["args"]],
        env=environment | certificates,
    )

    async def names() -> set[str]:
        with anyio.fail_after(300):
            async with Client(stdio_client(program)) as client:
                return {tool.name for tool in (await client.list_tools()).tools}

    served = anyio.run(names)
    assert "report_assignments" in served
    assert "delete_content_item" not in served, "only reading was asked for"


def test_uvx_runs_the_checkout(uv: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "HOME": str(tmp_path), "UV_PYTHON": sys.executable}

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [uv / "uvx", "--from", ROOT, "pp-mcp", *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)

    assert "pp-mcp serves" in run("demo").stdout
    ended = run("init", "--demo", "--yes", "cursor")
    assert (ended.returncode, "uv tool install" in ended.stderr) == (2, True), ended.stderr
    assert not (tmp_path / ".cursor").exists()


def claude(modules: Path, *arguments: str | Path, cwd: Path, **environment: str) -> str:
    program = modules / CLAUDE / "bin" / "claude.exe"
    ended = subprocess.run(
        [program, *arguments],
        cwd=cwd,
        env={**os.environ, "HOME": str(cwd), **environment},
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=120,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


@pytest.mark.parametrize("folder", [BUNDLES / "claude-code", ROOT], ids=["plugin", "marketplace"])
def test_claude_code_takes_the_plugin(folder: Path, modules: Path, tmp_path: Path) -> None:
    said = claude(modules, "plugin", "validate", folder, cwd=tmp_path)
    assert "Validation passed" in said
    assert "warning" not in said


def test_claude_code_installs_the_plugin_from_the_checkout(modules: Path, tmp_path: Path) -> None:
    claude(modules, "plugin", "marketplace", "add", ROOT, cwd=tmp_path)
    claude(modules, "plugin", "install", "plusplus@pp-mcp", cwd=tmp_path)
    installed = claude(modules, "plugin", "details", "plusplus", cwd=tmp_path)
    for skill in (BUNDLES / "claude-code" / "skills").iterdir():
        assert skill.name in installed


def test_claude_code_takes_the_readmes_line_for_http(modules: Path, tmp_path: Path) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (line,) = [shlex.split(one) for one in readme.splitlines() if one.startswith("claude mcp add")]
    claude(modules, *line[1:], cwd=tmp_path)
    kept = json.loads((tmp_path / ".claude.json").read_text(encoding="utf-8"))["mcpServers"]["plusplus"]
    assert kept == {"type": "http", "url": "http://127.0.0.1:8000/mcp"}


def test_gemini_takes_the_extension(node: Run) -> None:
    ended = node(f"{GEMINI}/bundle/gemini.js", "extensions", "validate", BUNDLES / "gemini-cli")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "successfully validated" in ended.stdout + ended.stderr


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder with a program that notes what it is started with, and the two clients' first settings."""
    program = tmp_path / "pp-mcp"
    note = f'echo "$PP_TENANT $PP_API_TOKEN" >> {tmp_path}/seen'
    program.write_text(f"#!/bin/sh\n{note}\nexec {sys.executable} -m pp_mcp serve --demo\n", encoding="utf-8")
    program.chmod(0o700)
    (tmp_path / ".gemini").mkdir()
    trusting: dict[str, Any] = {"security": {"folderTrust": {"enabled": False}}}
    (tmp_path / ".gemini" / "settings.json").write_text(json.dumps(trusting), encoding="utf-8")
    (tmp_path / ".claude.json").write_text("{}", encoding="utf-8")
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("name", ["claude-code", "gemini-cli"])
def test_a_connected_client_starts_the_server_with_tenant_and_token(
    name: str, home: Path, modules: Path, node: Run
) -> None:
    change = planned(BY_NAME[name], Launch([str(home / "pp-mcp")], {"PP_TENANT": "acme"}))
    assert change is not None
    change.write()
    if name == "claude-code":
        assert "plusplus" in claude(modules, "mcp", "list", cwd=home, PP_API_TOKEN="pp_from_outside")
    else:
        script = f"{GEMINI}/bundle/gemini.js"
        ended = node(script, "mcp", "list", cwd=home, HOME=str(home), PP_API_TOKEN="pp_from_outside")
        assert "plusplus" in ended.stdout + ended.stderr
    assert (home / "seen").read_text(encoding="utf-8").split() == ["acme", "pp_from_outside"]
