"""Real clients, each in an environment of its own: what the model behind them gets to read."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from pp_mcp.config import Settings
from pp_mcp.menu import enabled

from .conftest import SERVE_DEMO

SCRIPTS = Path(__file__).parent / "clients"

CLIENTS = {
    "typescript-1": ("typescript.mjs", "@modelcontextprotocol/sdk@1.32.2"),
    "typescript-2": ("typescript.mjs", "@modelcontextprotocol/client@2.4.0"),
    "langchain": ("langchain_adapters.py", "langchain-mcp-adapters==0.3.2"),
    "pydantic-ai": ("pydantic_ai_agent.py", "pydantic-ai-slim[mcp]==2.68.0"),
    "google-genai": ("google_genai.py", "google-genai==3.6.1", "mcp==2.3.0"),
    "adk": ("adk.py", "google-adk[mcp]==2.13.0"),
    "openai-agents": ("openai_agents.py", "openai-agents==0.24.0"),
}
"""Each client's script and the packages it needs."""

DECLARED = "google-genai"
"""It only declares tools; calling them takes a model of Google's."""


def _heard(name: str, home: Path) -> dict[str, Any]:
    """Installs the client and has it talk to a server over the demo tenant; what it printed."""
    script, *packages = CLIENTS[name]
    if script.endswith(".mjs"):
        install = ["npm", "install", "--silent", "--no-audit", "--no-fund", *packages]
        program = ["node", SCRIPTS / script, name[-1]]
    else:
        subprocess.run([sys.executable, "-m", "venv", home], check=True)
        install = [home / "bin/pip", "install", "-q", "--disable-pip-version-check", *packages]
        program = [home / "bin/python", SCRIPTS / script]
    subprocess.run(install, cwd=home, check=True, stdout=subprocess.DEVNULL)
    ended = subprocess.run([*program, *SERVE_DEMO], cwd=home, capture_output=True, text=True, timeout=150)
    assert ended.returncode == 0, ended.stderr[-4_000:]
    return json.loads(ended.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def talks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Future[dict[str, Any]]]]:
    """What each client heard; two are at work at a time, whichever test waits."""
    with ThreadPoolExecutor(2) as pool:
        yield {name: pool.submit(_heard, name, tmp_path_factory.mktemp(name)) for name in CLIENTS}


@pytest.mark.parametrize("name", CLIENTS)
def test_the_client_takes_every_tool(name: str, talks: dict[str, Future[dict[str, Any]]]) -> None:
    heard = talks[name].result()
    assert heard["tools"] == len(enabled(Settings().toolsets))
    assert not heard.get("failed")


@pytest.mark.parametrize("name", [name for name in CLIENTS if name != DECLARED])
def test_the_model_reads_what_it_needs(name: str, talks: dict[str, Future[dict[str, Any]]]) -> None:
    heard = {step: str(said).replace('": ', '":') for step, said in talks[name].result().items()}
    assert not {step: said for step, said in heard.items() if said.startswith("FAILED")}
    assert '"total_count":300' in heard["read"]
    assert heard["filled"] == heard["read"]
    assert "nobody@example.com" in heard["error"]
    assert "list_users" in heard["error"]
    assert '"rows":[{"state"' in heard["report"]
    assert '"status":"confirmation_required"' in heard["preview"]
    assert '"status":"done"' in heard["confirmed"]
