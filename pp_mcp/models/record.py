"""What all records of the API share: they are read leniently, for its public pages contradict each other."""

from typing import Annotated, Any, cast

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

PublicId = Annotated[str, Field(min_length=1)]
"""Opaque: a UUID in the reference, a ULID in the guides (both documented). Never a number."""


def _named(value: object) -> str:
    return value if isinstance(value, str) else ""


def _as_text(value: object) -> object:
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def _as_reference(value: object) -> object:
    return {"public_id": value} if isinstance(value, str) else value


Name = Annotated[str, BeforeValidator(_named)]
"""A display name; "" where the API sends none."""

TextOrNumber = Annotated[str, BeforeValidator(_as_text)]
"""Text that some tenants fill with numbers, such as an employee id."""

Reference = BeforeValidator(_as_reference)
"""Lets a related record be the bare public_id as well as an object (inferred: requests name relations by id)."""


class Record(BaseModel):
    """One record as the API sent it; fields nobody documented stay, and are found in `model_extra`."""

    model_config = ConfigDict(extra="allow", hide_input_in_errors=True)


class Named(Record):
    """A record with a public_id and a name."""

    public_id: PublicId
    name: Name = ""

    @property
    def label(self) -> str:
        """The name, or the public_id where there is none."""
        return self.name or self.public_id


def with_full_name(value: object) -> object:
    """Fills `name` from `first_name` and `last_name`, which the guides show in its place (both documented)."""
    if not isinstance(value, dict):
        return value
    record = cast(dict[str, Any], value)
    if record.get("name"):
        return record
    parts = [record.get("first_name"), record.get("last_name")]
    full = " ".join(part.strip() for part in parts if isinstance(part, str) and part.strip())
    return {**record, "name": full} if full else record
