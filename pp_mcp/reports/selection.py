"""Which assignments a caller asks about: as filters of the API, and in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from pp_mcp.models import ContentItem, Group, User
from pp_mcp.operations.assignments import CompletedWithin
from pp_mcp.text import listed, plural, quoted, word

AssignmentFilters = dict[str, str | bool | None]


@dataclass(frozen=True)
class Selection:
    """What the caller narrowed to. `filters` are those the API takes as they are."""

    user: Sequence[User] | None = None
    manager: User | None = None
    group: Group | None = None
    content_item: Sequence[ContentItem] | None = None
    filters: AssignmentFilters = field(default_factory=AssignmentFilters)
    is_active: bool | None = None
    """Only people who are active, or who are not."""
    completed: CompletedWithin = field(default_factory=CompletedWithin)
    """When the assignments were completed."""

    @property
    def words(self) -> str:
        """The selection after its noun: ` of “Security 101” in the group “Platform”`."""
        parts: list[str] = []
        if self.content_item:
            parts.append(f" of {listed([quoted(item.name) for item in self.content_item], 3)}")
        if self.user:
            parts.append(f" for {listed([quoted(user.name) for user in self.user], 3)}")
        if self.is_active is not None:
            parts.append(f" held by {'active' if self.is_active else 'deactivated'} people")
        if self.group:
            parts.append(f" in the group {quoted(self.group.name)}")
        if self.manager:
            parts.append(f" under {quoted(self.manager.name)}")
        given = {name: value for name, value in self.filters.items() if value is not None}
        parts += [f" {_SAID[name]} {word(str(given[name]))}" for name in _SAID if name in given]
        if given.get("is_overdue") is False:
            parts.append(", not overdue")
        return "".join(parts) + self.completed.words

    def counted(self, count: int) -> str:
        """`57 overdue assignments of “Security 101”`."""
        late = self.filters.get("is_overdue")
        return f"{plural(count, 'overdue assignment' if late else 'assignment')}{self.words}"

    @property
    def allows_rates(self) -> bool:
        """Whether a completion rate means anything: of what was picked by its state it does not."""
        by_state = self.filters.get("state"), self.filters.get("is_overdue")
        return by_state == (None, None) and not self.completed.is_given

    @property
    def is_empty(self) -> bool:
        """Whether nothing narrows it: it is the whole tenant."""
        named = (self.user, self.manager, self.group, self.content_item, self.is_active, *self.filters.values())
        return all(one is None for one in named) and not self.completed.is_given

    @property
    def items(self) -> dict[str, ContentItem]:
        """The content items by id; none where it may be any."""
        return {item.public_id: item for item in self.content_item or ()}

    @property
    def asked(self) -> AssignmentFilters:
        """The filters for the API, but for the people's and those of several content items."""
        items = list(self.items)
        one = items[0] if len(items) == 1 else None
        return {**self.filters, **self.completed.filters(self.filters.get("state")), "content_item": one}


_SAID = {
    "content_type": "of type",
    "state": "in state",
    "due_date_gte": "due from",
    "due_date_lte": "due until",
    "created_gte": "created from",
    "created_lte": "created until",
}
