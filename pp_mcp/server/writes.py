"""Asking the person through the client (elicitation), in both eras of the protocol.

A client relays the question; that it shows it to a person is the client's promise. Where it declares no elicitation,
the preview and its token take the question's place.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import Enum
from typing import Any, Literal

from mcp.server.elicitation import AcceptedElicitation
from mcp.server.mcpserver import Context
from mcp.types import ElicitRequest, ElicitRequestFormParams, ElicitResult, InputRequiredResult
from mcp.types.version import is_version_at_least
from pydantic import BaseModel, Field, ValidationError

from pp_mcp.answers import ManyAnswer, Named, Status, ToolCall, WriteAnswer
from pp_mcp.declare import Effect, Operation
from pp_mcp.errors import InvalidArgument, Refused
from pp_mcp.inventory import BY_NAME
from pp_mcp.plan import Done, Plan
from pp_mcp.server.confirm import LIFETIME, Binding, Confirmer
from pp_mcp.text import listed

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


Consent = Literal["not needed", "token", "person", "allowed"]
"""How a write came to be carried out: it needs no confirming, a token fits, the person agreed, or all is allowed."""


@dataclass(frozen=True)
class Go:
    """The plan is to be carried out."""

    consent: Consent


class Ask:
    """The person is to be asked first."""


def decide(
    operation: Operation,
    confirmer: Confirmer,
    binding: Binding,
    token: str | None,
    resolved: dict[str, Named],
    *,
    asks: bool,
) -> WriteAnswer | Go | Ask:
    """What becomes of a plan: an answer without any deed (nothing to do, a preview), or leave to go ahead, or a
    question to the person. `asks`: the client can ask one, and has not yet.

    Raises:
        Refused: the policy blocks what needs confirming.
        InvalidArgument: an acknowledgement is missing where nothing is previewed.
    """
    plan = binding.plan
    extra: dict[str, Any] = {"resolved": resolved} if resolved else {}
    if plan.unchanged is not None:
        return operation_answer(operation)(
            status="unchanged", summary=f"{plan.unchanged} Nothing was sent.", target=plan.target, undo=None, **extra
        )
    if operation.effect is not Effect.DESTROY and not plan.confirm:
        return Go("not needed")
    if confirmer.policy == "block":
        raise Refused(
            f"This server does not carry out what needs confirming (PP_CONFIRM=block): {plan.summary} Nothing was "
            "changed."
        )
    if confirmer.policy == "allow":
        if plan.needs:
            raise InvalidArgument(
                f"{plan.summary} Give {listed([f'{name}=true' for name in plan.needs])} as well. Nothing was changed.",
                field_errors={name: ["must be true"] for name in plan.needs},
            )
        return Go("allowed")
    if confirmer.policy == "elicit" and asks and not plan.needs:
        # Whatever token there is: a model can hand one back without the person.
        return Ask()
    if token is not None and not plan.needs and confirmer.fits(token, binding):
        return Go("token")
    return preview(operation, confirmer, binding, token, extra)


def preview(
    operation: Operation, confirmer: Confirmer, binding: Binding, token: str | None, extra: dict[str, Any]
) -> WriteAnswer:
    """What would be done, and the token that does it."""
    plan = binding.plan
    minted, expires_at = confirmer.mint(binding)
    flags = f" with {listed([f'{name}=true' for name in plan.needs])} and" if plan.needs else " with"
    why = ""
    if token is not None and not plan.needs:
        why = "What was confirmed fits no more: it was another call or caller, something changed, or it has expired. "
    elif token is not None:
        why = f"{listed(plan.needs)} is missing. "
    return operation_answer(operation)(
        status="confirmation_required",
        summary=(
            f"{why}Not done yet. {plan.summary} Show this to the user; only if they agree, call {operation.name} "
            f"again{flags} this confirm_token (good for {LIFETIME // 60} minutes)."
        ),
        target=plan.target,
        effects=plan.effects,
        **({"affected": plan.affected, "affected_total": plan.affected_total} if plan.affected else {}),
        irreversible=plan.irreversible,
        confirm_token=minted,
        expires_at=expires_at,
        **({"needs": plan.needs} if plan.needs else {}),
        **extra,
    )


def operation_answer(operation: Operation) -> type[WriteAnswer]:
    """The answer model of a writing operation."""
    if not issubclass(operation.answer, WriteAnswer):
        raise TypeError(f"{operation.name} does not write")
    return operation.answer


def told(operation: Operation, plan: Plan, done: Done, resolved: dict[str, Named]) -> WriteAnswer:
    """What was done, as the API's answer showed it."""
    extra: dict[str, Any] = {"resolved": resolved} if resolved else {}
    values: dict[str, Any] = {
        "status": status_of(done),
        "summary": done.summary,
        "target": done.target or plan.target,
        "changes": done.changes,
        "undo": done.undo,
        **extra,
    }
    note = done.undo_note
    undo = done.undo if isinstance(done.undo, list) else [done.undo] if done.undo else []
    refused = next((one.tool for one in undo if not _is_taken(one)), None)
    if refused is not None:
        values["undo"] = None
        note = f"{refused} does not take what was there before (see changes): set it back in PlusPlus."
    if done.not_applied:
        values["not_applied"] = done.not_applied
    if note:
        values["undo_note"] = note
    if operation.answer is ManyAnswer and done.outcomes is not None:
        values |= _counted(done)
        return ManyAnswer(**values)
    return WriteAnswer(**values)


def _is_taken(undo: ToolCall) -> bool:
    """Whether the tool that the undo names takes its arguments: the tenant may have held what no tool sets."""
    try:
        BY_NAME[undo.tool].arguments.model_validate(undo.arguments)
    except ValidationError:
        return False
    return True


def status_of(done: Done) -> Status:
    """How a deed came out."""
    outcomes = {one.status for one in done.outcomes or []}
    if done.not_applied or done.not_sent or outcomes & {"skipped", "failed", "unknown"}:
        return "partial"
    return "done" if done.changes or "succeeded" in outcomes else "unchanged"


def _counted(done: Done) -> dict[str, Any]:
    """How many items came out how; each that did not succeed is listed, with why."""
    outcomes = done.outcomes or []
    counts: dict[str, Any] = dict(Counter(one.status for one in outcomes))
    listed_too = [one for status in ("failed", "unknown", "skipped") for one in outcomes if one.status == status]
    zeros = dict.fromkeys(("succeeded", "unchanged", "skipped", "failed", "unknown"), 0)
    told = {"not_sent": done.not_sent} if done.not_sent else {}
    return {**zeros, **counts, **told, "items": listed_too}
