"""A write, decided but not yet done.

Every operation that writes returns a `Plan`: what it would do, read freshly. The server decides whether it is shown as
a preview or applied; nothing but reads has been sent while the plan was made. So a destructive operation cannot exist
without something to preview, and a preview cannot differ from what is then done.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pp_mcp.answers import Json, Named, Outcome, ToolCall
from pp_mcp.text import listed, neutralise, quoted, word


@dataclass(frozen=True)
class Rest:
    """What a run that stopped early left to do, as a call."""

    arguments: Json
    """As a client would send them, without a token."""
    values: dict[str, Any]
    """The same, with references resolved to the things they name."""
    kept: Any
    """What was read of them; the call starts from it and reads nothing again."""


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
    """Items that were not begun, because the call had to stop."""
    rest: Rest | None = None
    """The call that does those; None where all were begun."""


@dataclass(frozen=True)
class Plan:
    """What a write would do.

    `state` is what the preview shows of the target, in a form that compares: a confirm token is bound to it, so that a
    target that changed after the preview is previewed anew.
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
    """Up to 25 of them: {public_id, name, from, to}."""
    affected_total: int = 0
    kept: Any = None
    """What was read of the items of a bulk call, so that carrying it out need not read them again."""
    touches: tuple[str, ...] = ()
    """Ids of things, besides those the arguments name, that it shows or changes; other writes to them are kept off."""
    check: ToolCall | None = None
    """The call that shows, after a lost answer, whether the write happened."""


@dataclass(frozen=True)
class ManyPlan(Plan):
    """A plan over many things: its answer lists an outcome for each that failed, and counts the rest."""


def compare(before: Mapping[str, Any], after: Mapping[str, Any], asked: Mapping[str, Any]) -> dict[str, list[Any]]:
    """`{field: [before, after]}` for each field asked for that differs now, as read back."""
    return {name: [before.get(name), after.get(name)] for name in asked if before.get(name) != after.get(name)}


def not_applied(after: Mapping[str, Any], asked: Mapping[str, Any]) -> list[str]:
    """The fields that were asked for and do not have the value asked for."""
    return [name for name, wanted in asked.items() if after.get(name) != wanted]


def left_out(names: list[str]) -> str:
    """The sentence that names what was asked for and did not take effect; nothing where everything did."""
    return f" The API answered without taking over {listed(names, 8)}." if names else ""


def update_plan(
    *,
    target: Named,
    tool: str,
    reference: str,
    before: Mapping[str, Any],
    asked: Mapping[str, Any],
    send: Callable[[], Awaitable[Mapping[str, Any]]],
    check: ToolCall,
    shown: Callable[[str, Any], Any] = lambda _name, value: value,
    argument: Callable[[str, Any], Any] = lambda _name, value: value,
    effects: list[str] | None = None,
    confirm: bool = False,
    clears: frozenset[str] = frozenset(),
) -> Plan:
    """The plan of a call that sets fields of one thing: only what differs is sent, read back and undone.

    `before` and what `send` answers are the thing's fields in comparable form; `asked` is what they shall be. `shown`
    turns a comparable value into what `changes` names, `argument` into what `tool` takes for it in the undo. `clears`
    names the fields that `tool` sets to nothing when it is given null; the others cannot be set back to nothing.
    """
    wanted = {name: value for name, value in asked.items() if before.get(name) != value}
    label = f"{word(target.kind).replace('_', ' ')} {quoted(target.name or target.public_id or '')}"

    async def apply() -> Done:
        after = await send()
        changes = compare(before, after, wanted)
        failed = not_applied(after, wanted)
        former = {name: old for name, (old, _new) in changes.items() if old is not None or name in clears}
        reverse = {name: argument(name, old) for name, old in former.items()}
        undo = ToolCall(tool=tool, arguments={reference: target.public_id, **reverse}) if reverse else None
        done = [name for name in changes if name not in failed]
        summary = f"Changed {listed(done, 8)} of the {label}." if done else f"Nothing of the {label} changed."
        summary += left_out(failed)
        return Done(
            summary=summary,
            changes={name: [shown(name, old), shown(name, new)] for name, (old, new) in changes.items()},
            not_applied=failed,
            undo=undo,
            undo_note=_undo_note(former, [name for name in changes if name not in former]),
        )

    words = [f"{name}: {_said(shown(name, before.get(name)))} → {_said(shown(name, wanted[name]))}" for name in wanted]
    return Plan(
        target=target,
        summary=f"Change {listed(list(wanted), 8)} of the {label}.",
        apply=apply,
        state={name: before.get(name) for name in sorted({*before, *wanted})},
        effects=words + (effects or []),
        confirm=confirm,
        unchanged=None
        if wanted
        else f"{listed(list(asked), 8)} of the {label} {'is' if len(asked) == 1 else 'are'} as asked for already.",
        check=check,
    )


def _undo_note(former: Mapping[str, Any], unset: list[str]) -> str | None:
    """What the undo cannot set back as it was; None where it can set back all."""
    notes: list[str] = []
    hidden = [name for name, old in former.items() if isinstance(old, str) and neutralise(old).strip() != old]
    if hidden:
        notes.append(
            f"The former {listed(hidden)} held hidden characters or outer spaces: the undo sets it without them."
        )
    if unset:
        notes.append(f"The API did not say what {listed(unset)} was before, so that cannot be set back.")
    return " ".join(notes) or None


def _said(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return listed([_said(one) for one in value], 8) or "none"  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    return quoted(neutralise(str(value)))


__all__ = ["Done", "Json", "ManyPlan", "Plan", "Rest", "compare", "left_out", "not_applied", "update_plan"]
