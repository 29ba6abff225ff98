"""What clients install the server from: as the code has it, by the vendors' schemas where they can be read here."""

from __future__ import annotations

import base64
import json
import re
import runpy
import shlex
import struct
import tomllib
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import anyio
import jsonschema
import pytest
from click.testing import CliRunner
from stage import connected

from pp_mcp import __version__
from pp_mcp.cli import main
from pp_mcp.commands.clients import BY_NAME
from pp_mcp.config import Settings, load
from pp_mcp.demo import Tenant
from pp_mcp.inventory import BY_NAME as TOOLS
from pp_mcp.server.clients import TENANT, TOKEN
from pp_mcp.server.narrowing import ONLY_TOOLSETS, READ_ONLY

ROOT = Path(__file__).parents[2]
bundles = runpy.run_path(str(ROOT / "bundles" / "make.py"))
SKILLS = sorted((ROOT / "bundles" / "claude-code" / "skills").glob("*/SKILL.md"))


def read(path: str) -> dict[str, Any]:
    return json.loads((ROOT / path).read_text(encoding="utf-8"))


def test_the_committed_files_are_what_the_code_makes() -> None:
    made: dict[str, str] = bundles["files"]()
    assert {path: (ROOT / path).read_text("utf-8") for path in made} == made, "run: python bundles/make.py"


def test_all_say_this_version() -> None:
    found = {
        "mcpb": read("bundles/mcpb/manifest.json")["version"],
        "its project": tomllib.loads((ROOT / "bundles/mcpb/pyproject.toml").read_text("utf-8"))["project"]["version"],
        "plugin": read("bundles/claude-code/.claude-plugin/plugin.json")["version"],
        "marketplace": read(".claude-plugin/marketplace.json")["plugins"][0]["version"],
        "extension": read("bundles/gemini-cli/gemini-extension.json")["version"],
    }
    assert found == dict.fromkeys(found, __version__)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert (project["license"], project["license-files"]) == (bundles["LICENSE"], ["LICENSE"])
    licence = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert "Apache License" in licence
    assert "Copyright 2026 the pp-mcp authors" in licence
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert __version__ in changes


def test_the_bundle_lists_the_tools_that_are_on_by_default() -> None:
    listed = {one["name"]: one["description"] for one in read("bundles/mcpb/manifest.json")["tools"]}
    assert listed == {tool.name: tool.title for tool in TOOLS.values() if tool.toolset != "tokens"}


def environments() -> list[Any]:
    """What each client puts into the server's environment once a person has answered what it asks."""
    answers = {"tenant": "acme", "api_token": "pp_x", "read_only": "true"}

    def filled(server: dict[str, Any]) -> dict[str, str]:
        return {
            name: re.sub(r"\$\{user_config\.(\w+)\}", lambda m: answers[m[1]], v) for name, v in server["env"].items()
        }

    bundle, plugin = read("bundles/mcpb/manifest.json"), read("bundles/claude-code/.mcp.json")
    settings = read("bundles/gemini-cli/gemini-extension.json")["settings"]
    return [
        pytest.param(filled(bundle["server"]["mcp_config"]), id="claude-desktop"),
        pytest.param(filled(plugin["mcpServers"]["plusplus"]), id="claude-code"),
        pytest.param({one["envVar"]: answers[one["envVar"].lower()[3:]] for one in settings}, id="gemini-cli"),
    ]


@pytest.mark.parametrize("environment", environments())
def test_what_is_asked_are_settings(environment: dict[str, str]) -> None:
    settings = load(environ=environment)
    assert (settings.tenant, settings.api_token.get_secret_value(), settings.read_only) == ("acme", "pp_x", True)
    assert settings.warnings == []


def test_the_token_is_asked_for_as_a_secret() -> None:
    bundle, plugin = read("bundles/mcpb/manifest.json"), read("bundles/claude-code/.claude-plugin/plugin.json")
    for asked in (bundle["user_config"], plugin["userConfig"]):
        assert [name for name, one in asked.items() if one.get("sensitive")] == ["api_token"]
        assert all(one["description"] == Settings.model_fields[name].description for name, one in asked.items())
    extension = read("bundles/gemini-cli/gemini-extension.json")
    assert [one["envVar"] for one in extension["settings"] if one["sensitive"]] == ["PP_API_TOKEN"]


def test_the_icon_is_a_square_picture() -> None:
    icon = (ROOT / "bundles/mcpb" / read("bundles/mcpb/manifest.json")["icon"]).read_bytes()
    assert icon[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", icon[16:24]) == (512, 512)
    assert "<script" not in (ROOT / "bundles/icon.svg").read_text(encoding="utf-8")


def test_the_marketplace_offers_the_plugin_that_is_there() -> None:
    (offered,) = read(".claude-plugin/marketplace.json")["plugins"]
    assert read(f"{offered['source']}/.claude-plugin/plugin.json")["name"] == offered["name"]


def links() -> dict[str, str]:
    page = (ROOT / "docs/publishing.md").read_text(encoding="utf-8")
    return dict(re.findall(r"\[!\[Install in ([\w ]+)\]\([^)]+\)\]\((\S+)\)", page))


def test_the_link_for_vs_code_says_what_to_start_and_asks_for_the_rest() -> None:
    (inner,) = parse_qs(urlsplit(links()["VS Code"]).query)["url"]
    scheme, _, config = inner.partition("?")
    made = json.loads(unquote(config))
    assert scheme == "vscode:mcp/install"
    assert (made["name"], made["command"], made["args"]) == ("plusplus", "uvx", [f"pp-mcp@{__version__}"])
    used = set(re.findall(r"\$\{input:([\w-]+)\}", json.dumps(made["env"])))
    asked = {one["id"]: one["password"] for one in made["inputs"]}
    assert asked == {"plusplus-tenant": False, "plusplus-token": True}
    assert used == set(asked)
    assert set(made["env"]) == {"PP_TENANT", "PP_API_TOKEN"}


def test_the_link_for_cursor_says_what_to_start_and_holds_no_token() -> None:
    query = parse_qs(urlsplit(links()["Cursor"]).query)
    made = json.loads(base64.b64decode(query["config"][0], validate=True))
    assert query["name"] == ["plusplus"]
    assert (made["command"], made["args"]) == ("uvx", [f"pp-mcp@{__version__}"])
    assert made["env"] == {"PP_TENANT": "acme", "PP_API_TOKEN": BY_NAME["cursor"].token}


def test_the_lines_for_a_shell_start_this_server() -> None:
    page = (ROOT / "docs/publishing.md").read_text(encoding="utf-8")
    block = page.partition("<!-- install -->")[2].partition("<!-- /install -->")[0]
    uvx, docker = (shlex.split(line) for line in block.partition("```sh\n")[2].partition("```")[0].splitlines())
    assert uvx[:2] == ["uvx", f"pp-mcp@{__version__}"]
    image = docker.index(f"pp-mcp/pp-mcp:{__version__}")
    assert docker[:image] == ["docker", "run", "--rm", "-i", "-e", "PP_TENANT", "-e", "PP_API_TOKEN"]
    assert load(environ={name: "pp-x" for name in docker if name.startswith("PP_")}).missing == []
    for words in (uvx[2:], docker[image + 1 :]):
        assert CliRunner().invoke(main, [*words, "--help"]).exit_code == 0


def test_the_registry_knows_the_headers_that_the_server_reads() -> None:
    (remote,) = read("server.json")["remotes"]
    headers = {one["name"].lower(): one for one in remote["headers"]}
    assert set(headers) == {"authorization", TOKEN, TENANT, READ_ONLY, ONLY_TOOLSETS}
    assert {name for name, one in headers.items() if one.get("isSecret")} == {"authorization", "x-pp-token"}
    assert re.findall(r"\{(\w+)\}", remote["url"]) == list(remote["variables"])


# --- skills -------------------------------------------------------------------------------------------------------


def calls_of(skill: Path) -> list[tuple[str, dict[str, Any]]]:
    """The calls that a skill shows, in order."""
    blocks = re.findall(r"```tool\n(.*?)```", skill.read_text(encoding="utf-8"), re.DOTALL)
    lines = [line.strip() for block in blocks for line in block.strip().splitlines()]
    return [(line.partition(" ")[0], json.loads(line.partition(" ")[2])) for line in lines]


def test_there_are_five() -> None:
    assert len(SKILLS) == 5


@pytest.mark.parametrize("skill", SKILLS, ids=lambda path: path.parent.name)
def test_a_skill_says_what_it_is_for(skill: Path) -> None:
    head = re.match(r"---\nname: (.+)\ndescription: (.+)\n---\n", skill.read_text(encoding="utf-8"))
    assert head is not None
    assert head[1] == skill.parent.name
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", head[1])
    assert "PlusPlus" in head[2]
    assert ": " not in head[2], "YAML would read it as a key"
    assert len(head[2]) <= 1024


@pytest.mark.parametrize("skill", SKILLS, ids=lambda path: path.parent.name)
def test_a_skill_names_real_tools_and_arguments(skill: Path) -> None:
    made = calls_of(skill)
    assert made
    for tool, arguments in made:
        jsonschema.validate(arguments, TOOLS[tool].input_schema)
        assert arguments.keys() <= TOOLS[tool].input_schema["properties"].keys()
    words = set(re.findall(r"`([a-z]+(?:_[a-z]+)+)`", skill.read_text(encoding="utf-8")))
    arguments = {name for tool in TOOLS.values() for name in tool.input_schema["properties"]}
    answers = {"last_finished"}
    assert words - set(TOOLS) - arguments <= answers


@pytest.mark.parametrize("skill", SKILLS, ids=lambda path: path.parent.name)
def test_a_skills_calls_work_in_their_order(skill: Path) -> None:
    async def follow() -> list[str]:
        async with connected(Tenant()) as client:
            ended = [await client.call_tool(tool, arguments) for tool, arguments in calls_of(skill)]
            return [str(one.content) for one in ended if one.is_error]

    assert anyio.run(follow) == []
