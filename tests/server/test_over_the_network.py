"""All of it over real sockets: the demo tenant's API in one process, the server on stdio in another."""

from __future__ import annotations

import re

import httpx2
from stage import KEY

from .test_processes import META, answer, call, free_port, running, send, until_up


def test_the_server_on_a_tenant_elsewhere() -> None:
    port = free_port()
    sizes = ["--people", "30", "--assignments", "60"]
    with running("demo", "--api", "--port", str(port), *sizes) as api:
        assert api.stderr is not None
        told = re.search(r"PP_BASE_URL=(\S+) PP_API_TOKEN=(\S+)", api.stderr.readline().decode())
        assert told
        url, token = told.groups()
        until_up(url)
        assert httpx2.get(f"{url}/users").status_code == 401
        settings = {"PP_BASE_URL": url, "PP_API_TOKEN": token, "PP_SECRET_KEY": KEY, "PP_NO_SUCH": "x"}
        with running(**settings) as server:
            send(server, call(1, "list_users", {"page_size": 1}, _meta=META))
            assert answer(server, 1)["result"]["structuredContent"]["total_count"] == 30
            send(server, call(2, "create_group", {"name": "Over the network"}, _meta=META))
            assert answer(server, 2)["result"]["structuredContent"]["status"] == "done"
            assert server.stdin is not None
            server.stdin.close()
            assert server.wait(15) == 0
            assert server.stderr is not None
            log = server.stderr.read().decode()
        assert "PP_NO_SUCH is not a setting of this server" in log
        assert token not in log
        found = httpx2.get(f"{url}/groups", params={"name": "Over"}, headers={"Authorization": f"Bearer {token}"})
        assert [one["name"] for one in found.json()["data"]] == ["Over the network"]
