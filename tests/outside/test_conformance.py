"""The protocol's own conformance checks, in both eras."""

from __future__ import annotations

from pathlib import Path

import pytest

from .conftest import Run

NPM = ("@modelcontextprotocol/conformance@0.2.0-alpha.12",)
EXPECTED = Path(__file__).parent / "conformance"


@pytest.mark.parametrize("version", ["2026-07-28", "2025-11-25"])
def test_conformance(version: str, demo_url: str, node: Run, tmp_path: Path) -> None:
    ended = node(
        "@modelcontextprotocol/conformance/dist/index.js",
        *("server", "--url", f"{demo_url}/mcp", "--requirements", version, "-o", tmp_path),
        *("--expected-failures", EXPECTED / f"{version}.yml"),
    )
    assert ended.returncode == 0, ended.stdout[-6_000:] + ended.stderr[-2_000:]
