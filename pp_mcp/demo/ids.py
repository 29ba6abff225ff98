"""Public ids: UUIDs as the reference documents them, or ULIDs as the guides show them."""

from __future__ import annotations

import random
import re
from typing import Literal

IdForm = Literal["uuid", "ulid"]

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_ULID = re.compile(rf"[0-7][{_CROCKFORD}]{{25}}")
_VERSION_4 = (4 << 76) | (2 << 62)
_NOT_VERSION = ~((0xF << 76) | (0x3 << 62))


def canonical(form: IdForm, text: str) -> str | None:
    """The stored spelling of an id, None if it is malformed."""
    if form == "uuid":
        text = text.lower() if text.isascii() else text
        return text if _UUID.fullmatch(text) else None
    text = text.upper() if text.isascii() else text
    return text if _ULID.fullmatch(text) else None


class Mint:
    """Creates public ids, the same ones for the same seed text."""

    def __init__(self, form: IdForm, seed: str) -> None:
        self._random = random.Random(seed)
        self._form = form

    def __call__(self) -> str:
        bits = self._random.getrandbits(128)
        if self._form == "uuid":
            digits = f"{bits & _NOT_VERSION | _VERSION_4:032x}"
            return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
        return "".join(_CROCKFORD[bits >> shift & 31] for shift in range(125, -1, -5))
