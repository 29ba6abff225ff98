"""People."""

from typing import Annotated

from pydantic import model_validator

from pp_mcp.models.record import Named, Reference, TextOrNumber, with_full_name


class Person(Named):
    email: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _full_name(cls, value: object) -> object:
        return with_full_name(value)

    @property
    def label(self) -> str:
        """The name, else the e-mail address, else the public_id."""
        return self.name or self.email or self.public_id


class PersonRef(Person):
    """A person as other records name one: public_id, name, email (documented)."""


class User(Person):
    """A person's profile (documented). `role` is admin, organizer or user; other values pass."""

    role: str | None = None
    employee_id: TextOrNumber | None = None
    is_active: bool | None = None
    manager: Annotated[PersonRef | None, Reference] = None
    date_joined: str | None = None
    """ISO 8601 date and time, as sent."""
