"""Answers kept for as long as the API says they have not changed."""

from collections import OrderedDict
from dataclasses import dataclass

from pp_mcp.api.wire import Answer

LARGEST_KEPT = 64 * 1024
"""Bytes of one answer; an assignment has about one thousand."""


@dataclass(frozen=True)
class Kept:
    etag: str
    answer: Answer


class EtagCache:
    """The last `size` answers that came with an ETag, by id. Each use asks the API whether it still holds.

    That one assignment is answered with 304 when unchanged is documented; that ETag carries it is inferred.
    """

    def __init__(self, size: int = 256) -> None:
        self._size = size
        self._kept: OrderedDict[str, Kept] = OrderedDict()

    def get(self, public_id: str) -> Kept | None:
        kept = self._kept.get(public_id)
        if kept is not None:
            self._kept.move_to_end(public_id)
        return kept

    def keep(self, public_id: str, answer: Answer) -> None:
        etag = answer.headers.get("etag", "")
        if not etag or len(etag) > 256 or len(answer.body) > LARGEST_KEPT:
            self.forget(public_id)
            return
        self._kept[public_id] = Kept(etag, answer)
        self._kept.move_to_end(public_id)
        if len(self._kept) > self._size:
            self._kept.popitem(last=False)

    def forget(self, public_id: str) -> None:
        self._kept.pop(public_id, None)
