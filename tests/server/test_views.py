"""Views: who has one, that hosts of both eras find it, and that nothing in an answer depends on it."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from mcp.client import advertise
from mcp.server.apps import APP_MIME_TYPE, EXTENSION_ID
from stage import IN_MEMORY, LEGACY, WAYS, Way, ask, call, connected, data_of

from pp_mcp.config import Settings
from pp_mcp.demo import Tenant
from pp_mcp.inventory import ALL_TOOLS, BY_NAME
from pp_mcp.views import html, page, uri_of, view_of

pytestmark = pytest.mark.anyio

VIEWS = {"report": "ui://plusplus/report", "preview": "ui://plusplus/preview"}
REPORTS = {"report_assignments", "report_enrollments", "report_content", "get_learner_summary"}
KNOWS_VIEWS = advertise(EXTENSION_ID, {"mimeTypes": [APP_MIME_TYPE]})


def test_reports_and_whatever_may_preview_have_a_view() -> None:
    found = {tool.name: view_of(tool) for tool in ALL_TOOLS}
    assert {name for name, view in found.items() if view == "report"} == REPORTS
    assert {name for name, view in found.items() if view == "preview"} == {
        tool.name for tool in ALL_TOOLS if tool.may_confirm
    }


@pytest.mark.parametrize("way", WAYS, ids=" ".join)
async def test_hosts_of_both_eras_find_the_views(tenant: Tenant, way: Way) -> None:
    mode = "legacy" if way.era == "2025-11-25" else "auto"
    async with connected(tenant, way, client={"mode": mode}) as client:
        assert (client.server_capabilities.extensions or {})[EXTENSION_ID] == {}
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        listed = {one.uri: one for one in (await client.list_resources()).resources}
        for tool in ALL_TOOLS:
            view = view_of(tool)
            wanted = {"ui": {"resourceUri": VIEWS[view]}} if view else None
            assert tools[tool.name].meta == wanted
        for view, uri in VIEWS.items():
            (content,) = (await client.read_resource(uri)).contents
            assert (listed[uri].mime_type, content.mime_type) == (APP_MIME_TYPE, APP_MIME_TYPE)
            assert listed[uri].meta == content.meta == {"ui": {"csp": {}, "prefersBorder": True}}
            assert content.text == html(view)


async def test_an_unknown_view_is_an_unknown_resource(tenant: Tenant) -> None:
    async with connected(tenant) as client:
        with pytest.raises(Exception, match="ui://plusplus/other"):
            await client.read_resource("ui://plusplus/other")


async def test_only_the_views_of_served_tools_are_there(tenant: Tenant) -> None:
    async with connected(tenant, tools=frozenset({"get_user"})) as client:
        assert not [one for one in (await client.list_resources()).resources if one.uri.startswith("ui://")]
    async with connected(tenant, read_only=True) as client:
        listed = [one.uri for one in (await client.list_resources()).resources]
        assert [uri for uri in listed if uri.startswith("ui://")] == [VIEWS["report"]]


async def test_a_server_that_is_not_set_up_still_has_its_views(tenant: Tenant) -> None:
    async with connected(tenant, base_url="") as client:
        (content,) = (await client.read_resource(VIEWS["preview"])).contents
        assert content.text == html("preview")


@pytest.mark.parametrize("way", [IN_MEMORY, LEGACY], ids=" ".join)
@pytest.mark.parametrize(
    ("tool", "given"),
    [("report_assignments", {"group_by": ["manager"]}), ("bulk_update_assignments", {"action": "exempt", "user": "x"})],
)
async def test_an_answer_is_the_same_for_hosts_without_views(
    tenant: Tenant, way: Way, tool: str, given: dict[str, Any]
) -> None:
    if "user" in given:
        given = {**given, "user": tenant.connection.execute("SELECT email FROM users ORDER BY id").fetchone()[0]}
    answers: list[str] = []
    for extensions in ([], [KNOWS_VIEWS]):
        async with connected(tenant, way, client={"extensions": extensions}) as client:
            result = await call(client, tool, **given)
            answers.append(re.sub(r'"(confirm_token|expires_at|as_of)": "[^"]*"', "", json.dumps(data_of(result))))
            assert result.meta is None or "ui" not in result.meta
    assert answers[0] == answers[1]


@pytest.mark.parametrize("view", VIEWS)
def test_a_view_is_one_small_page_that_fetches_nothing(view: str) -> None:
    text = html(view)
    assert text.startswith("<!doctype html>")
    assert len(text.encode()) <= 40_000
    assert uri_of(view) == VIEWS[view]
    # SVG elements are made by the name of their kind, which is an address that nobody fetches.
    assert re.findall(r"https?://[^\"]*", text) == ["http://www.w3.org/2000/svg"]
    for forbidden in (
        "innerHTML",
        "outerHTML",
        "insertAdjacent",
        "document.write",
        "eval(",
        "Function(",
        "fetch(",
        "<link",
        "src=",
        "@import",
        "url(",
    ):
        assert forbidden not in text, forbidden
    assert not re.search(r"/\*\w+\.(js|css)\*/", text)


async def test_a_page_opens_by_itself_with_the_data_inside(tenant: Tenant) -> None:
    hostile = "</script><script>alert(1)</script>&<!--"
    tenant.connection.execute("UPDATE users SET name = ? WHERE id IN (SELECT manager_id FROM users)", (hostile,))
    given = {"group_by": ["manager"]}
    async with connected(tenant) as client:
        data = await ask(client, "report_assignments", **given)
    text = page(BY_NAME["report_assignments"], given, data)
    assert text.count("</script>") == html("report").count("</script>") + 1
    (held,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', text)
    assert json.loads(held) == {"tool": "report_assignments", "given": given, "data": data}
    assert hostile in json.dumps(data["rows"])


def test_a_tool_without_a_view_makes_no_page() -> None:
    with pytest.raises(ValueError, match="get_user has no view"):
        page(BY_NAME["get_user"], {}, {})


def test_the_usual_menu_has_views() -> None:
    assert {view_of(tool) for tool in ALL_TOOLS if tool.toolset in Settings().toolsets} == {None, *VIEWS}
