"""A write, decided but not yet done.

Every operation that writes returns a `Plan`: what it would do, read freshly. The server decides whether it is shown as
a preview or applied; nothing but reads has been sent while the plan was made. So a destructive operation cannot exist
without something to preview, and a preview cannot differ from what is then done.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import eq
from typing import Any, TypeVar

from pp_mcp.answers import Json, Named, Outcome, ToolCall
from pp_mcp.api import Api
from pp_mcp.models import Assignment, ContentItem, Group, User
from pp_mcp.text import listed, mixed_words, neutralise, quoted, word

MadeT = TypeVar("MadeT", bound=User | Group | ContentItem)
ThingT = TypeVar("ThingT", bound=User | Group | ContentItem | Assignment)


@dataclass(frozen=True)
class Rest:
    """The call that does what a run had to leave: its `arguments` as a client would send them (no token), the same as
    `values` with references resolved, and what the plan had read (`kept`)."""

    arguments: Json
    values: dict[str, Any]
    kept: Any = None


@dataclass(frozen=True)
class Done:
    """What the API's answer showed after a write."""

    summary: str
    changes: dict[str, list[Any]] = field(default_factory=dict[str, list[Any]])
    not_applied: list[str] = field(default_factory=list[str])
    undo: ToolCall | list[ToolCall] | None = None
    undo_note: str | None = None
    target: Named | None = None
    outcomes: list[Outcome] | None = None
    """For a call that writes many: one outcome for each item."""
    not_sent: int = 0
    """Items that were not started because the call had to stop."""
    rest: Rest | None = None
    """The call that does the items not started."""


@dataclass(frozen=True)
class Plan:
    """What a write would do.

    `state` is what the preview shows of the target, in a form that compares: a confirm token is bound to it, so that a
    target that changed after the preview is previewed again.
    """

    target: Named
    summary: str
    apply: Callable[[], Awaitable[Done]]
    state: Any = None
    effects: list[str] = field(default_factory=list[str])
    irreversible: bool = False
    confirm: bool = False
    """True where this very call must be confirmed; a destructive tool's plan is confirmed whatever it says here."""
    needs: list[str] = field(default_factory=list[str])
    """Acknowledgements the caller must add (`confirm_replace`); never set for it."""
    unchanged: str | None = None
    """Why there is nothing to do; then nothing is sent."""
    reach: int = 1
    """How many people or things would change, at most."""
    affected: list[Json] = field(default_factory=list[Json])
    """Up to 25 rows {public_id, name, from, to} of what would change."""
    affected_total: int = 0
    """How many there are in all."""
    kept: Any = None
    """What the plan read of its items, for a run that starts from its preview (bulk only)."""
    check: ToolCall | None = None
    """The call that shows, after a lost answer, whether the write happened."""
    after_conflict: Callable[[], Awaitable[str]] | None = None
    """Says, after the API found that the state does not allow it, what state that is and what works in it."""


@dataclass(frozen=True)
class ManyPlan(Plan):
    """A plan over many things: its answer lists an outcome for each that failed, and counts the rest."""


def left_out(names: list[str]) -> str:
    """The sentence that names what was asked for and did not take effect; empty where everything did."""
    return f" PlusPlus accepted the request but did not set {listed(names, 8)}." if names else ""


def call_of(tool: str, reference: str, public_id: str | None) -> ToolCall:
    """A call whose only argument is one thing's id."""
    return ToolCall(tool=tool, arguments={reference: public_id})


def create_plan(
    api: Api,
    tool: str,
    model: type[MadeT],
    body: Mapping[str, Any],
    *,
    target: Named,
    comparable: Callable[[MadeT], Mapping[str, Any]],
    created: Callable[[MadeT], str],
    check: ToolCall,
    summary: str | None = None,
    names: Mapping[str, str] | None = None,
    effects: Sequence[str] = (),
    undo: Callable[[MadeT], ToolCall] | None = None,
    undo_note: str,
) -> Plan:
    """The plan of a call that makes one thing. `comparable` gives the new thing's fields as `body` writes them,
    `created` the sentence about it, `names` what ids in them are shown as. A call with `effects` must be confirmed."""
    effects = [*effects, *lookalikes_in(body)]

    async def apply() -> Done:
        record = (await api.write(tool, model, body)).value
        after = comparable(record)
        missed = [name for name, value in body.items() if after.get(name) != value]
        return Done(
            summary=created(record) + left_out(missed),
            target=Named(kind=target.kind, public_id=record.public_id, name=record.name),
            changes={name: [None, _shown(value, names)] for name, value in after.items() if value is not None},
            not_applied=missed,
            undo=undo(record) if undo else None,
            undo_note=undo_note,
        )

    label = f"{word(target.kind)} {quoted(target.name or '')}"
    summary = summary or f"Create the {label}."
    return Plan(target, summary, apply, effects=effects, confirm=bool(effects), check=check)


def update_plan(
    api: Api,
    tool: str,
    model: type[ThingT],
    thing: ThingT,
    asked: Mapping[str, Any],
    *,
    target: Named,
    comparable: Callable[[ThingT], Mapping[str, Any]],
    same: Callable[[Any, Any], bool] = eq,
    names: Callable[[ThingT], Mapping[str, str]] = lambda _: {},
    new_names: Mapping[str, str] | None = None,
    effects: Sequence[str] = (),
    confirm: bool = False,
    clearable: frozenset[str] = frozenset(),
    after_conflict: Callable[[], Awaitable[str]] | None = None,
) -> Plan:
    """The plan of a call that sets fields of one thing: only what differs is sent, read back and undone.

    `comparable` gives the thing's fields as the request writes them, `asked` is what they shall be, and `same` says
    whether two values of a field mean the same. `names` and `new_names` are what ids in them are shown as. The
    `clearable` fields can be emptied with the tool's `clear`; others cannot be set back to nothing. The reference
    argument of an update tool has the name of the thing, as its `get_` tool does.
    """
    before = comparable(thing)
    wanted = {name: value for name, value in asked.items() if not same(before.get(name), value)}
    reference = tool.removeprefix("update_")
    label = f"{word(target.kind).replace('_', ' ')} {quoted(target.name or target.public_id or '')}"
    known = {**names(thing), **(new_names or {})}

    async def apply() -> Done:
        written = (await api.write(tool, model, wanted, public_id=target.public_id)).value
        after = comparable(written)
        known.update(names(written))
        changes = [name for name in wanted if not same(before.get(name), after.get(name))]
        failed = [name for name, value in wanted.items() if not same(after.get(name), value)]
        former = {name: before[name] for name in changes if before.get(name) is not None}
        emptied = [name for name in changes if name not in former and name in clearable]
        back = former | ({"clear": emptied} if emptied else {})
        done = [name for name in changes if name not in failed]
        summary = f"Changed {listed(done, 8)} of the {label}." if done else f"Nothing of the {label} changed."
        return Done(
            summary=summary + left_out(failed),
            changes={name: [_shown(before.get(name), known), _shown(after.get(name), known)] for name in changes},
            not_applied=failed,
            undo=ToolCall(tool=tool, arguments={reference: target.public_id, **back}) if back else None,
            undo_note=_undo_note(former, [name for name in changes if name not in former and name not in emptied]),
        )

    lookalikes = lookalikes_in(wanted)
    words = [
        f"{name}: {_said(_shown(before.get(name), known))} → {_said(_shown(value, known))}"
        for name, value in wanted.items()
    ]
    return Plan(
        target=target,
        summary=f"Change {listed(list(wanted), 8)} of the {label}.",
        apply=apply,
        state={name: before.get(name) for name in sorted({*before, *wanted})},
        effects=[*words, *effects, *lookalikes],
        confirm=confirm or bool(lookalikes),
        unchanged=None if wanted else f"The {label} already has the requested {listed(list(asked), 8)}.",
        check=call_of(f"get_{reference}", reference, target.public_id),
        after_conflict=after_conflict,
    )


def lookalikes_in(asked: Mapping[str, Any]) -> list[str]:
    """A warning for each e-mail or name in which a word mixes letters of scripts that look alike."""
    return [
        f"The {field} has letters of different alphabets in one word ({listed(mixed)}): they may look like a name that "
        "they are not. Check the spelling."
        for field in ("email", "name")
        if (mixed := mixed_words(str(asked.get(field) or "")))
    ]


def _undo_note(former: Mapping[str, Any], unset: list[str]) -> str | None:
    """What the undo cannot set back as it was; None where it can set back everything."""
    notes: list[str] = []
    hidden = [name for name, old in former.items() if isinstance(old, str) and neutralise(old).strip() != old]
    if hidden:
        notes.append(
            f"The old {listed(hidden)} had hidden characters or spaces around it; the undo sets it without them."
        )
    if unset:
        notes.append(f"PlusPlus did not say what {listed(unset)} was before, so that cannot be set back.")
    return " ".join(notes) or None


def _shown(value: Any, names: Mapping[str, str] | None) -> Any:
    if isinstance(value, list):
        return [_shown(one, names) for one in value]  # pyright: ignore[reportUnknownVariableType]
    return names.get(value, value) if names and isinstance(value, str) else value


def _said(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return listed([_said(one) for one in value], 8) or "none"  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    return quoted(neutralise(str(value)))
