"""The clients that this server can be added to: where their settings are, and how a server stands in them."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from platformdirs import user_config_path

Json = dict[str, Any]

TOKEN = "PP_API_TOKEN"

VSCODE_INPUT: Json = {
    "type": "promptString",
    "id": "plusplus-token",
    "description": "PlusPlus API token",
    "password": True,
}
"""How VS Code is told to ask for the token; it keeps the answer encrypted."""


def program() -> list[str]:
    """How to start this program from anywhere: clients start servers without this shell's PATH."""
    if Path(sys.argv[0]).stem == "pp-mcp":
        return [os.path.abspath(sys.argv[0])]
    return [sys.executable, "-m", "pp_mcp"]


@dataclass(frozen=True)
class Launch:
    """How a client starts the server."""

    command: Sequence[str] = field(default_factory=program)
    address: Mapping[str, str] = field(default_factory=dict[str, str])
    """The setting that names the tenant; empty for the demo tenant."""

    @property
    def name(self) -> str:
        """What the server is called in a client's settings."""
        return "plusplus" if self.address else "plusplus-demo"

    @property
    def words(self) -> list[str]:
        """The whole command line."""
        return [*self.command, *([] if self.address else ["serve", "--demo"])]


@dataclass(frozen=True)
class ClientApp:
    """One client. `token` is how its settings refer to the API token; empty where they must hold the token itself."""

    name: str
    title: str
    path: str
    """Its user settings, below the home folder, or else below the system's folder for settings."""
    token: str
    section: str = "mcpServers"
    in_home: bool = True
    more: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def file(self) -> Path:
        """Its settings, whether they exist or not."""
        return (Path.home() if self.in_home else user_config_path(roaming=True)) / self.path

    @property
    def is_installed(self) -> bool:
        """Whether its settings or their folder are there."""
        return self.file.exists() or (self.file.parent != Path.home() and self.file.parent.is_dir())

    @property
    def is_toml(self) -> bool:
        """Whether its settings are TOML; all others are JSON."""
        return self.file.suffix == ".toml"

    def entry(self, launch: Launch, token: str = "pp_your_token") -> Json:
        """The server in this client's settings; `token` is used only where they must hold the token itself."""
        program, *arguments = launch.words
        entry: Json = {**self.more, "command": program, **({"args": arguments} if arguments else {})}
        if not launch.address:
            return entry
        if self.is_toml:
            return entry | {"env": dict(launch.address), "env_vars": [TOKEN]}
        return entry | {"env": {**launch.address, TOKEN: self.token or token}}

    def inputs(self, launch: Launch) -> list[Json]:
        """What the client must ask the person for, in its own form."""
        return [VSCODE_INPUT] if launch.address and "${input:" in self.token else []

    def printed(self, launch: Launch) -> str:
        """What to put into the settings by hand, or the command that does it."""
        entry = self.entry(launch)
        if self.name == "claude-code":
            given = [word for name, value in entry.get("env", {}).items() for word in ("-e", f"{name}={value}")]
            return shlex.join(["claude", "mcp", "add", launch.name, "-s", "user", *given, "--", *launch.words])
        if self.is_toml:
            return toml_table(f"{self.section}.{launch.name}", entry)
        asked = {"inputs": inputs} if (inputs := self.inputs(launch)) else {}
        return json.dumps({**asked, self.section: {launch.name: entry}}, indent=2, ensure_ascii=False)


CLIENTS = (
    ClientApp("claude-desktop", "Claude Desktop", "Claude/claude_desktop_config.json", "", in_home=False),
    ClientApp("claude-code", "Claude Code", ".claude.json", "${PP_API_TOKEN}", more={"type": "stdio"}),
    ClientApp("cursor", "Cursor", ".cursor/mcp.json", "${env:PP_API_TOKEN}"),
    ClientApp(
        "vscode",
        "VS Code",
        "Code/User/mcp.json",
        "${input:plusplus-token}",
        section="servers",
        in_home=False,
        more={"type": "stdio"},
    ),
    ClientApp("windsurf", "Windsurf", ".codeium/windsurf/mcp_config.json", "${env:PP_API_TOKEN}"),
    ClientApp("codex", "Codex", ".codex/config.toml", TOKEN, section="mcp_servers"),
    ClientApp("gemini-cli", "Gemini CLI", ".gemini/settings.json", "$PP_API_TOKEN"),
)

BY_NAME = {client.name: client for client in CLIENTS}


def toml_table(name: str, values: Json) -> str:
    """A TOML table of texts, lists of texts and tables of texts."""
    return "\n".join([f"[{name}]", *(f"{key} = {_toml(value)}" for key, value in values.items())])


def _toml(value: object) -> str:
    if isinstance(value, dict):
        pairs = (f"{key} = {_toml(inner)}" for key, inner in cast("Json", value).items())
        return f"{{ {', '.join(pairs)} }}"
    return json.dumps(value, ensure_ascii=False)
