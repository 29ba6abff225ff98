"""API tokens."""

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, SecretStr

from pp_mcp.models.record import Name, PublicId


class ApiToken(BaseModel):
    """A token just made. The only answer that holds the secret, and the only time the API tells it (documented).

    The name of the field is inferred, so its likely other names are read too.
    """

    # Unknown fields are dropped here: one of them could be the secret again, under another name.
    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True, validate_by_name=True, validate_by_alias=True)

    public_id: PublicId | None = None
    name: Name = ""
    token: SecretStr = Field(min_length=1, validation_alias=AliasChoices("token", "key", "secret", "api_token"))
    expires_at: str | None = None
    created: str | None = None
