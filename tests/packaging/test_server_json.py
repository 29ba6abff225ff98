"""server.json, by which the registry offers the server: by its schema, and as the code has it."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from pydantic import SecretStr
from stage import make_server

from pp_mcp import __version__
from pp_mcp.config import Settings, SettingsError, load
from pp_mcp.demo import Tenant

ROOT = Path(__file__).parents[2]
SCHEMA = json.loads(Path(__file__).with_name("server.schema.json").read_text(encoding="utf-8"))
SERVER = json.loads((ROOT / "server.json").read_text(encoding="utf-8"))
PACKAGE: dict[str, Any] = SERVER["packages"][0]
VARIABLES: dict[str, dict[str, Any]] = {one["name"]: one for one in PACKAGE["environmentVariables"]}


def test_it_fits_the_registrys_schema() -> None:
    validator = jsonschema.validators.validator_for(SCHEMA)
    validator.check_schema(SCHEMA)
    errors = validator(SCHEMA, format_checker=validator.FORMAT_CHECKER).iter_errors(SERVER)
    assert [f"{error.json_path}: {error.message}" for error in errors] == []
    assert SERVER["$schema"] == SCHEMA["$id"]


def test_its_variables_are_the_settings() -> None:
    fields = Settings.model_fields
    assert list(VARIABLES) == [f"PP_{name.upper()}" for name in fields]
    assert [one["description"] for one in VARIABLES.values()] == [field.description for field in fields.values()]


def test_secrets_are_marked_as_such() -> None:
    secrets = {f"PP_{name.upper()}" for name, field in Settings.model_fields.items() if field.annotation is SecretStr}
    assert (
        {name for name, one in VARIABLES.items() if one.get("isSecret")}
        == secrets
        == {"PP_API_TOKEN", "PP_SECRET_KEY", "PP_REDIS_URL"}
    )


def test_required_are_those_nothing_runs_without() -> None:
    required = {name for name, one in VARIABLES.items() if one.get("isRequired")}
    with pytest.raises(SettingsError) as missing:
        load(environ={"PP_TENANT": "acme"})
    assert required == {line.split()[0] for line in missing.value.mistakes}


def test_choices_and_kinds_are_the_settings_own() -> None:
    assert VARIABLES["PP_CONFIRM"]["choices"] == ["token", "elicit", "person", "block", "allow"]
    kinds = {name: one["format"] for name, one in VARIABLES.items() if "format" in one}
    assert kinds.items() >= {"PP_READ_ONLY": "boolean", "PP_TIMEOUT": "number", "PP_MAX_CONCURRENCY": "number"}.items()


def test_all_say_the_same_version(tenant: Tenant) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    said = {
        "pyproject.toml": project["version"],
        "server.json": SERVER["version"],
        "its package": PACKAGE["version"],
        "the MCP server": make_server(tenant).version,
    }
    assert said == dict.fromkeys(said, __version__)
    assert (PACKAGE["registryType"], PACKAGE["identifier"]) == ("pypi", project["name"])


def test_the_readme_proves_whose_package_it_is() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert re.findall(r"mcp-name: *(\S+)", readme) == [SERVER["name"]]
