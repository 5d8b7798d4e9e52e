"""The SQLite file of the embedded log: its tables, its appends and its reads."""

import asyncio
import os
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeAlias, TypeVar

import msgspec

from shared.errors import StartupError, Unavailable
from shared.log import Headers, Outgoing, Record, TopicPartition, TopicSpec
from shared.log.embedded.writer import Writer

Result = TypeVar("Result")
_Row: TypeAlias = tuple[int, bytes, bytes | None, bytes | None, int]
VERSION = 1
BUSY_SECONDS = 5.0
MOST_READ_BYTES = 8 * 1024 * 1024

_TABLES = """
CREATE TABLE IF NOT EXISTS topics (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, partitions INTEGER NOT NULL,
    retention_ms INTEGER, compacted INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS partitions (
    topic_id INTEGER NOT NULL, partition INTEGER NOT NULL, first INTEGER NOT NULL, next INTEGER NOT NULL,
    PRIMARY KEY (topic_id, partition)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS records (
    topic_id INTEGER NOT NULL, partition INTEGER NOT NULL, offset INTEGER NOT NULL, ts INTEGER NOT NULL,
    key BLOB NOT NULL, value BLOB, headers BLOB,
    PRIMARY KEY (topic_id, partition, offset)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS offsets (
    "group" TEXT NOT NULL, topic_id INTEGER NOT NULL, partition INTEGER NOT NULL, next INTEGER NOT NULL,
    PRIMARY KEY ("group", topic_id, partition)
) WITHOUT ROWID;
"""
_READ = (
    "SELECT offset, key, value, headers, ts FROM records"
    " WHERE topic_id = ? AND partition = ? AND offset >= ? ORDER BY offset LIMIT ?"
)
_SINCE = "SELECT offset FROM records WHERE topic_id = ? AND partition = ? AND ts >= ? ORDER BY offset LIMIT 1"
_APPEND = "INSERT INTO records (topic_id, partition, offset, ts, key, value, headers) VALUES (?, ?, ?, ?, ?, ?, ?)"
_LAST = "SELECT ts FROM records WHERE topic_id = ? AND partition = ? ORDER BY offset DESC LIMIT 1"
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(tuple[tuple[str, bytes], ...]).decode


class Storage:
    """One file; writes go through the writer's thread, reads through a second one. All may raise `Unavailable`."""

    def __init__(self, path: Path) -> None:
        """Blocks: makes the tables when they are missing.

        Raises `sqlite3.Error`, `OSError`, and `StartupError` for a file that a newer release has written.
        """
        self.topics: dict[str, TopicSpec] = {}
        self._ids: dict[str, int] = {}
        self._firsts: dict[TopicPartition, int] = {}
        self._visible: dict[TopicPartition, int] = {}
        self._nexts: dict[TopicPartition, int] = {}
        self._last_ms = 0
        self._waiting: set[asyncio.Event] = set()
        writing = _connect(path)
        _prepare(writing)
        _sync_directory(path.parent)
        self._load(writing)
        self._visible.update(self._nexts)
        self._reading = _connect(path)
        self._writing = writing
        self._writer = Writer(writing, self._load_nexts)
        self._reader = ThreadPoolExecutor(1, "log-reader")

    async def start(self) -> None:
        self._writer.start()

    async def close(self) -> None:
        """Waits for what was given to the writer."""
        await asyncio.to_thread(self._writer.close)
        await asyncio.to_thread(self._reader.shutdown)
        self._reading.close()
        self._writing.close()

    def bounds(self, at: TopicPartition) -> tuple[int, int]:
        """The first offset still there and the next one to be written."""
        try:
            return self._firsts[at], self._visible[at]
        except KeyError:
            raise Unavailable(f"no such topic or partition: {at.topic}/{at.partition}") from None

    def partitions(self, topics: Sequence[str]) -> list[TopicPartition]:
        if missing := [topic for topic in topics if topic not in self.topics]:
            raise Unavailable(f"no such topic: {', '.join(missing)}; create the topics first")
        return [
            TopicPartition(topic, n)
            for topic in topics
            for n in range(self.topics[topic].partitions)
        ]

    def wake_on_append(self, event: asyncio.Event) -> None:
        """Set the event whenever something was appended, until `stop_waking`."""
        self._waiting.add(event)

    def stop_waking(self, event: asyncio.Event) -> None:
        self._waiting.discard(event)

    async def append(
        self, records: Mapping[TopicPartition, Sequence[Outgoing]]
    ) -> Mapping[TopicPartition, int]:
        """Where each partition goes on after them."""
        return await self._writer.do(
            lambda connection: self._append(connection, records), self._show
        )

    def _show(self, nexts: dict[TopicPartition, int]) -> None:
        self._visible.update(nexts)
        for event in self._waiting:
            event.set()

    async def read(self, at: TopicPartition, offset: int, max_records: int) -> list[Record]:
        if offset >= self.bounds(at)[1]:
            return []
        parameters = (self._ids[at.topic], at.partition, offset, max_records)
        rows = await self._query(lambda connection: _page(connection, parameters))
        end = self.bounds(at)[1]
        return [
            Record(
                at.topic, at.partition, place, key, value, _decode(headers) if headers else (), ts
            )
            for place, key, value, headers, ts in rows
            if place < end
        ]

    async def first_since(self, at: TopicPartition, since_ms: int) -> int:
        """The first offset appended at that time or later, else the next one to be written. Looks at every record."""
        parameters = (self._ids[at.topic], at.partition, since_ms)
        found = await self._query(
            lambda connection: connection.execute(_SINCE, parameters).fetchone()
        )
        return found[0] if found else self.bounds(at)[1]

    async def committed(self, group: str) -> dict[TopicPartition, int]:
        names = {number: name for name, number in self._ids.items()}
        rows = await self._query(
            lambda connection: connection.execute(
                'SELECT topic_id, partition, next FROM offsets WHERE "group" = ?', (group,)
            ).fetchall()
        )
        return {
            TopicPartition(names[topic], partition): following
            for topic, partition, following in rows
        }

    async def commit(self, group: str, following: Mapping[TopicPartition, int]) -> None:
        rows = [
            (group, self._ids[at.topic], at.partition, offset) for at, offset in following.items()
        ]
        await self._writer.do(
            lambda connection: (
                connection.executemany(
                    "INSERT OR REPLACE INTO offsets VALUES (?, ?, ?, ?)", rows
                ).rowcount
            )
        )

    async def create_topics(self, specs: Sequence[TopicSpec]) -> list[str]:
        created = await self._writer.do(lambda connection: _create(connection, specs))
        await self._query(self._load)
        return created

    async def delete(self, at: TopicPartition, offsets: Sequence[int], first: int) -> None:
        """Delete these records; the partition begins at `first` from now on."""
        topic = self._ids[at.topic]

        def run(connection: sqlite3.Connection) -> None:
            connection.executemany(
                "DELETE FROM records WHERE topic_id = ? AND partition = ? AND offset = ?",
                [(topic, at.partition, offset) for offset in offsets],
            )
            connection.execute(
                "UPDATE partitions SET first = ? WHERE topic_id = ? AND partition = ?",
                (first, topic, at.partition),
            )

        await self._writer.do(run, lambda _: self._firsts.update({at: first}))

    def _append(
        self, connection: sqlite3.Connection, records: Mapping[TopicPartition, Sequence[Outgoing]]
    ) -> dict[TopicPartition, int]:
        # The append time never runs back, even when the clock does: retention deletes from the front.
        now = self._last_ms = max(self._last_ms, time.time_ns() // 1_000_000)
        nexts: dict[TopicPartition, int] = {}
        for at, batch in records.items():
            topic, place = self._ids[at.topic], self._nexts[at]
            connection.executemany(
                _APPEND,
                [
                    (topic, at.partition, offset, now, one.key, one.value, _headers(one.headers))
                    for offset, one in enumerate(batch, place)
                ],
            )
            nexts[at] = self._nexts[at] = place + len(batch)
            connection.execute(
                "UPDATE partitions SET next = ? WHERE topic_id = ? AND partition = ?",
                (nexts[at], topic, at.partition),
            )
        return nexts

    async def _query(self, run: Callable[[sqlite3.Connection], Result]) -> Result:
        try:
            return await asyncio.get_running_loop().run_in_executor(
                self._reader, run, self._reading
            )
        except (sqlite3.Error, RuntimeError) as error:
            raise Unavailable(f"the log could not be read: {error}") from error

    def _load(self, connection: sqlite3.Connection) -> None:
        specs = connection.execute(
            "SELECT id, name, partitions, retention_ms, compacted FROM topics"
        ).fetchall()
        self._ids.update({name: number for number, name, *_ in specs})
        for number, name, _count, *_ in specs:
            rows = connection.execute(
                "SELECT partition, first, next FROM partitions WHERE topic_id = ?", (number,)
            )
            for partition, first, following in rows.fetchall():
                at = TopicPartition(name, partition)
                self._firsts.setdefault(at, first)
                self._nexts.setdefault(at, following)
                self._visible.setdefault(at, following)
                last = connection.execute(_LAST, (number, partition)).fetchone()
                self._last_ms = max(self._last_ms, last[0] if last else 0)
        for _, name, count, retention_ms, compacted in specs:
            self.topics[name] = TopicSpec(name, count, retention_ms, bool(compacted))

    def _load_nexts(self, connection: sqlite3.Connection) -> None:
        names = {number: name for name, number in self._ids.items()}
        for topic, partition, following in connection.execute(
            "SELECT topic_id, partition, next FROM partitions"
        ):
            if topic in names:
                self._nexts[TopicPartition(names[topic], partition)] = following


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(
        path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
    )
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA cache_size = -16384")
    return connection


def _prepare(connection: sqlite3.Connection) -> None:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > VERSION:
        raise StartupError(
            f"the log's file is of version {version}, this program knows {VERSION}: run a newer one"
        )
    connection.executescript(_TABLES)
    connection.execute(f"PRAGMA user_version = {VERSION}")


def _sync_directory(directory: Path) -> None:
    """A new file's name must survive a power loss too."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _create(connection: sqlite3.Connection, specs: Sequence[TopicSpec]) -> list[str]:
    created: list[str] = []
    for spec in specs:
        cursor = connection.execute(
            "INSERT INTO topics (name, partitions, retention_ms, compacted) VALUES (?, ?, ?, ?)"
            " ON CONFLICT (name) DO NOTHING",
            (spec.name, spec.partitions, spec.retention_ms, spec.compacted),
        )
        if cursor.rowcount:
            created.append(spec.name)
            connection.executemany(
                "INSERT INTO partitions VALUES (?, ?, 0, 0)",
                [(cursor.lastrowid, n) for n in range(spec.partitions)],
            )
    return created


def _page(connection: sqlite3.Connection, parameters: tuple[int, int, int, int]) -> list[_Row]:
    """The rows asked for, but no more than fit in memory side by side with everything else."""
    rows: list[_Row] = []
    size = 0
    for row in connection.execute(_READ, parameters):
        rows.append(row)
        size += len(row[2] or b"")
        if size > MOST_READ_BYTES:
            break
    return rows


def _headers(headers: Headers) -> bytes | None:
    return _encode(headers) if headers else None
