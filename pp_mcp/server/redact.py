"""The API token, removed from every text that leaves the server, wherever it came from."""

from __future__ import annotations

import logging
from itertools import takewhile
from typing import TypeVar

from pydantic import BaseModel, SecretStr

from pp_mcp.server.principal import brought

ResultT = TypeVar("ResultT", bound=BaseModel)

MARK = "[API token]"

SHORTEST = 12
"""Characters of the token's beginning that are taken for it: a text may have been cut in the middle of the token."""


def _without(secret: str, text: str) -> str:
    head, left = secret[:SHORTEST], ""
    while head and (at := text.find(head)) >= 0:
        left += text[:at] + MARK
        same = takewhile(lambda pair: pair[0] == pair[1], zip(secret, text[at : at + len(secret)], strict=False))
        text = text[at + len(list(same)) :]
    return left + text


class Redactor:
    """Removes from texts and results one token, and that which the request being answered brought."""

    def __init__(self, token: SecretStr) -> None:
        self._token = token

    def text(self, text: str) -> str:
        """The text without the tokens."""
        own = brought.get()
        for token in (self._token, *((own.token,) if own else ())):
            text = _without(token.get_secret_value(), text)
        return text

    def result(self, result: ResultT) -> ResultT:
        """The result without the tokens."""
        raw = result.model_dump_json(by_alias=True, exclude_unset=True)
        left = self.text(raw)
        return result if left == raw else type(result).model_validate_json(left)


class RedactingFilter(logging.Filter):
    """Removes tokens from log records and the exceptions in them."""

    def __init__(self) -> None:
        super().__init__()
        self.redactors: dict[str, Redactor] = {}
        """By token."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Logs every record."""
        if record.exc_info and not record.exc_text:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
        message, details = record.getMessage(), record.exc_text
        for redactor in self.redactors.values():
            message, details = redactor.text(message), redactor.text(details) if details else details
        record.msg, record.args, record.exc_text = message, None, details
        return True


def redact_logs(token: SecretStr) -> None:
    """From now on, no log handler there is writes the token."""
    for handler in logging.getLogger().handlers:
        found = next((one for one in handler.filters if isinstance(one, RedactingFilter)), None)
        if found is None:
            handler.addFilter(found := RedactingFilter())
        found.redactors.setdefault(token.get_secret_value(), Redactor(token))
