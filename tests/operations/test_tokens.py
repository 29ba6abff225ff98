"""A new API token's secret: in a file of its owner's, made before the token, and nowhere else."""

from __future__ import annotations

import stat
from pathlib import Path

import httpx2
import pytest
from stage import Stage, ask, confirmed, connected, refused, text_of

from .between import Between, on

pytestmark = pytest.mark.anyio


async def test_the_secret_is_in_a_file_and_not_in_the_answer(stage: Stage, tmp_path: Path) -> None:
    async with connected(stage.tenant, secrets_dir=tmp_path) as client:
        preview = await ask(client, "create_api_token", name="nightly")
        assert "never expires" in preview["summary"]
        assert list(tmp_path.iterdir()) == []
        result = await client.call_tool(
            "create_api_token", {"name": "nightly", "confirm_token": preview["confirm_token"]}
        )
    (file,) = tmp_path.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    secret = file.read_text().strip()
    assert secret.startswith("pp_")
    assert secret not in text_of(result)
    assert str(file) in text_of(result)
    assert any(str(file) in effect for effect in preview["effects"])
    async with httpx2.AsyncClient(transport=stage.tenant.transport(), base_url=stage.tenant.base_url) as http:
        answer = await http.get(f"{stage.tenant.base_url}/users", headers={"Authorization": f"Bearer {secret}"})
    assert answer.status_code == 200


async def test_each_token_has_a_file_of_its_own(stage: Stage, tmp_path: Path) -> None:
    (tmp_path / "plusplus-token-1.txt").write_text("kept")
    (tmp_path / "plusplus-token-2.txt").symlink_to(tmp_path / "nowhere")
    async with connected(stage.tenant, secrets_dir=tmp_path) as client:
        answer = await confirmed(client, "create_api_token", name="nightly")
    assert answer["changes"]["secret_file"][1].endswith("plusplus-token-3.txt")
    assert (tmp_path / "plusplus-token-1.txt").read_text() == "kept"
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize(
    ("fault", "code"),
    [(httpx2.Response(403, json={}), "forbidden"), (httpx2.ReadError("gone"), "answer_lost")],
    ids=["refused", "lost"],
)
async def test_no_file_is_left_where_no_token_came(
    fault: httpx2.Response | Exception, code: str, stage: Stage, tmp_path: Path
) -> None:
    between = Between(stage.tenant, lambda request: on("POST", "", fault)(request))
    async with connected(stage.tenant, transport=between, secrets_dir=tmp_path, confirm="allow") as client:
        error = await refused(client, "create_api_token", name="nightly")
    assert error["code"] == code
    assert list(tmp_path.iterdir()) == []
    assert len([one for one in between.requests if one.method == "POST"]) == 1


async def test_a_folder_that_cannot_be_written_makes_no_token(stage: Stage, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    async with connected(stage.tenant, secrets_dir=tmp_path / "file", confirm="allow") as client:
        error = await refused(client, "create_api_token", name="nightly")
    assert error["code"] == "refused"
    assert "No token was created." in error["message"]
    assert stage.writes() == []


async def test_the_secret_goes_to_the_users_own_folder(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    async with connected(stage.tenant) as client:
        answer = await confirmed(client, "create_api_token", name="nightly")
    file = Path(answer["changes"]["secret_file"][1])
    assert tmp_path / "state" in file.parents
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert list(tmp_path.iterdir()) == [tmp_path / "state"]


async def test_a_thousand_files_are_enough(stage: Stage, tmp_path: Path) -> None:
    for number in range(1, 1_000):
        (tmp_path / f"plusplus-token-{number}.txt").touch()
    async with connected(stage.tenant, secrets_dir=tmp_path) as client:
        error = await refused(client, "create_api_token", name="nightly")
    assert "thousand token files" in error["message"]
    assert stage.writes() == []
