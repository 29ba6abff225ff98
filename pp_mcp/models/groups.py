"""Groups of people."""

from pp_mcp.models.record import Named


class GroupRef(Named):
    """A group as other records name one."""


class Group(Named):
    """A group (documented). `source` is "plusplus" for groups made there; other sources keep their groups in step."""

    source: str | None = None
    member_count: int | None = None
    created: str | None = None
    modified: str | None = None
