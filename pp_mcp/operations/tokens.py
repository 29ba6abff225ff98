"""API tokens. Off by default: whoever holds one has the rights of this server's own token."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

from platformdirs import user_state_path
from pydantic import Field, StringConstraints

from pp_mcp.answers import Named
from pp_mcp.declare import Call, Effect, operation
from pp_mcp.errors import Refused
from pp_mcp.models import ApiToken
from pp_mcp.operations.params import ExpiryArg, NothingHidden, same_moment
from pp_mcp.plan import Done, Plan, left_out, lookalikes_in
from pp_mcp.text import quoted

TokenNameArg = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=128),
    NothingHidden,
    Field(description="What the token is for."),
]


@operation(toolset="tokens", title="Create an API token", effect=Effect.DESTROY, idempotent=False)
async def create_api_token(call: Call, name: TokenNameArg, expires_at: ExpiryArg | None = None) -> Plan:
    """Make a new API token (key, credentials for a script or integration) with the rights of this server's own.
    Previews first. The secret goes to a file on the server's machine that only its owner can read, never into the
    answer. Revoke it in the PlusPlus dashboard, not here."""
    body: dict[str, Any] = {"name": name}
    if expires_at is not None:
        body["expires_at"] = expires_at

    file = _free(call.secrets_dir or user_state_path("pp-mcp", appauthor=False) / "tokens")

    async def apply() -> Done:
        path = _reserve(file)
        try:
            written = await call.api.write("create_api_token", ApiToken, body)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        _fill(path, written.value.token.get_secret_value())
        missed = [] if same_moment(written.value.expires_at, expires_at) else ["expires_at"]
        return Done(
            summary=f"Created the API token {quoted(name)}; its secret is in the file {path} on the server's machine."
            + left_out(missed),
            target=Named(kind="api_token", public_id=written.value.public_id, name=name),
            changes={"secret_file": [None, str(path)], "expires_at": [None, written.value.expires_at]},
            not_applied=missed,
            undo_note="Revoke it in the PlusPlus dashboard under API Tokens.",
        )

    lasts = f"expires {expires_at}" if expires_at else "never expires"
    return Plan(
        target=Named(kind="api_token", name=name),
        summary=f"Create an API token {quoted(name)} that {lasts}.",
        apply=apply,
        # With the file's name, so that one confirmation cannot create two API tokens.
        state=[name, expires_at, str(file)],
        effects=[
            "Whoever has it can do everything this server's own token can.",
            f"Its secret is written to the new file {file}, readable by its owner only.",
            *lookalikes_in(body),
        ],
        irreversible=True,
    )


def _free(directory: Path) -> Path:
    """A file name for the secret that is not taken."""
    for number in range(1, 1000):
        path = directory / f"plusplus-token-{number}.txt"
        if not os.path.lexists(path):
            return path
    raise Refused(f"There are already a thousand token files in {directory}. No token was created.")


def _reserve(path: Path) -> Path:
    """The file, new, empty, of mode 0600, made before the token: a secret that cannot be kept must not be created.
    A folder made for it is the user's alone."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    except OSError as error:
        reason = error.strerror or "it cannot be written"
        raise Refused(f"Cannot create the file {path} for the secret: {reason}. No token was created.") from error
    return path


def _fill(path: Path, secret: str) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.write(secret + "\n")
