"""The views in Chromium: through a host page of our own, through the official host, and as pages by themselves.

The pictures are kept in the folder that PICTURES names, else in pytest's own, which it keeps for three runs.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import anyio
import pytest
from jsonschema import Draft202012Validator
from stage import ask, connected

from pp_mcp.demo import Tenant
from pp_mcp.inventory import BY_NAME
from pp_mcp.views import page

from .conftest import Run

NPM = (
    "playwright-core@1.65.1",
    "axe-core@4.14.1",
    "esbuild@0.28.2",
    "@modelcontextprotocol/ext-apps@2.0.4",
    "@modelcontextprotocol/client@2.4.0",
    "@modelcontextprotocol/core@2.4.0",
    "zod@4.6.7",
)
FOLDER = Path(__file__).parent / "views"
LOOKS = ("board", "months", "catalogue", "attendance", "learner", "preview")

SCHEMAS = {
    "ui/initialize": "McpUiInitializeRequest",
    "ui/notifications/initialized": "McpUiInitializedNotification",
    "ui/notifications/size-changed": "McpUiSizeChangedNotification",
    "ui/notifications/tool-input": "McpUiToolInputNotification",
    "ui/notifications/tool-result": "McpUiToolResultNotification",
    "ui/notifications/host-context-changed": "McpUiHostContextChangedNotification",
    "ui/resource-teardown": "McpUiResourceTeardownRequest",
    "ui/download-file": "McpUiDownloadFileRequest",
    "ui/message": "McpUiMessageRequest",
    "ui/update-model-context": "McpUiUpdateModelContextRequest",
}
"""Each method of the extension and its schema; `tools/call` and `resources/read` are the protocol's own."""


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = Path(os.environ.get("PICTURES") or tmp_path_factory.mktemp("pictures"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="module")
def own_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report as a page that opens by itself."""
    given = {"group_by": ["manager"]}

    async def report() -> dict[str, Any]:
        async with connected(Tenant()) as client:
            return await ask(client, "report_assignments", **given)

    path = tmp_path_factory.mktemp("own") / "report.html"
    path.write_text(page(BY_NAME["report_assignments"], given, anyio.run(report)), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def seen(demo_url: str, node: Run, own_page: Path, pictures: Path) -> dict[str, Any]:
    """What was found by looking."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    assert chromium is not None, "install Chromium: apt-get install chromium"
    ended = node(str(FOLDER / "look.mjs"), chromium, demo_url, FOLDER, own_page, pictures, timeout=600)
    assert ended.returncode == 0, ended.stderr[-4_000:]
    return json.loads(ended.stdout)


def test_nothing_fails_or_is_refused_by_the_policy(seen: dict[str, Any]) -> None:
    assert seen["errors"] == []


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1200])
@pytest.mark.parametrize("look", LOOKS)
def test_every_look_is_readable_and_as_wide_as_its_frame(
    seen: dict[str, Any], pictures: Path, look: str, width: int, theme: str
) -> None:
    assert seen["contrast"][f"{look} {width} {theme}"] == []
    assert seen["wide"][f"{look} {width} {theme}"] <= 0
    assert (pictures / f"{look}-{width}-{theme}.png").stat().st_size > 5_000


def test_every_message_is_the_extensions(seen: dict[str, Any]) -> None:
    definitions = seen["schema"]["$defs"]
    asked: dict[tuple[str, int], str] = {}
    checked: set[str] = set()

    def check(name: str, value: Any) -> None:
        schema = definitions[name]
        Draft202012Validator({**schema, "$defs": {**definitions, **schema.get("$defs", {})}}).validate(value)
        checked.add(name)

    for entry in seen["log"]:
        message = dict(entry["message"])
        assert message.pop("jsonrpc") == "2.0"
        method, number = message.get("method"), message.pop("id", None)
        if method is None:
            answered = asked[("host" if entry["by"] == "view" else "view", number)]
            if "result" in message and answered in ("ui/initialize", "ui/resource-teardown"):
                check(SCHEMAS[answered].replace("Request", "Result"), message["result"])
            continue
        asked[(entry["by"], number)] = method
        if method in SCHEMAS:
            check(SCHEMAS[method], message)
        else:
            assert method in ("tools/call", "resources/read", "ui/unknown")
    assert checked == {*SCHEMAS.values(), "McpUiInitializeResult", "McpUiResourceTeardownResult"}


def test_rows_are_sorted_and_opened_by_keyboard(seen: dict[str, Any]) -> None:
    keyboard = seen["keyboard"]
    *before, rest = keyboard["before"]
    assert keyboard["header"] == "Manager"
    assert keyboard["sorted"] != keyboard["before"]
    assert sorted(keyboard["sorted"]) == sorted(keyboard["before"])
    assert (keyboard["sorted"][-1], keyboard["aria"]) == (rest, "ascending")
    assert len(before) == 15
    assert keyboard["opened"] == keyboard["row"].replace("▸", "▾")
    assert len(keyboard["people"]) > 5
    assert keyboard["closed"] == 0


def test_rows_are_filtered_and_the_rest_is_shown(seen: dict[str, Any]) -> None:
    *found, rest = seen["filtered"]["names"]
    assert found
    assert all("müller" in name.lower() for name in found)
    assert seen["filtered"]["said"] == f"{len(found)} of 15 rows"
    assert rest == "+Show 3 more"
    assert seen["whole"] == 18


def test_the_csv_comes_through_the_host(seen: dict[str, Any]) -> None:
    assert seen["file"]["uri"].startswith("plusplus://reports/assignments.csv")
    assert len(seen["file"]["text"].splitlines()) == 19
    assert seen["asked"].endswith(seen["file"]["uri"])


def test_without_the_hosts_help_nothing_can_be_opened(seen: dict[str, Any]) -> None:
    assert seen["closed"] == 0


def test_an_incomplete_reading_and_an_error_are_warnings(seen: dict[str, Any]) -> None:
    assert seen["incomplete"] == ["Incomplete: 400 of 4,000 rows were read. no time was left"]
    assert "nobody@acme.example" in seen["failed"][0]
    assert seen["onlyText"] == ["Training progress"]


def test_a_row_is_extended_only_after_its_preview_and_can_be_undone(seen: dict[str, Any]) -> None:
    row = seen["row"]
    assert (
        row["preview"] == f"Set the due date of {row['before']} overdue assignments under “Rosa Alvarez” to 2030-01-31."
    )
    assert row["declined"] == "Declined. Nothing was changed."
    assert (row["afterCancel"], row["afterConfirm"], row["afterUndo"]) == (row["before"], 0, row["before"])
    assert row["told"] == ["The person declined the change that bulk_update_assignments previewed. Do not make it."]
    assert len(row["toldLast"]) == 3
    assert '"status":"done"' in row["toldLast"][1]


def test_a_flag_must_be_ticked_before_confirming(seen: dict[str, Any]) -> None:
    assert (seen["flag"]["before"], seen["flag"]["after"]) == (True, False)
    assert "removed 1 person" in seen["flag"]["done"]


def test_a_host_that_passes_nothing_on_shows_the_preview_without_buttons(seen: dict[str, Any]) -> None:
    assert seen["mute"] == {"buttons": 0, "says": 1, "warns": 1}


def test_the_theme_and_colours_are_the_hosts(seen: dict[str, Any]) -> None:
    assert seen["theme"] == ["dark", "rgb(22, 25, 29)"]
    assert seen["colour"] == "rgb(250, 240, 230)"


def test_what_the_host_asks_is_answered(seen: dict[str, Any]) -> None:
    torn, unknown = seen["answers"]
    assert torn["result"] == {}
    assert unknown["error"]["code"] == -32601


def test_text_of_the_tenant_is_only_text(seen: dict[str, Any]) -> None:
    hostile = seen["hostile"]
    assert hostile["name"] in hostile["shown"]
    assert (hostile["elements"], hostile["title"]) == (0, "PlusPlus report")


def test_the_official_host_shows_and_confirms(seen: dict[str, Any]) -> None:
    official = seen["official"]
    assert official["app"]["name"] == "plusplus-preview"
    assert '"status":"done"' in official["contexts"][-1][0]["text"]
    assert (official["theme"], official["ended"]) == ("dark", {})
    assert official["sizes"]


def test_a_page_by_itself_has_the_report_and_no_buttons_but_sorting(seen: dict[str, Any]) -> None:
    assert seen["own"] == {
        "heading": "Training progress by manager",
        "rows": 16,
        "theme": "dark",
        "buttons": [],
        "printed": False,
    }
    assert seen["contrast"]["own page"] == []
