"""What an event costs trigger as its tables grow: the same events beside 1e5, 1e6 and 1e7 of them stored."""

import asyncio
import hashlib
import os
import time
from collections.abc import Mapping, Sequence
from statistics import median

import asyncpg
import sqlalchemy as sa

from bench.catching_up import Sample
from bench.events import PER_CUSTOMER, mixed
from bench.results import Result
from bench.system import System, open_system
from bench.trigger import decided, define
from services.trigger import tables
from shared.log import Log, Outgoing
from shared.log.opening import open_log

SIZES = tuple(int(float(size)) for size in os.environ.get("BENCH_ROWS", "1e5,1e6,1e7").split(","))
"""Events stored, smallest first."""
ROUNDS = 3
GOAL = 1.2
"""The largest cost beside the most rows, as a multiple of the cost beside the fewest."""
EVENTS = 20_000
"""Of a round; all rounds of a size need fewer customers than the smallest size has."""
_SETTINGS = {
    "shared_buffers": f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') // 4 >> 20}MB",
    "max_wal_size": "8GB",
}
"""What a server for so many rows is given: a quarter of the memory, and room for what is written between checkpoints.
With the defaults, 128 MB and 1 GB, it is those that are measured."""
_DAYS = 38
"""Stored events are spread evenly over so many days, all within the 40 for which `seen` is kept."""
_AT_ONCE = 200_000
_MOMENT = f"now() - interval '{_DAYS} days' * (1 - n / $3::float8)"
_ID = """(substr(ms, 1, 8) || '-' || substr(ms, 9, 4) || '-7' || substr(md5(g.n::text), 1, 3) || '-8'
    || substr(md5(g.n::text), 4, 3) || '-' || substr(md5(g.n::text), 7, 12))"""
_EVENT = "md5('stored' || g.n)"
_OLD = "now() - interval '60 days'"

Columns = Mapping[str, str]
_STORED: Mapping[sa.Table, tuple[int, Columns]] = {
    tables.seen: (
        1,
        {
            "event": _EVENT,
            "id": _ID,
            "customer": f"'customer-' || (g.n / {PER_CUSTOMER})",
            "arrived_at": "g.moment",
        },
    ),
    tables.decisions: (
        2,
        {
            "id": _ID,
            "event": _EVENT,
            "customer": f"'customer-' || (g.n / {PER_CUSTOMER // 2})",
            "transaction_key": "'stored-' || g.n",
            "event_time": "g.moment",
            "arrived_at": "g.moment",
            "decided_at": "g.moment",
            "invitation": f"CASE WHEN t.invitation IS NOT NULL THEN {_ID} END",
        },
    ),
    tables.invitations: (
        PER_CUSTOMER,
        {
            "id": _ID,
            "decision": _ID,
            "event": _EVENT,
            "customer": "'customer-' || g.n",
            "state": "'expired'",
            "made_at": "g.moment",
            "expires_at": "g.moment",
            "changed_at": "g.moment",
        },
    ),
    tables.holds: (PER_CUSTOMER, {"transaction_key": "'stored-' || g.n", "decision": _ID}),
    tables.contacts: (
        PER_CUSTOMER,
        {"customer": "'customer-' || g.n", "last_invited_at": _OLD, "last_invitation": _ID},
    ),
}
"""For each table how many events have one row in it, and what its copies of real rows have of their own."""


def run(_seconds: float) -> list[Result]:
    """Store, measure, store more. Minutes, and 10 GB of disk for 1e7; so only when it is asked for by name."""
    with open_system(_SETTINGS) as system:
        return asyncio.run(_run(system))


async def _run(system: System) -> list[Result]:
    define(system)
    sizes: dict[int, list[Sample]] = {}
    held: dict[int, int] = {}
    told = stored = 0
    async with open_log(system.broker.url) as log:
        told = await _round(system, log, told, EVENTS // PER_CUSTOMER, [])
        for size in SIZES:
            await _store(system.database_url, stored, size)
            stored = size
            held[size] = await _held(system.database_url)
            samples: list[Sample] = []
            for _ in range(1 + ROUNDS):  # the first one only warms
                told = await _round(system, log, told, size // PER_CUSTOMER, samples)
            sizes[size] = samples[1:]
    await _check(system.database_url, told)
    return [_result(size, sizes, held[size]) for size in SIZES]


async def _round(system: System, log: Log, told: int, customers: int, samples: list[Sample]) -> int:
    """Have the process decide about as many new events of stored customers; returns how many there were in all."""
    samples.append(await decided(system, log, _events(told, customers)))
    return told + EVENTS


def _events(first: int, customers: int) -> list[Outgoing]:
    """As of the trigger part, with ids in no order, by customers who lie anywhere in the tables."""

    def customer(number: int) -> str:
        # A stride that shares no factor with any size: each comes once before one comes again.
        return f"customer-{number * 7919 % customers}"

    def id(number: int) -> str:
        return hashlib.md5(b"%d" % number, usedforsecurity=False).hexdigest()

    return mixed(first, EVENTS, customer, id)


async def _store(url: str, stored: int, size: int) -> None:
    """Grow the tables to what `size` events leave there, by copies of rows that the service itself has written."""
    connection = await asyncpg.connect(url, server_settings={"search_path": "trigger"})
    started = time.monotonic()
    try:
        for table, (events, own) in _STORED.items():
            await connection.execute(
                f"CREATE TEMP TABLE IF NOT EXISTS some_{table.name} AS"
                f" SELECT *, row_number() OVER () - 1 AS place FROM {table.name} LIMIT 1000"
            )
            rows = await connection.fetchval(f"SELECT count(*) FROM some_{table.name}")
            statement = _copies(table, own, rows)
            first, last = stored // events, size // events
            for start in range(first, last, _AT_ONCE):
                end = min(start + _AT_ONCE, last)
                await connection.execute(statement, start, end, last, timeout=600)
            if table is tables.contacts:  # who was asked before may be asked again
                await connection.execute(f"UPDATE contacts SET last_invited_at = {_OLD}")
            await connection.execute(f"VACUUM ANALYZE {table.name}", timeout=1200)
    finally:
        await connection.close()
    print(f"  stored {size:,} events in {time.monotonic() - started:.0f} s", flush=True)


async def _check(url: str, told: int) -> None:
    """Of each twenty events one must have been invited; what was stored changes none of it."""
    connection = await asyncpg.connect(url, server_settings={"search_path": "trigger"})
    try:
        query = "SELECT count(*) FROM invitations WHERE state <> 'expired'"
        invited = await connection.fetchval(query, timeout=600)
    finally:
        await connection.close()
    if invited != told // PER_CUSTOMER:
        raise RuntimeError(f"{invited} of {told} events were invited")


async def _held(url: str) -> int:
    """How many bytes of disk the tables and their indexes have, just vacuumed."""
    connection = await asyncpg.connect(url)
    try:
        size: int = await connection.fetchval("SELECT pg_database_size(current_database())")
    finally:
        await connection.close()
    return size


def _copies(table: sa.Table, own: Columns, rows: int) -> str:
    names = [column.name for column in table.columns]
    values = [own.get(name, f't."{name}"') for name in names]
    return f"""
        INSERT INTO {table.name} ({", ".join(f'"{name}"' for name in names)})
        SELECT {", ".join(values)}
        FROM (
            SELECT n, moment, lpad(to_hex((extract(epoch FROM moment) * 1000)::bigint), 12, '0') AS ms
            FROM (SELECT n, {_MOMENT} AS moment FROM generate_series($1::bigint, $2::bigint - 1) n) numbers
        ) g
        JOIN some_{table.name} t ON t.place = g.n % {rows}
        ORDER BY g.n
        ON CONFLICT DO NOTHING
    """


def _result(size: int, sizes: Mapping[int, Sequence[Sample]], held: int) -> Result:
    cost, least = (_cost(sizes[each]) for each in (size, SIZES[0]))
    samples = sizes[size]
    notes = {
        "cpu_us_each": median(s.cpu_seconds / s.records for s in samples) * 1e6,
        "database_cpu_us_each": median(s.database_cpu_seconds / s.records for s in samples) * 1e6,
        "events_per_second": [s.records / s.seconds for s in samples],
        "others_core": median(s.others for s in samples),
        "database_bytes": held,
    }
    goal = GOAL if size == SIZES[-1] and len(SIZES) > 1 else None
    what = f"CPU of an event beside {size:,} stored, database included"
    return Result("scale", what, "us", cost, least, goal, ratio_at_most=True, notes=notes)


def _cost(samples: Sequence[Sample]) -> float:
    """Microseconds of CPU an event, in the process and in the database together."""
    return 1e6 * median((s.cpu_seconds + s.database_cpu_seconds) / s.records for s in samples)
