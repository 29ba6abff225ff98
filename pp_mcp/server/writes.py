"""A write, from its plan to its answer: plan → decide → ask → tell. Nothing else decides whether a plan is carried out.

What must be confirmed follows from what this very call would do, not from the tool: it loses something, raises rights,
changes access, reaches many, or comes after many changes that nobody confirmed. Without consent such a plan is answered
with a preview and a token. With PP_CONFIRM=elicit the person is asked through the client, and where it cannot ask,
preview and token take the question's place. With PP_CONFIRM=person nothing takes its place.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any, cast

import anyio
from mcp.server.mcpserver import Context
from mcp.types import CallToolResult, InputRequiredResult
from pydantic import BaseModel

from pp_mcp.answers import ErrorAnswer, ManyAnswer, ToolCall, WriteAnswer
from pp_mcp.audit import Entry
from pp_mcp.declare import CONFIRM_TOKEN, Call, Effect, Operation
from pp_mcp.errors import Conflict, InvalidArgument, PlusPlusError, Refused
from pp_mcp.inventory import BY_NAME
from pp_mcp.plan import Done, Plan, Rest
from pp_mcp.server.arguments import Resolved, Values, parse, resolve
from pp_mcp.server.asking import Reply, ask_person, caller, can_ask, share_of
from pp_mcp.server.confirm import LIFETIME, Binding, Consent, Start
from pp_mcp.server.explain import code_of, explained
from pp_mcp.server.perform import Runtime, log, status_of
from pp_mcp.server.principal import principal
from pp_mcp.server.render import rendered
from pp_mcp.telemetry import CONFIRMATIONS, UNCONFIRMED
from pp_mcp.text import listed

Result = CallToolResult | InputRequiredResult

MANY = 25
"""People or things that one call may change without being confirmed."""


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
    values: Values = field(default_factory=Values)
    resolved: Resolved = field(default_factory=Resolved)
    start: Start | None = None
    """What a preview in this process resolved and read, to start from instead of reading again."""
    fitting: str | None = None
    """The token that fits the plan; it is spent when the first write goes out."""
    is_alone: bool = False
    is_begun: bool = False
    """Whether the plan was carried out, or begun."""

    async def run(self, arguments: BaseModel, agreed: str | None = None) -> Result:
        """Plans, decides, asks, does and tells. `agreed` is the digest of what the person agreed to, once asked."""
        writes, turns = self.runtime.writes, self.runtime.turns
        self.call = replace(self.call, item=self._item)
        binding = await self._start(arguments, agreed)
        decision = await self._decide(binding, arguments, agreed)
        if isinstance(decision, str):
            async with turns.alone(self.call.api.remaining):
                if writes != self.runtime.writes:
                    # Another call has written since this one read: what it read may no longer be so.
                    binding, decision = await self._again(arguments, agreed)
                while isinstance(decision, str) and not await self._take(binding.plan, decision):
                    binding, decision = await self._again(arguments, agreed)
                if isinstance(decision, str) and binding.plan.kept is None:
                    self.is_alone = True
                    return rendered(await self._carry_out(binding.plan, decision))
            if isinstance(decision, str):
                # Bulk work looks at each item right before it writes it: other calls may write between its items.
                return rendered(await self._carry_out(binding.plan, decision))
        if isinstance(decision, WriteAnswer):
            await self._record("preview" if decision.confirm_token else "unchanged", binding.plan)
            return rendered(decision)
        return await self._ask(binding, arguments)

    def _item(self) -> AbstractAsyncContextManager[None]:
        return nullcontext() if self.is_alone else self.runtime.turns.item()

    # --- plan ---------------------------------------------------------------------------------------------------------

    async def _start(self, arguments: BaseModel, agreed: str | None) -> Binding:
        """The first plan. It starts from what the preview read if the call's token is that preview's."""
        confirmer = self.runtime.confirmer
        token = _token_of(arguments) or self.context.request_state
        if agreed is None and token is not None:
            self.start = await confirmer.kept(token, self.operation)
            if self.start is not None:
                binding = await self._plan(arguments)
                if await self._fits(token, binding):
                    return binding
                self.start = None
        return await self._plan(arguments)

    async def _again(self, arguments: BaseModel, agreed: str | None) -> tuple[Binding, Consent | WriteAnswer | None]:
        """Plans and decides anew. Where another call used the token, what its preview read is used up too."""
        if self.fitting is not None and await self.runtime.confirmer.is_spent(self.fitting):
            self.start = None
        binding = await self._plan(arguments)
        return binding, await self._decide(binding, arguments, agreed)

    async def _fits(self, token: str, binding: Binding) -> bool:
        confirmer = self.runtime.confirmer
        return confirmer.fits(token, binding) and not await confirmer.is_spent(token)

    async def _plan(self, arguments: BaseModel) -> Binding:
        """What the call would do now."""
        if self.start is None:
            self.values, self.resolved = await resolve(self.operation, arguments, self.call.api, self.call.report)
        else:
            self.values, self.resolved = self.start.values, self.start.resolved
        self.plan = await self._planned(self.values, self.start.kept if self.start else None)
        return self._binding(arguments, self.values, self.plan)

    async def _planned(self, values: Values, kept: Any) -> Plan:
        return cast(Plan, await self.operation.function(replace(self.call, kept=kept), **values))

    def _binding(self, arguments: BaseModel, values: Values, plan: Plan) -> Binding:
        return Binding(
            tool=self.operation.name,
            arguments=arguments.model_dump(mode="json", exclude_unset=True),
            things={name: _ids(values[name]) for name in self.operation.references if values.get(name) is not None},
            caller=caller(self.context),
            plan=plan,
        )

    async def _mint(self, binding: Binding, start: Start) -> tuple[str, str]:
        """A token, and when it expires. What a bulk plan read is kept for the run that brings the token."""
        token, expires_at = self.runtime.confirmer.mint(binding)
        if start.kept is not None:
            await self.runtime.confirmer.keep(token, start, self.operation)
        return token, expires_at

    # --- decide -------------------------------------------------------------------------------------------------------

    async def _decide(self, binding: Binding, arguments: BaseModel, agreed: str | None) -> Consent | WriteAnswer | None:
        """What becomes of the plan: consent to carry it out, an answer (nothing to do, or a preview), or None where the
        person is to be asked.

        Raises:
            Refused: the policy blocks what needs confirming, or only a person's answer counts and nobody can be asked.
            InvalidArgument: an acknowledgement is missing where nothing is previewed.
        """
        plan, confirmer, token = binding.plan, self.runtime.confirmer, _token_of(arguments)
        self.fitting = token if token is not None and await self._fits(token, binding) else None
        if plan.unchanged is not None:
            return self._answer(
                status="unchanged", summary=f"{plan.unchanged} Nothing was sent.", target=plan.target, undo=None
            )
        must = self.operation.effect is Effect.DESTROY or plan.confirm or plan.reach > MANY
        slow = confirmer.policy != "allow" and not await self.runtime.pace.allows(principal(), plan.reach)
        if not must and not slow:
            return "not needed"
        why = "" if must else f"More than {self.runtime.pace.most:,} changes in an hour need confirming. "
        match confirmer.policy:
            case "block":
                raise Refused(
                    f"This server does nothing that needs confirming (PP_CONFIRM=block): {why}{plan.summary} Nothing "
                    "was changed."
                )
            case "allow":
                _check_flags(plan)
                return "allowed"
            case "person" | "elicit" if agreed is not None:
                if agreed == binding.digest():
                    return "person"
                if confirmer.policy == "person":
                    raise Refused("What the user agreed to has changed meanwhile: call again. Nothing was changed.")
                return await self._preview(binding, _NO_LONGER_VALID)
            case _ if self.start is not None and self.start.consent is not None and self.fitting is not None:
                # The rest of a run that had to stop: it was agreed to with the whole.
                return self.start.consent
            case "person":
                _check_flags(plan)
                if not can_ask(self.context):
                    raise Refused(
                        "This server changes this only with the user's own answer (PP_CONFIRM=person), and this client "
                        f"cannot ask: it does not offer elicitation. {why}{plan.summary} Nothing was changed."
                    )
                return None
            case "elicit" if can_ask(self.context) and not plan.needs:
                # The question is asked whatever token came: a model can hand one back without the person.
                return None
            case _ if token is None:
                return await self._preview(binding, why)
            case _ if plan.needs:
                return await self._preview(binding, f"{listed(plan.needs)} is missing. ")
            case _:
                return "token" if self.fitting is not None else await self._preview(binding, _NO_LONGER_VALID)

    async def _preview(self, binding: Binding, why: str = "") -> WriteAnswer:
        """What would be done, and the token that does it. `why` says why it was not done."""
        plan = binding.plan
        self._count("expired" if why == _NO_LONGER_VALID else "asked")
        token, expires_at = await self._mint(binding, Start(self.values, self.resolved, plan.kept))
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

    # --- ask ----------------------------------------------------------------------------------------------------------

    async def _ask(self, binding: Binding, arguments: BaseModel) -> Result:
        start = Start(self.values, self.resolved, binding.plan.kept)

        async def mint() -> str:
            return (await self._mint(binding, start))[0]

        asked = await ask_person(self.context, self.runtime.confirmer, binding, mint)
        if isinstance(asked, InputRequiredResult) or not self.context.input_responses:
            self._count("asked")
        if asked is Reply.AGREED:
            # A person takes time to answer: all but the items of bulk work is read again, with a time of its own.
            self.call = replace(self.call, api=self.runtime.call(caller=share_of(self.context)).api)
            self.start = start if start.kept is not None else None
            return await self.run(arguments, agreed=binding.digest())
        if isinstance(asked, InputRequiredResult):
            await self._record("asked", binding.plan)
            return asked
        self._count("refused")
        await self._record("refused", binding.plan, by="person", answer=asked.value)
        return rendered(
            WriteAnswer(
                status="unchanged",
                summary=f"Not done: the user {asked.value}. {binding.plan.summary} Nothing was sent.",
                target=binding.plan.target,
                undo=None,
            )
        )

    def _count(self, event: str) -> None:
        CONFIRMATIONS.add(1, {"tool": self.operation.name, "event": event})

    # --- tell ---------------------------------------------------------------------------------------------------------

    async def _take(self, plan: Plan, consent: Consent) -> bool:
        """Spends the token and counts the changes; False where another call, of any replica, was faster.

        Raises:
            Refused: they would exceed the hourly limit.
        """
        confirmer, pace = self.runtime.confirmer, self.runtime.pace
        if self.fitting is not None and not await confirmer.spend(self.fitting):
            return False
        taken = False
        try:
            counts = consent == "not needed" and confirmer.policy != "allow"
            if counts and not await pace.take(principal(), plan.reach):
                return False
            await self.runtime.brake.take(principal(), plan.reach)
            taken = True
        finally:
            if self.fitting is not None and not taken:
                await confirmer.give_back(self.fitting)
        if consent in ("token", "person"):
            self._count("given")
        else:
            UNCONFIRMED.add(plan.reach, {"tool": self.operation.name})
        return True

    async def _carry_out(self, plan: Plan, consent: Consent) -> WriteAnswer:
        self.is_begun = True
        self.call.begins(self.call.api)
        try:
            done = await self.runtime.perform(
                plan,
                consent=consent,
                entry=self.entry,
                resolved=self.resolved,
                request_ids=self.call.api.request_ids,
            )
        finally:
            if self.fitting is not None and not self.call.api.writes:
                with anyio.CancelScope(shield=True):
                    await self.runtime.confirmer.give_back(self.fitting)
        await self.runtime.brake.give_back(principal(), done.not_sent)
        return self._tell(plan, done, await self._continue(done.rest, consent) if done.rest else None)

    async def _continue(self, rest: Rest, consent: Consent) -> ToolCall | None:
        """The call that does the rest of a run that had to stop, with a token for it; none where nothing is left."""
        with contextlib.suppress(PlusPlusError):
            plan = await self._planned(rest.values, rest.kept)
            if plan.unchanged is None:
                binding = self._binding(parse(self.operation, rest.arguments), rest.values, plan)
                token, _ = await self._mint(binding, Start(rest.values, {}, rest.kept, consent))
                return ToolCall(tool=self.operation.name, arguments={**rest.arguments, CONFIRM_TOKEN: token})
        return None

    def _tell(self, plan: Plan, done: Done, rest: ToolCall | None) -> WriteAnswer:
        """What was done, as the API's answer showed it."""
        undo, note = done.undo, done.undo_note
        for call in undo if isinstance(undo, list) else [undo] if undo else []:
            if not _is_valid(call):
                undo, note = None, f"{call.tool} cannot set back what was there before (see changes): use PlusPlus."
        told: dict[str, Any] = {"not_applied": done.not_applied, "undo_note": note, "not_sent": done.not_sent}
        told["continue"] = rest
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
            with anyio.move_on_after(5), contextlib.suppress(PlusPlusError):
                now = await self.plan.after_conflict()
        return explained(error, self.operation, check=self.plan.check if self.plan else None, now=now)


_NO_LONGER_VALID = (
    "The confirmation is no longer valid: it was used already, it expired, it was for another call or caller, "
    "something changed since the preview, or another process or key made it. "
)

_COUNTS = frozenset({"succeeded", "unchanged", "skipped", "failed", "unknown", "items"})
"""Fields that every answer about many things has, also where they are zero or empty."""


def _token_of(arguments: BaseModel) -> str | None:
    return getattr(arguments, CONFIRM_TOKEN, None)


def _ids(value: Any) -> Any:
    """The public_ids of what a reference was resolved to; of a channel, the id that it is."""
    if isinstance(value, list):
        return [_ids(one) for one in cast("list[Any]", value)]
    return getattr(value, "public_id", value)


def _flags(plan: Plan) -> str:
    return listed([f"{name}=true" for name in plan.needs])


def _check_flags(plan: Plan) -> None:
    """Raises InvalidArgument where acknowledgements are missing."""
    if plan.needs:
        raise InvalidArgument(
            f"{plan.summary} Add {_flags(plan)}. Nothing was changed.",
            field_errors={name: ["must be true"] for name in plan.needs},
        )


def _is_valid(undo: ToolCall) -> bool:
    """Whether the undo's tool accepts its arguments: the tenant may have held what no tool sets."""
    try:
        parse(BY_NAME[undo.tool], undo.arguments)
    except InvalidArgument:
        return False
    return True
