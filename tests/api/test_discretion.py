"""What logs and texts show of a call, and what they do not; where the client goes."""

import logging
import re

import httpx2
import pytest
from pydantic import SecretStr
from stage import Clock

from pp_mcp.api import Client
from pp_mcp.models import User

from .play import RECORD, TOKEN, Connect, reply, success

pytestmark = pytest.mark.anyio


async def test_the_token_shows_nowhere(connect: Connect, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    client, _ = connect(reply(500), reply(200, RECORD, {"X-Request-Id": "req_5"}), success)
    api = client.call()
    await api.one("get_user", User, "x1")
    await api.page("list_users", User, search="someone@example.com")
    logged = [record.getMessage() for record in caplog.records if record.name == "pp_mcp.api"]
    facts = [("get_user", "500", "None"), ("get_user", "200", "req_5"), ("list_users", "200", "None")]
    assert len(logged) == 3
    assert all(set(fact) <= set(re.split(r"[ (),]+", line)) for fact, line in zip(facts, logged, strict=True))
    assert all(record.levelno == logging.DEBUG for record in caplog.records if record.name == "pp_mcp.api")
    everything = caplog.text + repr(client) + repr(api) + str(vars(api))
    assert TOKEN not in everything
    assert "someone" not in caplog.text
    for name in ("httpx2", "httpcore2"):
        assert logging.getLogger(name).getEffectiveLevel() == logging.WARNING


async def test_request_ids_of_the_envelope_and_the_header(connect: Connect) -> None:
    envelope = {"error": {"code": "c", "message": "m", "request_id": "req_body"}}
    client, _ = connect(reply(503, envelope, {"X-Request-Id": "req_head"}), reply(200, RECORD, {"X-Request-Id": "r2"}))
    api = client.call()
    await api.one("get_user", User, "x1")
    assert api.request_ids == ["req_body", "r2"]


async def test_request_ids_are_bounded(connect: Connect) -> None:
    numbers = iter(range(2_000))
    client, _ = connect(lambda _: httpx2.Response(200, json=RECORD, headers={"X-Request-Id": str(next(numbers))}))
    api = client.call()
    for _ in range(1_005):
        await api.one("get_user", User, "x1")
    assert (len(api.request_ids), api.request_ids[0], api.request_ids[-1]) == (1_000, "5", "1004")
    assert api.requests == 1_005


@pytest.mark.parametrize("base_url", ["", "acme", "//acme.test", "https://a:port", "https://a\x00b"])
def test_a_base_url_that_is_none(base_url: str) -> None:
    with pytest.raises(ValueError, match="absolute"):
        Client(base_url=base_url, token=SecretStr(TOKEN))


async def test_the_base_url_keeps_its_path(connect: Connect, clock: Clock) -> None:
    _, script = connect(success)
    async with Client(
        base_url="https://acme.test/x/api/", token=SecretStr(TOKEN), transport=script, clock=clock, user_agent="ua/1"
    ) as client:
        await client.call().one("get_user", User, "x1")
    assert str(script.last.url) == "https://acme.test/x/api/users/x1"
    assert script.last.headers["user-agent"] == "ua/1"
    assert repr(client) == "Client(base_url='https://acme.test/x/api')"
