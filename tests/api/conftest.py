from typing import Any

import pytest
from pydantic import SecretStr
from stage import Clock

from pp_mcp.api import Client

from .play import TOKEN, Answer, Connect, Script


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def connect(clock: Clock) -> Connect:
    """A client on a script of answers, on the fake clock, without chance."""

    def make(*answers: Answer, **options: Any) -> tuple[Client, Script]:
        script = Script(*answers)
        settings: dict[str, Any] = {"clock": clock, "chance": lambda: 0.0, **options}
        client = Client(
            base_url="https://acme.test/public_api/v2", token=SecretStr(TOKEN), transport=script, **settings
        )
        return client, script

    return make
