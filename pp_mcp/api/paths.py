"""Paths that cannot lead elsewhere than meant."""

import re

from pp_mcp.errors import InvalidArgument

_PUBLIC_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")

PLACEHOLDER = "{public_id}"


def check_id(value: str, *, argument: str = "public_id") -> str:
    """`value` if it can be a public_id: 1 to 128 ASCII letters, digits, "_" and "-" (UUIDs and ULIDs are).

    Raises InvalidArgument for anything else: dots, slashes, escapes and the like could change which path is called.
    """
    if not _PUBLIC_ID.fullmatch(value):
        what = "is not a public_id: expected 1 to 128 letters, digits, hyphens or underscores"
        raise InvalidArgument(f"{argument} {what}.", field_errors={argument: [what]})
    return value


def fill(template: str, public_id: str | None) -> str:
    """The path for `template`, such as "/users/{public_id}". Raises InvalidArgument for an unfit or unneeded id."""
    if PLACEHOLDER not in template:
        if public_id is not None:
            raise InvalidArgument("This operation takes no public_id.", field_errors={"public_id": ["is not taken"]})
        return template
    return template.replace(PLACEHOLDER, check_id(public_id or ""))
