"""The database of a tenant: connection, transactions, clock and ids."""

from __future__ import annotations

import sqlite3
from collections import OrderedDict
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, cast

from pp_mcp.demo import schema
from pp_mcp.demo.ids import IdForm, Mint
from pp_mcp.demo.moments import stamp

_CACHED_LISTS = 32


class Store:
    """One sqlite database, in memory or in a file.

    Statements run synchronously in the event loop: each takes microseconds to a few milliseconds, and a write is never
    interrupted by another request because nothing is awaited inside it.
    """

    def __init__(self, db: str | Path, *, now: Callable[[], datetime], ids: IdForm, seed: int) -> None:
        self._now = now
        # Transactions are opened by `writing` alone, so statements of a test on the same connection commit at once.
        self.connection = sqlite3.connect(db, isolation_level=None, check_same_thread=False)
        try:
            self.connection.row_factory = sqlite3.Row
            self.connection.execute("PRAGMA foreign_keys = ON")
            if str(db) != ":memory:":
                self.connection.execute("PRAGMA journal_mode = WAL")
                self.connection.execute("PRAGMA synchronous = NORMAL")
            self.is_new = not self._has_meta()
            if not self.is_new:
                self._check_version(db)
            self.ids: IdForm = ids if self.is_new else cast("IdForm", self.meta("ids"))
            self.seed = seed if self.is_new else int(self.meta("seed"))
            opened = 1 if self.is_new else int(self.meta("opened")) + 1
            if not self.is_new:
                self.connection.execute("UPDATE meta SET value = ? WHERE key = 'opened'", (str(opened),))
        except BaseException:
            self.connection.close()
            raise
        # A new stream of ids each time a file is opened: a reopened tenant must not repeat ids.
        self.new_id = Mint(self.ids, f"ids/{self.seed}/{opened}")
        self._lists: OrderedDict[tuple[str, tuple[Any, ...]], list[int]] = OrderedDict()
        self._totals: dict[str, int] = {}
        self._lists_at = (-1, -1)

    def _has_meta(self) -> bool:
        found = self.connection.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'meta'")
        return found.fetchone() is not None

    def _check_version(self, db: str | Path) -> None:
        if self.meta("version") != schema.VERSION:
            raise ValueError(f"{db} was made by another version of the demo tenant: delete it to seed it anew.")

    def meta(self, key: str) -> str:
        """A recorded fact about the database: version, seed, sizes, ids, seeded_on, opened; "" where there is none."""
        row = self.one("SELECT value FROM meta WHERE key = ?", key)
        return "" if row is None else cast(str, row["value"])

    def now(self) -> str:
        """Now, in stored form."""
        return stamp(self._now())

    def today(self) -> str:
        """Today (UTC), `YYYY-MM-DD`."""
        return self.now()[:10]

    @contextmanager
    def writing(self) -> Generator[None]:
        """All or nothing, with the write lock from the start, so that two processes can share a file."""
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self.connection.execute("ROLLBACK")
            raise
        self.connection.execute("COMMIT")

    @contextmanager
    def savepoint(self) -> Generator[None]:
        """One item of a batch: a failure rolls back only this item."""
        self.connection.execute("SAVEPOINT item")
        try:
            yield
        except BaseException:
            self.connection.execute("ROLLBACK TO item")
            self.connection.execute("RELEASE item")
            raise
        self.connection.execute("RELEASE item")

    def one(self, sql: str, *params: Any) -> sqlite3.Row | None:
        """The first row, None where there is none."""
        return cast("sqlite3.Row | None", self.connection.execute(sql, params).fetchone())

    def rows(self, sql: str, params: Sequence[Any] = ()) -> list[sqlite3.Row]:
        """All rows."""
        return cast("list[sqlite3.Row]", self.connection.execute(sql, tuple(params)).fetchall())

    def row_id(self, table: str, public_id: str) -> int | None:
        """The internal id behind a public one."""
        row = self.one(f"SELECT id FROM {table} WHERE public_id = ?", public_id)
        return None if row is None else cast(int, row["id"])

    def insert(self, table: str, values: dict[str, Any]) -> int:
        """Insert a row; answers its internal id."""
        columns = ", ".join(values)
        marks = ", ".join("?" * len(values))
        done = self.connection.execute(f"INSERT INTO {table} ({columns}) VALUES ({marks})", tuple(values.values()))
        assert done.lastrowid is not None
        return done.lastrowid

    def update(self, table: str, row_id: int, values: dict[str, Any]) -> bool:
        """Set the columns that differ; answers whether any did."""
        if not values:
            return False
        columns = ", ".join(f"{name} = ?" for name in values)
        differs = " OR ".join(f"{name} IS NOT ?" for name in values)
        given = tuple(values.values())
        done = self.connection.execute(
            f"UPDATE {table} SET {columns} WHERE id = ? AND ({differs})", (*given, row_id, *given)
        )
        return done.rowcount > 0

    def page_ids(
        self, table: str, order: str, where: str, params: tuple[Any, ...], limit: int, offset: int
    ) -> tuple[list[int], int]:
        """The internal ids of one page, and how many rows match in all.

        Without a filter the page is read by offset over an index. With one, the ordered ids are kept until the next
        write, so that walking all pages of a large answer filters it once.
        """
        # total_changes sees what this connection wrote, data_version what another one wrote to the same file.
        state = (self.connection.total_changes, cast(int, self.rows("PRAGMA data_version")[0][0]))
        if self._lists_at != state:
            self._lists.clear()
            self._totals.clear()
            self._lists_at = state
        if not where:
            if table not in self._totals:
                self._totals[table] = self.rows(f"SELECT count(*) FROM {table}")[0][0]
            total = self._totals[table]
            if offset >= total:
                return [], total
            sql = f"SELECT id FROM {table} ORDER BY {order} LIMIT ? OFFSET ?"
            return [row[0] for row in self.rows(sql, (limit, offset))], total
        sql = f"SELECT id FROM {table} WHERE {where} ORDER BY {order}"
        key = (sql, params)
        found = self._lists.get(key)
        if found is None:
            found = [row[0] for row in self.rows(sql, params)]
            self._lists[key] = found
            if len(self._lists) > _CACHED_LISTS:
                self._lists.popitem(last=False)
        return found[offset : offset + limit], len(found)

    def close(self) -> None:
        """Close the database; a file keeps its state."""
        self.connection.close()
