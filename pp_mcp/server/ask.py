"""Asking the person through the client (elicitation), in both eras of the protocol.

A client relays the question; that it shows it to a person is the client's promise. Where it declares no elicitation,
the preview and its token take the question's place.
"""

from __future__ import annotations

from enum import Enum
from typing import Any

from mcp.server.elicitation import AcceptedElicitation
from mcp.server.mcpserver import Context
from mcp.types import ElicitRequest, ElicitRequestFormParams, ElicitResult, InputRequiredResult
from mcp.types.version import is_version_at_least
from pydantic import BaseModel, Field

from pp_mcp.answers import WriteAnswer
from pp_mcp.plan import Plan
from pp_mcp.server.confirm import Binding, Confirmer

_MODERN = "2026-07-28"
_KEY = "confirm"


class Agreement(BaseModel):
    """What the person fills in."""

    confirm: bool = Field(description="Tick to go ahead")


class Asked(Enum):
    """What came of asking."""

    AGREED = "agreed"
    DECLINED = "declined"
    CANCELLED = "closed the question"

    def answer(self, plan: Plan) -> WriteAnswer:
        """What to say when the person did not agree."""
        return WriteAnswer(
            status="unchanged",
            summary=f"Not done: the user {self.value}. {plan.summary} Nothing was sent.",
            target=plan.target,
            undo=None,
        )


def can_ask(context: Context[Any, Any]) -> bool:
    """Whether the client takes form elicitation, and there is a way to send it."""
    capabilities = context.client_capabilities
    elicitation = capabilities.elicitation if capabilities else None
    if elicitation is None or (elicitation.form is None and elicitation.url is not None):
        return False
    return _modern(context) or context.session.can_send_request


def _modern(context: Context[Any, Any]) -> bool:
    return is_version_at_least(context.protocol_version or "", _MODERN)


async def ask_person(context: Context[Any, Any], confirmer: Confirmer, binding: Binding) -> Asked | InputRequiredResult:
    """Shows the preview to the person and answers what they said.

    In the newer protocol the client repeats the call with the answer: then this returns the question first, sealed with
    a token for what was shown, and an answer to something else is asked anew.
    """
    plan = binding.plan
    message = "\n".join([plan.summary, *plan.effects, *(["This cannot be undone."] if plan.irreversible else [])])
    if not _modern(context):
        outcome = await context.elicit(message, Agreement)
        if isinstance(outcome, AcceptedElicitation):
            return Asked.AGREED if outcome.data.confirm else Asked.DECLINED
        return Asked.DECLINED if outcome.action == "decline" else Asked.CANCELLED
    given = (context.input_responses or {}).get(_KEY)
    if isinstance(given, ElicitResult) and context.request_state and confirmer.fits(context.request_state, binding):
        if given.action == "accept":
            return Asked.AGREED if (given.content or {}).get("confirm") is True else Asked.DECLINED
        return Asked.DECLINED if given.action == "decline" else Asked.CANCELLED
    token, _ = confirmer.mint(binding)
    params = ElicitRequestFormParams(message=message, requested_schema=_schema())
    return InputRequiredResult(input_requests={_KEY: ElicitRequest(params=params)}, request_state=token)


def _schema() -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {"confirm": {"type": "boolean", "description": "Tick to go ahead"}},
        "required": ["confirm"],
    }
