"""Asking the person through the client (elicitation), in both eras of the protocol.

A client relays the question; that it shows it to a person is the client's promise.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any

from mcp.server.elicitation import AcceptedElicitation
from mcp.server.mcpserver import Context
from mcp.types import ElicitRequest, ElicitRequestFormParams, ElicitResult, InputRequiredResult
from mcp.types.version import is_version_at_least
from pydantic import BaseModel, Field

from pp_mcp.server.confirm import Binding, Confirmer
from pp_mcp.server.principal import principal, shown_principal

_MODERN = "2026-07-28"
_KEY = "confirm"


class Agreement(BaseModel, title="Confirm this change"):
    """What the person fills in."""

    confirm: bool = Field(title="Go ahead", description="Tick to carry out the change")


class Reply(Enum):
    """What the person answered."""

    AGREED = "agreed"
    DECLINED = "declined"
    CANCELLED = "closed the question"


def can_ask(context: Context[Any, Any]) -> bool:
    """Whether the client takes form elicitation, and there is a way to send it."""
    capabilities = context.client_capabilities
    elicitation = capabilities.elicitation if capabilities else None
    if elicitation is None or (elicitation.form is None and elicitation.url is not None):
        return False
    return _is_modern(context) or context.session.can_send_request


async def ask_person(
    context: Context[Any, Any], confirmer: Confirmer, binding: Binding, mint: Callable[[], str]
) -> Reply | InputRequiredResult:
    """Shows the preview to the person and answers what they said.

    In the newer protocol the client repeats the call with the answer: then this returns the question first, sealed with
    a token for what was shown, which `mint` makes. An answer to something else is not taken, nor a second answer to the
    same question: the person is asked again.
    """
    plan = binding.plan
    message = "\n".join([plan.summary, *plan.effects, *(["This cannot be undone."] if plan.irreversible else [])])
    if not _is_modern(context):
        outcome = await context.elicit(message, Agreement)
        if isinstance(outcome, AcceptedElicitation):
            return Reply.AGREED if outcome.data.confirm else Reply.DECLINED
        return Reply.DECLINED if outcome.action == "decline" else Reply.CANCELLED
    given = (context.input_responses or {}).get(_KEY)
    if isinstance(given, ElicitResult) and context.request_state and confirmer.fits(context.request_state, binding):
        confirmer.spend(context.request_state)
        if given.action == "accept":
            return Reply.AGREED if (given.content or {}).get("confirm") is True else Reply.DECLINED
        return Reply.DECLINED if given.action == "decline" else Reply.CANCELLED
    params = ElicitRequestFormParams(message=message, requested_schema=Agreement.model_json_schema())
    return InputRequiredResult(input_requests={_KEY: ElicitRequest(params=params)}, request_state=mint())


def _is_modern(context: Context[Any, Any]) -> bool:
    return is_version_at_least(context.protocol_version or "", _MODERN)


def identity(context: Context[Any, Any]) -> dict[str, str | None]:
    """Who calls, for the audit log: the name and version the client gives itself, and who signed in."""
    params = context.session.client_params
    return {
        "client": params.client_info.name if params is not None else None,
        "version": params.client_info.version if params is not None else None,
        **shown_principal(),
    }


def caller(context: Context[Any, Any]) -> str:
    """Whom a confirm token is good for: the client, and whoever signed in."""
    return f"{principal()}/{identity(context)['client'] or 'unnamed client'}"


def share_of(context: Context[Any, Any]) -> str:
    """Whose share of the requests to PlusPlus a call takes: the person's, else the client's at this connection."""
    peer = getattr(getattr(context.request_context.request, "client", None), "port", "")
    return principal() or f"{caller(context)}:{peer}"
