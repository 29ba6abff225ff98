"""`pp-mcp init` on settings drawn at random: what is put in is all that changes, or the file is left alone."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pp_mcp.commands.clients import BY_NAME, Launch
from pp_mcp.commands.init import planned
from pp_mcp.errors import Refused

LAUNCH = Launch(("/home/me/bin/pp-mcp",), {"PP_TENANT": "acme"})
NAMES = st.sampled_from(
    ["mcpServers", "servers", "inputs", "a", 'quoted "servers": {', "é\u2028", "\ud800", "plus plus"]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8) | NAMES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=12,
)
SERVERS = st.dictionaries(NAMES, st.dictionaries(NAMES, VALUES, max_size=2), max_size=3)
OTHERS = st.dictionaries(NAMES, VALUES, max_size=4)
FORMATS = st.sampled_from([None, 0, 1, 4, "\t"])


@pytest.fixture(scope="module", params=["cursor", "vscode"])
def client(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(home))
        patch.delenv("XDG_CONFIG_HOME", raising=False)
        found = BY_NAME[request.param]
        found.file.parent.mkdir(parents=True)
        yield found


def without_blanks(text: str) -> str:
    return "".join(text.split())


@settings(max_examples=40)
@given(others=OTHERS, servers=SERVERS, indent=FORMATS, escaped=st.booleans())
def test_only_the_server_is_put_in(client: Any, others: Any, servers: Any, indent: Any, escaped: bool) -> None:
    drawn = {**others, client.section: servers}
    drawn.pop("inputs", None)
    text = json.dumps(drawn, indent=indent, ensure_ascii=escaped).encode("utf-8", "replace").decode()
    before = json.loads(text)
    client.file.write_text(text, encoding="utf-8", newline="")
    change = planned(client, LAUNCH)
    assert change is not None
    after = change.after.decode()
    now = json.loads(after)
    assert now.pop("inputs", []) == client.inputs(LAUNCH)
    assert now[client.section].pop("plusplus") == client.entry(LAUNCH)
    assert now == before
    kept = iter(without_blanks(after))
    assert all(character in kept for character in without_blanks(text)), "what was there stands there, in its order"


@settings(max_examples=40)
@given(text=st.text(max_size=40) | VALUES.map(json.dumps))
def test_anything_is_understood_or_left_alone(client: Any, text: str) -> None:
    file: Path = client.file
    file.write_bytes(text.encode("utf-8", "surrogatepass"))
    with suppress(Refused):
        change = planned(client, LAUNCH)
        assert change is not None
        now = json.loads(change.after)
        assert now[client.section]["plusplus"] == client.entry(LAUNCH)
