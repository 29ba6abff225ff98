"""A client's arguments, checked strictly, with mistakes in words a model can mend."""

from __future__ import annotations

import contextlib
import difflib
import json
import logging
from collections.abc import AsyncGenerator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, cast

import anyio
from mcp.server.auth.middleware.auth_context import get_access_token
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.tools import Tool
from mcp.server.mcpserver.utilities.func_metadata import ArgModelBase, FuncMetadata
from mcp.types import CallToolResult, InputRequiredResult
from pydantic import BaseModel, PrivateAttr, ValidationError
from pydantic_core import ErrorDetails

from pp_mcp.answers import Answer, ErrorAnswer, Named, ToolCall, WriteAnswer
from pp_mcp.api import Api
from pp_mcp.audit import Entry
from pp_mcp.declare import CONFIRM_TOKEN, Call, Effect, Operation
from pp_mcp.errors import Conflict, InvalidArgument, PlusPlusError, Refused
from pp_mcp.models import Assignment
from pp_mcp.operations.transitions import what_works
from pp_mcp.plan import Plan
from pp_mcp.reports.answers import ReportAnswer
from pp_mcp.server.confirm import Binding
from pp_mcp.server.csv import csv_uri
from pp_mcp.server.explain import code_of, explained
from pp_mcp.server.narrowing import narrowing_of
from pp_mcp.server.perform import Runtime, perform
from pp_mcp.server.references import References, check
from pp_mcp.server.render import rendered, rendered_error
from pp_mcp.server.writes import Asked, Go, ask_person, can_ask, decide, told
from pp_mcp.text import listed, plural, quoted, word


def parse(operation: Operation, given: dict[str, Any]) -> BaseModel:
    """The validated arguments.

    Raises:
        InvalidArgument: names every argument that is wrong, with the form that is accepted; nothing has been sent.
    """
    try:
        return operation.arguments.model_validate(_unpacked(operation.input_schema["properties"], given))
    except ValidationError as error:
        field_errors: dict[str, list[str]] = {}
        for detail in error.errors(include_url=False, include_context=True):
            name = word(str(detail["loc"][0])) if detail["loc"] else "arguments"
            said = _said(detail, operation.arguments.model_fields)
            if said not in field_errors.setdefault(name, []):
                field_errors[name].append(said)
        problems = [f"{name}: {'; '.join(said[:3])}" for name, said in field_errors.items()]
        raise InvalidArgument(
            f"{plural(len(field_errors), 'argument')} of {operation.name} to mend: {listed(problems, 8)}. Nothing was "
            "sent.",
            field_errors=field_errors,
        ) from None


def _unpacked(properties: dict[str, dict[str, Any]], given: dict[str, Any]) -> dict[str, Any]:
    """Some clients send a list as a string that holds JSON; taken as what is meant where a list is wanted."""
    unpacked = dict(given)
    for name, value in given.items():
        takes_list = properties.get(name, {}).get("type") == "array"
        if takes_list and isinstance(value, str):
            unpacked[name] = [value]
            if value.lstrip().startswith("["):
                with contextlib.suppress(ValueError, RecursionError):
                    unpacked[name] = json.loads(value)
    return unpacked


def _said(detail: ErrorDetails, valid: Iterable[str]) -> str:
    kind, context = detail["type"], detail.get("ctx") or {}
    where = "".join(f"entry {part + 1} " for part in detail["loc"][1:] if isinstance(part, int))
    match kind:
        case "extra_forbidden":
            name = str(detail["loc"][0])
            near = difflib.get_close_matches(name.casefold(), list(valid), n=1, cutoff=0.5)
            names = sorted(valid)
            offer = f"did you mean {near[0]}?" if near else ""
            return f"unknown argument; {offer + ' ' if offer else ''}valid: {', '.join(names) or 'none'}"
        case "missing":
            return "is required"
        case "value_error":
            return where + str(context.get("error", "is not valid"))
        case "literal_error" | "enum":
            return (
                f"{where}must be one of {str(context.get('expected', '')).replace(chr(39), '')}; got {_shown(detail)}"
            )
        case "greater_than_equal":
            return f"{where}must be at least {context['ge']}; got {_shown(detail)}"
        case "less_than_equal":
            return f"{where}must be at most {context['le']}; got {_shown(detail)}"
        case "too_long":
            return f"takes at most {context['max_length']} entries; split the list"
        case "too_short":
            return f"needs at least {plural(context['min_length'], 'entry', 'entries')}"
        case "string_too_long":
            return f"{where}must be at most {context['max_length']} characters"
        case "string_too_short":
            return f"{where}must not be empty"
        case "string_type":
            return f"{where}must be a text; got {_shown(detail)}"
        case "list_type":
            return f'must be a list such as ["a", "b"]; got {_shown(detail)}'
        case "bool_parsing" | "bool_type":
            return f"{where}must be true or false; got {_shown(detail)}"
        case "int_parsing" | "int_type" | "int_from_float" | "int_parsing_size":
            return f"{where}must be a whole number; got {_shown(detail)}"
        case _:
            return f"{where}is not valid ({kind.replace('_', ' ')}); got {_shown(detail)}"


def _shown(detail: ErrorDetails) -> str:
    value: object = detail.get("input")
    if value is None or isinstance(value, bool | int | float):
        return json.dumps(value)[:40]
    return quoted(value, 40) if isinstance(value, str) else f"a {type(value).__name__}"


log = logging.getLogger("pp_mcp.server")

Result = CallToolResult | InputRequiredResult


class _Attempt:
    """What one try of a call has learnt; kept for wording an error after it."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.plan: Plan | None = None
        self.things: dict[str, Any] = {}
        self.resolved: dict[str, Named] = {}
        self.entry: Entry | None = None
        self.performed = False


class ServedTool(Tool):
    """One tool of the menu."""

    _operation: Operation = PrivateAttr()
    _runtime: Runtime = PrivateAttr()

    @classmethod
    def of(cls, operation: Operation, runtime: Runtime) -> ServedTool:
        """The tool that serves `operation`."""
        tool = cls(
            fn=operation.function,
            name=operation.name,
            title=operation.title,
            description=operation.description,
            parameters=operation.input_schema,
            fn_metadata=FuncMetadata(arg_model=ArgModelBase, output_schema=operation.output_schema),
            is_async=True,
            context_kwarg=None,
            annotations=operation.annotations,
        )
        tool._operation = operation
        tool._runtime = runtime
        return tool

    async def run(self, arguments: dict[str, Any], context: Context[Any, Any], convert_result: bool = False) -> Any:
        """Runs the tool. Every failure comes back as a result that says what to do; nothing foreign shows in it."""
        operation = self._operation
        attempt = _Attempt(self._runtime.client.call())
        if operation.effect is not Effect.READ and self._runtime.audit is not None:
            attempt.entry = self._runtime.audit.entry(self.name, arguments, identity(context))
        try:
            why_not = narrowing_of(context.headers).why_not(operation)
            if why_not is not None:
                raise Refused(f"{why_not} Nothing was sent.")
            given = parse(operation, arguments)
            if operation.effect is Effect.READ:
                return await self._read(given, attempt, context)
            with self._runtime.writing():
                return await self._write(given, attempt, context)
        except PlusPlusError as error:
            log.info("%s: %s", operation.name, type(error).__name__)
            if attempt.entry is not None and not attempt.performed:
                await _record_refusal(attempt.entry, error)
            check = attempt.plan.check if attempt.plan else None
            return rendered_error(explained(error, operation, check=check, now=await self._state_now(error, attempt)))
        except Exception:
            log.exception("%s failed unexpectedly", operation.name)
            return rendered_error(_unexpected(operation, attempt))

    async def _resolve(self, given: BaseModel, attempt: _Attempt) -> dict[str, Any]:
        """The operation's arguments: references as the things they name, the rest as validated."""
        references = References(attempt.api)
        values = {name: getattr(given, name) for name in type(given).model_fields if name != CONFIRM_TOKEN}
        for name, marker in self._operation.references.items():
            value = values[name]
            for text in cast(
                list[str], value if isinstance(value, list) else [value] if isinstance(value, str) else []
            ):
                check(name, marker, text)
        for name, marker in self._operation.references.items():
            value = values[name]
            if isinstance(value, list):
                values[name] = await references.many(name, marker, cast(list[str], value)) if value else []
            elif isinstance(value, str):
                thing, named = await references.one(name, marker, value)
                values[name] = attempt.things[name] = thing
                if named is not None:
                    attempt.resolved[name] = named
        return values

    async def _read(self, given: BaseModel, attempt: _Attempt, context: Context[Any, Any]) -> Result:
        values = await self._resolve(given, attempt)
        answer: Answer = await self._operation.function(self._call(attempt, context), **values)
        if attempt.resolved:
            answer.resolved = attempt.resolved
        if self._operation.csv and (isinstance(answer, ReportAnswer) or getattr(answer, "next_page", None)):
            uri = csv_uri(self._operation, given.model_dump(mode="json", exclude_unset=True))
            answer = answer.model_copy(update={"csv": uri})
        return rendered(answer, detail=values.get("detail", "full"))

    async def _write(
        self, given: BaseModel, attempt: _Attempt, context: Context[Any, Any], *, asked: bool = False
    ) -> Result:
        token = getattr(given, CONFIRM_TOKEN, None)
        runtime = self._runtime
        async with self._planned(given, attempt, context) as (plan, touched):
            binding = Binding(
                tool=self.name,
                arguments=given.model_dump(mode="json", exclude_unset=True),
                caller=caller(context),
                plan=plan,
            )
            asks = not asked and can_ask(context)
            decision = decide(self._operation, runtime.confirmer, binding, token, attempt.resolved, asks=asks)
            if isinstance(decision, Go):
                attempt.performed = True
                consent = "person" if asked else decision.consent
                try:
                    done = await perform(
                        plan, consent, runtime.brake, attempt.entry, attempt.resolved, attempt.api.request_ids
                    )
                finally:
                    runtime.note_write(touched)
                return rendered(told(self._operation, plan, done, attempt.resolved))
        if isinstance(decision, WriteAnswer):
            if attempt.entry is not None:
                event = "preview" if decision.status == "confirmation_required" else "unchanged"
                await attempt.entry.write(event, target=plan.target.model_dump(exclude_none=True), summary=plan.summary)
            return rendered(decision)
        return await self._ask(binding, given, attempt, context)

    @asynccontextmanager
    async def _planned(
        self, given: BaseModel, attempt: _Attempt, context: Context[Any, Any]
    ) -> AsyncGenerator[tuple[Plan, set[str]]]:
        """The plan, and the things it is about, which no other write of this process touches while it is held.

        What a plan is about shows only when it is made. So it is made first and the locks are taken then; if meanwhile
        one of the things was written, it is made again, with the locks in hand, until it is about nothing else.
        """
        runtime, held = self._runtime, set[str]()
        while True:
            since = runtime.moment()
            async with AsyncExitStack() as locks:
                await locks.enter_async_context(runtime.alone_with(held, attempt.api.remaining))
                values = await self._resolve(given, attempt)
                plan: Plan = await self._operation.function(self._call(attempt, context), **values)
                ids = (getattr(thing, "public_id", None) for thing in attempt.things.values())
                touched = {one for one in (*ids, *plan.touches) if isinstance(one, str)}
                if not held:
                    await locks.enter_async_context(runtime.alone_with(touched, attempt.api.remaining))
                fresh = touched <= held if held else not runtime.written_since(since, touched)
                if fresh:
                    attempt.plan = plan
                    yield plan, touched
                    return
            held = touched

    async def _ask(self, binding: Binding, given: BaseModel, attempt: _Attempt, context: Context[Any, Any]) -> Result:
        """Asks the person through the client; what is agreed to is planned anew, for a person takes time to answer."""
        asked = await ask_person(context, self._runtime.confirmer, binding)
        entry = attempt.entry
        if isinstance(asked, InputRequiredResult):
            if entry is not None:
                await entry.write("asked", summary=binding.plan.summary)
            return asked
        if asked is Asked.AGREED:
            token, _ = self._runtime.confirmer.mint(binding)
            again = given.model_copy(update={CONFIRM_TOKEN: token})
            anew = _Attempt(self._runtime.client.call())
            anew.entry = entry
            return await self._write(again, anew, context, asked=True)
        if entry is not None:
            await entry.write("refused", by="person", answer=asked.value, summary=binding.plan.summary)
        return rendered(asked.answer(binding.plan))

    def _call(self, attempt: _Attempt, context: Context[Any, Any]) -> Call:
        async def progress(done: float, total: float | None, message: str) -> None:
            await context.report_progress(done, total, message)

        return Call(
            api=attempt.api, today=self._runtime.today(), secrets_dir=self._runtime.secrets_dir, progress=progress
        )

    async def _state_now(self, error: PlusPlusError, attempt: _Attempt) -> str:
        """After a conflict over an assignment: the state it is in, and what works in it."""
        assignment = attempt.things.get("assignment")
        if not isinstance(error, Conflict) or not isinstance(assignment, Assignment):
            return ""
        try:
            with anyio.move_on_after(5):
                now = await attempt.api.one("get_assignment", Assignment, assignment.public_id)
                advice = what_works(now.state)
                # What was just refused is no advice: something else stands in its way.
                return f"It is {word(now.state)} now." + ("" if self.name in advice else f" {advice}")
        except PlusPlusError:
            pass
        return ""


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


async def _record_refusal(entry: Entry, error: PlusPlusError) -> None:
    """Records a call that came to nothing. That the log cannot be written is then no further news."""
    try:
        await entry.write("refused", code=code_of(error), message=error.message)
    except Refused:
        log.error("A refused call could not be recorded: %s", entry.tool)


def _unexpected(operation: Operation, attempt: _Attempt) -> ErrorAnswer:
    message = f"{operation.name} failed for a reason of the server's own; its log names it."
    check: ToolCall | None = None
    if operation.effect is not Effect.READ and attempt.plan is not None:
        check = attempt.plan.check
        message += " The change may have happened or not: check before calling again."
    answer = ErrorAnswer(code="internal_error", message=message)
    if check is not None:
        answer.check = check
    if attempt.api.request_ids:
        answer.request_id = attempt.api.request_ids[-1]
    return answer
