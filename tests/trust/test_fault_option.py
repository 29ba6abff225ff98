"""`--fault` on the command line."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from pp_mcp.cli import main
from pp_mcp.commands import demo_tenant
from pp_mcp.demo import Faults


@pytest.mark.parametrize(
    ("command", "wrong"),
    [
        (["demo", "--api"], ["nope=1"]),
        (["demo", "--api"], ["5xx"]),
        (["demo", "--api"], ["latency=fast"]),
        (["demo", "--api"], ["5xx=1.5"]),
        (["demo", "--api"], ["5xx=0.1", "5xx-burst=1/2"]),
        (["serve", "--demo"], ["drop-befor=0.1"]),
    ],
)
def test_a_wrong_fault_lists_the_valid_ones(command: list[str], wrong: list[str]) -> None:
    ended = CliRunner().invoke(main, [*command, *(part for one in wrong for part in ("--fault", one))])
    assert ended.exit_code == 2
    assert wrong[-1] in ended.output
    for name, help_line in Faults.NAMES.items():
        assert f"{name}: {help_line}" in ended.output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["serve", "--fault", "5xx=0.1"], "--demo"),
        (["demo", "--fault", "5xx=0.1"], "--api"),
        (["demo", "--api", "--fault", "5xx=0.6", "--fault", "429=0.6"], "more than 1"),
    ],
)
def test_a_fault_in_the_wrong_place_is_refused(arguments: list[str], words: str) -> None:
    ended = CliRunner().invoke(main, arguments)
    assert ended.exit_code == 2
    assert words in ended.output


def test_faults_reach_the_tenant() -> None:
    with demo_tenant(None, 5, 0, ("latency=0.25", "5xx=0.1", "5xx-burst=20/10")) as tenant:
        assert tenant.faults.latency == 0.25
        assert tenant.faults.server_error == 0.1
        assert tenant.faults.server_error_burst == (20, 10)
