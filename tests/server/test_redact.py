"""Our own API token leaves in no text: answers, errors, resources, logs."""

from __future__ import annotations

import json
import logging

import httpx2
import pytest
from pydantic import SecretStr
from stage import Network, Stage, connected, make_server, served

from pp_mcp.server.redact import MARK, Redactor, redact_logs

pytestmark = pytest.mark.anyio

TOKEN = "pp_a_token_0123456789_abcdef"


@pytest.mark.parametrize(
    ("text", "left"),
    [
        (f"before {TOKEN} after", f"before {MARK} after"),
        (f'{{"a":"{TOKEN}","b":1}}', f'{{"a":"{MARK}","b":1}}'),
        (f"cut {TOKEN[:20]}…[cut]", f"cut {MARK}…[cut]"),
        ("pp_a_tok is too little", "pp_a_tok is too little"),
        (f"{TOKEN[:-1]}, {TOKEN[:15]}{TOKEN}", f"{MARK}, {MARK}{MARK}"),
        (f"{TOKEN}{TOKEN}", MARK + MARK),
    ],
)
def test_what_is_left_of_a_text(text: str, left: str) -> None:
    assert Redactor(SecretStr(TOKEN)).text(text) == left


def test_no_token_nothing_to_remove() -> None:
    assert Redactor(SecretStr("")).text("anything") == "anything"


async def test_a_tenant_that_holds_the_token_does_not_show_it(stage: Stage) -> None:
    token, person = stage.tenant.token, stage.person()
    stage.change("UPDATE users SET employee_id = ? WHERE email = ?", f"x{token}y", person)
    public_id = stage.one("SELECT public_id FROM users WHERE email = ?", person)
    async with connected(stage.tenant) as client:
        texts = [
            (await client.call_tool("get_user", {"user": person})).model_dump_json(),
            (await client.call_tool("get_user", {"user": f"{token} {token}"})).model_dump_json(),
            (await client.read_resource(f"plusplus://users/{public_id}")).model_dump_json(),
        ]
    assert all(token not in text for text in texts)
    assert json.loads(texts[0])["structured_content"]["item"]["public_id"] == public_id


async def test_the_log_does_not_show_it(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    network = Network(stage.tenant)

    def fails(_: httpx2.Request, __: int) -> None:
        raise RuntimeError(f"no luck with {stage.tenant.token}")

    network.before = fails
    async with served(make_server(stage.tenant, transport=network)) as client:
        assert (await client.call_tool("list_users", {})).is_error
    logging.getLogger("pp_mcp.server").warning("%s again", stage.tenant.token)
    assert "no luck with" in caplog.text
    assert f"{MARK} again" in caplog.text
    assert stage.tenant.token not in caplog.text


def test_a_handler_is_told_once() -> None:
    handler = logging.NullHandler()
    logging.getLogger().addHandler(handler)
    try:
        for _ in range(3):
            redact_logs(SecretStr(TOKEN))
        assert len(handler.filters) == 1
    finally:
        logging.getLogger().removeHandler(handler)
