"""Our own API token, removed from every text that leaves the server, wherever it came from."""

from __future__ import annotations

import logging
import re
from typing import TypeVar

from pydantic import BaseModel, SecretStr

ResultT = TypeVar("ResultT", bound=BaseModel)

MARK = "[API token]"

SHORTEST = 12
"""Characters of the token's beginning that are taken for it: a text may have been cut in the middle of the token."""


class Redactor:
    """Removes one token from texts and results."""

    def __init__(self, token: SecretStr) -> None:
        secret = token.get_secret_value()
        rest = ""
        for character in reversed(secret[SHORTEST:]):
            rest = f"(?:{re.escape(character)}{rest})?"
        self._pattern = re.compile(re.escape(secret[:SHORTEST]) + rest) if secret else re.compile(r"(?!)")

    def text(self, text: str) -> str:
        """The text without the token."""
        return self._pattern.sub(MARK, text)

    def result(self, result: ResultT) -> ResultT:
        """The result without the token."""
        raw = result.model_dump_json(by_alias=True, exclude_unset=True)
        return type(result).model_validate_json(self.text(raw)) if self._pattern.search(raw) else result


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
