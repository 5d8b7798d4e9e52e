"""Responses counted per second: the handler's batches against row by row, and the real process against its own
database transactions run bare; on real PostgreSQL, the process with real Kafka in front."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

import sqlalchemy as sa

from bench.catching_up import Rounds, batches, catch_up, same_rows
from bench.measuring import measured_core
from bench.plain_scoring import ROLLUP, row_by_row
from bench.recording import Recorded, recording, run_bare
from bench.responses import announced, newest, responses
from bench.results import Result
from bench.system import System, open_system
from services.cli.dev import WORKSPACE
from services.scoring.main import BATCH
from services.scoring.tables import cells
from services.scoring.worker import Counting, decode_response
from shared.contracts.messages import ResponseChanged
from shared.contracts.topics import Topic
from shared.db import Database, open_database
from shared.log import Outgoing, Record
from shared.log.opening import open_log

Batches = Sequence[Sequence[Record]]

ROUNDS = 3
GOAL = 0.8
"""Of the same transactions run bare."""
GOAL_OVER_ROWS = 15.0
RESPONSES_PER_SECOND = 10_000
"""How many responses a round has for each second of it: more than it can take, so that batches are large."""
IN_BATCHES = 10_000
ROW_BY_ROW = 1_000
_COUNTS = """
    SELECT 'responses ' || state || ' ' || revision, count(*) FROM scoring.facts GROUP BY 1
    UNION ALL SELECT 'counted ' || metric || ' ' || value, sum(n)::bigint FROM scoring.cells GROUP BY 1
    UNION ALL SELECT 'cells', count(*) FROM scoring.cells WHERE n <> 0
"""


def run(seconds: float) -> list[Result]:
    """Measure all ways; `seconds` is about how long a round of the process lasts."""
    with open_system() as system:
        return [
            asyncio.run(_over_rows(system)),
            *asyncio.run(_over_bare(system, int(RESPONSES_PER_SECOND * seconds))),
        ]


async def _over_rows(system: System) -> Result:
    told = responses(0, IN_BATCHES)
    with measured_core():
        plain = await _timed(system, told[:ROW_BY_ROW], row_by_row)
        rate = await _timed(system, told, _in_batches)
    what = f"responses counted in batches of {BATCH}; baseline row by row"
    return Result("scoring", what, "responses/s", rate, plain, GOAL_OVER_ROWS)


async def _timed(
    system: System,
    told: list[ResponseChanged],
    count: Callable[[Database, Batches], Awaitable[None]],
) -> float:
    """How many a second it counts in a database of its own, warmed by nothing; each must be counted once."""
    url = system.server.create_database(system.database_url)
    given = batches(announced(WORKSPACE, told), BATCH)
    async with open_database(url, "scoring") as database:
        database.gate = None
        started = time.perf_counter()
        await count(database, given)
        seconds = time.perf_counter() - started
        await _check(database, told)
    system.server.drop_database(url)
    return len(told) / seconds


async def _in_batches(database: Database, told: Batches) -> None:
    """What the service does: decode a batch, handle it in one transaction."""
    counting = Counting(database, tuple(ROLLUP))
    for batch in told:
        decoded = (decode_response(record) for record in batch)
        await counting.handle([one for one in decoded if one is not None])


async def _over_bare(system: System, count: int) -> list[Result]:
    recorder = system.server.create_database(system.database_url)
    bare = system.server.create_database(system.database_url)
    rounds = Rounds(count)
    told: list[ResponseChanged] = []
    async with open_log(system.broker.url) as log:
        for number in range(ROUNDS):
            said = responses(number * count, count)
            told += said
            outgoing = announced(WORKSPACE, said)
            recorded = await _record(recorder, outgoing)
            with measured_core():
                rounds.bare.append(await run_bare(bare, "scoring", recorded))
            rounds.process.append(await catch_up(system, log, "scoring", Topic.RESPONSES, outgoing))
    async with open_database(system.database_url, "scoring") as database:
        database.gate = None
        await _check(database, told)
    rows = await same_rows(_COUNTS, system.database_url, bare)
    return rounds.results("scoring", "responses counted, log in front", "responses/s", GOAL, rows)


async def _record(url: str, outgoing: Sequence[Outgoing]) -> Recorded:
    """The transactions by which the service's own handler counts these responses, in whole batches."""
    async with open_database(url, "scoring") as database:
        database.gate = None
        with recording(database) as transactions:
            await _in_batches(database, batches(outgoing, BATCH))
    return transactions


async def _check(database: Database, told: list[ResponseChanged]) -> None:
    """Each response must be counted once, as its last revision says."""
    right: dict[str, int] = {}
    for message in newest(told).values():
        value = str(message.answers[0].value)
        right[value] = right.get(value, 0) + 1
    statement = (
        sa.select(cells.c.value, sa.cast(sa.func.sum(cells.c.n), sa.BigInteger).label("n"))
        .where(cells.c.workspace == WORKSPACE, cells.c.metric == "nps")
        .group_by(cells.c.value)
    )
    async with database.read() as tx:
        found = {row.value: row.n for row in await tx.execute(statement) if row.n}
    if found != right:
        raise RuntimeError(f"counted {found}, and right is {right}")
