"""The way to PlusPlus with each caller's own API token (PP_CALLER_TOKENS)."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable

from pydantic import SecretStr
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from pp_mcp.api import Client
from pp_mcp.config import Settings
from pp_mcp.errors import Refused
from pp_mcp.server.principal import Brought, brought
from pp_mcp.values import tenant_url

MOST_CLIENTS = 1_000

_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]{8,1000}")

TOKEN, TENANT = "x-pp-token", "x-pp-tenant"


class CallerTokens:
    """Takes the headers X-PP-Token and X-PP-Tenant out of a request and keeps them for its calls: nothing behind this
    can show them or pass them on by mistake."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # A header given twice makes no token: it holds a comma and a space then.
        headers = Headers(scope=scope)
        token, tenant = (", ".join(headers.getlist(name)).strip() for name in (TOKEN, TENANT))
        usable = SecretStr(token if _TOKEN.fullmatch(token) else "")
        rest = [(name, value) for name, value in scope["headers"] if name.lower().decode() not in (TOKEN, TENANT)]
        mark = brought.set(Brought(usable, self._address_of(tenant.lower())) if token else None)
        try:
            await self._app({**scope, "headers": rest}, receive, send)
        finally:
            brought.reset(mark)

    def _address_of(self, tenant: str) -> str:
        if not tenant or tenant == self._settings.tenant:
            return self._settings.base_url
        return tenant_url(tenant) if tenant in self._settings.allowed_tenants else ""


class CallerClients:
    """A client of the API for each token that callers bring. Of those that no call uses, the last ones are kept."""

    def __init__(self, make: Callable[[str, SecretStr], Client]) -> None:
        """`make` makes a client, given base URL and token."""
        self._make = make
        self._clients: OrderedDict[str, Client] = OrderedDict()

    def why_not(self) -> str | None:
        """Why the request that is being answered cannot reach PlusPlus; None where it can."""
        own = brought.get()
        if own is None:
            return (
                "This server acts with each person's own PlusPlus API token, and this request brought none. Ask the "
                "user to create one in PlusPlus (Dashboard, API Tokens) and to set it in the client's entry for this "
                "server as the header X-PP-Token."
            )
        if not own.base_url:
            return (
                "This server does not serve that tenant. Ask the user to set the header X-PP-Tenant in the client's "
                "entry for this server to the subdomain of their PlusPlus address, as whoever runs the server names it."
            )
        if not own.token.get_secret_value():
            return "What the header X-PP-Token holds is no API token. Ask the user to copy it again, without Bearer."
        return None

    def client(self) -> Client:
        """The client of the request that is being answered.

        Raises:
            Refused: it cannot reach PlusPlus.
        """
        own = brought.get()
        why_not = self.why_not()
        if own is None or why_not is not None:
            raise Refused(f"{why_not} Nothing was sent.")
        found = self._clients.get(own.digest) or self._make(own.base_url, own.token)
        self._clients[own.digest] = found
        self._clients.move_to_end(own.digest)
        return found

    async def trim(self, most: int = MOST_CLIENTS) -> None:
        """Closes clients that no call uses, the longest unused first, until at most so many are left."""
        unused = [digest for digest, one in self._clients.items() if not one.is_used]
        for digest in unused[: max(0, len(self._clients) - most)]:
            await self._clients.pop(digest).aclose()
