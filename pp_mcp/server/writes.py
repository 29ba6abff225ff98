"""A write, from its plan to its answer: plan → decide → ask → tell. Nothing else decides whether a plan is carried out.

Without consent, a plan that needs confirming is answered with a preview and a token. With PP_CONFIRM=elicit the person
is asked through the client, in both eras of the protocol. A client relays the question; that it shows it to a person is
the client's promise. Where it cannot ask, preview and token take the question's place.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Literal, cast

import anyio
from mcp.server.auth.middleware.auth_context import get_access_token
from mcp.server.elicitation import AcceptedElicitation
from mcp.server.mcpserver import Context
from mcp.types import CallToolResult, ElicitRequest, ElicitRequestFormParams, ElicitResult, InputRequiredResult
from mcp.types.version import is_version_at_least
from pydantic import BaseModel, Field

from pp_mcp.answers import ErrorAnswer, ManyAnswer, ToolCall, WriteAnswer
from pp_mcp.audit import Entry
from pp_mcp.declare import CONFIRM_TOKEN, Call, Effect, Operation
from pp_mcp.errors import Conflict, InvalidArgument, PlusPlusError, Refused
from pp_mcp.inventory import BY_NAME
from pp_mcp.plan import Done, Plan
from pp_mcp.server.arguments import Resolved, parse, resolve
from pp_mcp.server.confirm import LIFETIME, Binding, Confirmer
from pp_mcp.server.explain import code_of, explained
from pp_mcp.server.perform import Runtime, log, status_of
from pp_mcp.server.render import rendered
from pp_mcp.text import listed

Result = CallToolResult | InputRequiredResult

Consent = Literal["not needed", "token", "person", "allowed"]
"""Why a write may be carried out: it needs no confirming, a token fits, the person agreed, or everything is allowed."""


@dataclass
class Write:
    """One call of a tool that writes."""

    operation: Operation
    runtime: Runtime
    context: Context[Any, Any]
    call: Call
    entry: Entry | None
    """Its lines in the audit log; none where there is no log."""
    plan: Plan | None = None
    """The latest plan; none until one was made."""
    resolved: Resolved = field(default_factory=Resolved)
    is_begun: bool = False
    """Whether the plan was carried out, or begun."""

    async def run(self, arguments: BaseModel, agreed: str | None = None) -> Result:
        """Plans, decides, asks, does and tells. `agreed` is the digest of what the person agreed to, once asked."""
        writes = self.runtime.writes
        binding = await self._plan(arguments)
        decision = self._decide(binding, arguments, agreed)
        if isinstance(decision, str):
            async with self.runtime.turn(self.call.api.remaining):
                if writes != self.runtime.writes:
                    # Another call has written since this one read: what it read may no longer be so.
                    binding = await self._plan(arguments)
                    decision = self._decide(binding, arguments, agreed)
                if isinstance(decision, str):
                    return rendered(await self._carry_out(binding.plan, decision))
        if isinstance(decision, WriteAnswer):
            await self._record("preview" if decision.confirm_token else "unchanged", binding.plan)
            return rendered(decision)
        asked = await ask_person(self.context, self.runtime.confirmer, binding)
        if asked is Reply.AGREED:
            # A person takes time to answer: everything is read again, with a time budget of its own.
            self.call = self.runtime.call(self.context.report_progress)
            return await self.run(arguments, agreed=binding.digest())
        if isinstance(asked, InputRequiredResult):
            await self._record("asked", binding.plan)
            return asked
        await self._record("refused", binding.plan, by="person", answer=asked.value)
        return rendered(
            WriteAnswer(
                status="unchanged",
                summary=f"Not done: the user {asked.value}. {binding.plan.summary} Nothing was sent.",
                target=binding.plan.target,
                undo=None,
            )
        )

    async def _plan(self, arguments: BaseModel) -> Binding:
        """What the call would do now, read afresh."""
        values, self.resolved = await resolve(self.operation, arguments, self.call.api)
        self.plan = plan = cast(Plan, await self.operation.function(self.call, **values))
        given = arguments.model_dump(mode="json", exclude_unset=True)
        return Binding(tool=self.operation.name, arguments=given, caller=caller(self.context), plan=plan)

    def _decide(self, binding: Binding, arguments: BaseModel, agreed: str | None) -> Consent | WriteAnswer | None:
        """What becomes of the plan: consent to carry it out, an answer (nothing to do, or a preview), or None where the
        person is to be asked.

        Raises:
            Refused: the policy blocks what needs confirming.
            InvalidArgument: an acknowledgement is missing where nothing is previewed.
        """
        plan, confirmer = binding.plan, self.runtime.confirmer
        token: str | None = getattr(arguments, CONFIRM_TOKEN, None)
        if plan.unchanged is not None:
            return self._answer(
                status="unchanged", summary=f"{plan.unchanged} Nothing was sent.", target=plan.target, undo=None
            )
        if self.operation.effect is not Effect.DESTROY and not plan.confirm:
            return "not needed"
        if confirmer.policy == "block":
            raise Refused(
                f"This server does nothing that needs confirming (PP_CONFIRM=block): {plan.summary} Nothing was "
                "changed."
            )
        if confirmer.policy == "allow":
            if plan.needs:
                raise InvalidArgument(
                    f"{plan.summary} Add {_flags(plan)}. Nothing was changed.",
                    field_errors={name: ["must be true"] for name in plan.needs},
                )
            return "allowed"
        if agreed is not None:
            return "person" if agreed == binding.digest() else self._preview(binding, _CHANGED)
        if confirmer.policy == "elicit" and can_ask(self.context) and not plan.needs:
            # The question is asked whatever token came: a model can hand one back without the person.
            return None
        if token is None:
            return self._preview(binding)
        if plan.needs:
            return self._preview(binding, f"{listed(plan.needs)} is missing. ")
        return "token" if confirmer.fits(token, binding) else self._preview(binding, _CHANGED)

    def _preview(self, binding: Binding, why: str = "") -> WriteAnswer:
        """What would be done, and the token that does it. `why` is the sentence on why it was not done."""
        plan = binding.plan
        token, expires_at = self.runtime.confirmer.mint(binding)
        flags = f" with {_flags(plan)} and" if plan.needs else " with"
        return self._answer(
            status="confirmation_required",
            summary=(
                f"{why}Not done yet. {plan.summary} Show this to the user; only if they agree, call "
                f"{self.operation.name} again{flags} this confirm_token (valid for {LIFETIME // 60} minutes)."
            ),
            target=plan.target,
            effects=plan.effects,
            **({"affected": plan.affected, "affected_total": plan.affected_total} if plan.affected else {}),
            irreversible=plan.irreversible,
            confirm_token=token,
            expires_at=expires_at,
            **({"needs": plan.needs} if plan.needs else {}),
        )

    async def _carry_out(self, plan: Plan, consent: Consent) -> WriteAnswer:
        self.runtime.brake.take(plan.reach)
        self.is_begun = True
        done = await self.runtime.perform(
            plan,
            consent=consent,
            entry=self.entry,
            resolved=self.resolved,
            request_ids=self.call.api.request_ids,
        )
        return self._tell(plan, done)

    def _tell(self, plan: Plan, done: Done) -> WriteAnswer:
        """What was done, as the API's answer showed it."""
        undo, note = done.undo, done.undo_note
        for call in undo if isinstance(undo, list) else [undo] if undo else []:
            if not _is_valid(call):
                undo, note = None, f"{call.tool} cannot set back what was there before (see changes): use PlusPlus."
        told: dict[str, Any] = {"not_applied": done.not_applied, "undo_note": note, "not_sent": done.not_sent}
        if self.operation.answer is ManyAnswer and done.outcomes is not None:
            told |= dict.fromkeys(("succeeded", "unchanged", "skipped", "failed", "unknown"), 0)
            told |= Counter(one.status for one in done.outcomes)
            told["items"] = [
                one for way in ("failed", "unknown", "skipped") for one in done.outcomes if one.status == way
            ]
        return self._answer(
            status=status_of(done),
            summary=done.summary,
            target=done.target or plan.target,
            changes=done.changes,
            undo=undo,
            **{name: value for name, value in told.items() if value or name in _COUNTS},
        )

    def _answer(self, **fields: Any) -> WriteAnswer:
        model = self.operation.answer
        if not issubclass(model, WriteAnswer):
            raise TypeError(f"{self.operation.name} does not write")
        if self.resolved:
            fields["resolved"] = self.resolved
        return model(**fields)

    async def _record(self, event: str, plan: Plan, **facts: Any) -> None:
        if self.entry is not None:
            target = plan.target.model_dump(exclude_none=True)
            await self.entry.write(event, target=target, summary=plan.summary, **facts)

    async def failed(self, error: PlusPlusError) -> ErrorAnswer:
        """The error in words, recorded if nothing was begun."""
        if self.entry is not None and not self.is_begun:
            try:
                await self.entry.write("refused", code=code_of(error), message=error.message)
            except Refused:
                # That the log cannot be written is what the error says already, or no worse than it.
                log.error("A refused call could not be recorded: %s", self.operation.name)
        now = ""
        if isinstance(error, Conflict) and self.plan is not None and self.plan.after_conflict is not None:
            with anyio.move_on_after(5):
                with contextlib.suppress(PlusPlusError):
                    now = await self.plan.after_conflict()
        return explained(error, self.operation, check=self.plan.check if self.plan else None, now=now)


_CHANGED = "The confirmation is no longer valid: another call or caller, a change since the preview, or it expired. "

_COUNTS = frozenset({"succeeded", "unchanged", "skipped", "failed", "unknown", "items"})
"""Fields that every answer about many things has, also where they are zero or empty."""


def _flags(plan: Plan) -> str:
    return listed([f"{name}=true" for name in plan.needs])


def _is_valid(undo: ToolCall) -> bool:
    """Whether the undo's tool accepts its arguments: the tenant may have held what no tool sets."""
    try:
        parse(BY_NAME[undo.tool], undo.arguments)
    except InvalidArgument:
        return False
    return True


# --- asking the person --------------------------------------------------------------------------------------------

_MODERN = "2026-07-28"
_KEY = "confirm"


class Agreement(BaseModel):
    """What the person fills in."""

    confirm: bool = Field(description="Tick to go ahead")


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


async def ask_person(context: Context[Any, Any], confirmer: Confirmer, binding: Binding) -> Reply | InputRequiredResult:
    """Shows the preview to the person and answers what they said.

    In the newer protocol the client repeats the call with the answer: then this returns the question first, sealed with
    a token for what was shown, and an answer to something else is asked anew.
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
        if given.action == "accept":
            return Reply.AGREED if (given.content or {}).get("confirm") is True else Reply.DECLINED
        return Reply.DECLINED if given.action == "decline" else Reply.CANCELLED
    token, _ = confirmer.mint(binding)
    params = ElicitRequestFormParams(message=message, requested_schema=Agreement.model_json_schema())
    return InputRequiredResult(input_requests={_KEY: ElicitRequest(params=params)}, request_state=token)


def _is_modern(context: Context[Any, Any]) -> bool:
    return is_version_at_least(context.protocol_version or "", _MODERN)


# --- who calls ----------------------------------------------------------------------------------------------------


def identity(context: Context[Any, Any]) -> dict[str, str | None]:
    """Who calls: the name and version the client gives itself, and the person an authenticated transport knows."""
    params = context.session.client_params
    access = get_access_token()
    return {
        "client": params.client_info.name if params is not None else None,
        "version": params.client_info.version if params is not None else None,
        "principal": access.subject if access is not None else None,
    }


def caller(context: Context[Any, Any]) -> str:
    """Whom a confirm token is good for: the client, and the person where one is known."""
    who = identity(context)
    return f"{who['principal'] or ''}/{who['client'] or 'unnamed client'}"
