"""Responses counted per second: the handler on batches against the same checks row by row, on real PostgreSQL."""

import asyncio
import json
import os
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert as pg_insert

from deploy.local.postgres import PostgresServer
from services.scoring import rules
from services.scoring.main import SCHEMA
from services.scoring.metrics import FIXED_SCALES
from services.scoring.tables import answers, cells, facts
from services.scoring.worker import Counting
from shared.contracts.envelope import Received, decode_record, encode_message
from shared.contracts.keys import Key
from shared.contracts.messages import ResponseChanged
from shared.contracts.values import Answer, CustomerSnapshot, Dimension, QuestionKind, Transaction
from shared.db import Database, Tx, open_database
from shared.log import Record
from shared.schema import migrate
from shared.telemetry import configure_logging

TARGET = 15.0
WORKSPACE = "bench"
ROLLUP: rules.Rollup = {"org": None, "product": None}
RESPONSES = int(os.environ.get("BENCH_RESPONSES", "10000"))
ROW_BY_ROW = max(500, RESPONSES // 10)
BATCHES = (500, 1_000)
RESULT = Path("build/bench/scoring.json")
_START = datetime(2026, 1, 1, 12, tzinfo=UTC)


@dataclass(frozen=True)
class Measured:
    """One way of counting and how fast it was."""

    name: str
    responses: int
    seconds: float

    @property
    def rate(self) -> float:
        return self.responses / self.seconds


def records(count: int, seed: int = 1) -> list[Record]:
    """Responses with four answers by 200 stores, 5,000 a day and up to two days late, as a stream brings them; of a
    hundred five are edits and five arrive twice."""
    chance = random.Random(seed)
    messages: list[ResponseChanged] = []
    for number in range(count):
        kind = chance.random()
        if messages and kind < 0.05:
            old = chance.choice(messages[-5_000:])
            messages.append(_response(old.id, old.revision + 1, old.day, chance))
        elif messages and kind < 0.10:
            messages.append(chance.choice(messages[-5_000:]))
        else:
            day = date(2026, 1, 1) + timedelta(
                days=number // 5_000 - chance.choice((0, 0, 0, 1, 2))
            )
            messages.append(_response(f"response-{number}", 1, day, chance))
    return [_record(offset, message) for offset, message in enumerate(messages)]


def _response(id: str, revision: int, day: date, chance: random.Random) -> ResponseChanged:
    store = chance.randrange(200)
    ticked = tuple(sorted(chance.sample(("price", "staff", "range", "speed"), 2)))
    return ResponseChanged(
        id=id,
        revision=revision,
        state="submitted",
        survey="purchase",
        survey_version=1,
        journey="buy",
        touchpoint="checkout",
        customer=CustomerSnapshot(id=f"customer-{id}", attributes={"tier": "gold", "city": "上海"}),
        transaction=Transaction(
            source="/shop",
            id=id,
            type="shop.purchase.completed",
            time=_START,
            data={"amount": 12.5, "store": store},
        ),
        dimensions={
            "org": Dimension(
                value=f"store-{store}", path=f"cn/{store % 5}/{store % 40}/store-{store}"
            ),
            "product": Dimension(value="app", path=chance.choice(("app", "web", "shop"))),
        },
        answers=(
            Answer(
                question="recommend",
                kind=QuestionKind.NPS,
                metric="nps",
                scale="0-10",
                value=chance.randrange(11),
            ),
            Answer(
                question="happy",
                kind=QuestionKind.CSAT,
                metric="csat",
                scale="1-5",
                value=chance.randrange(1, 6),
            ),
            Answer(
                question="why", kind=QuestionKind.CHOICE, metric="why", scale="many", value=ticked
            ),
            Answer(question="more", kind=QuestionKind.TEXT, metric="more", value="送货很快，谢谢"),
        ),
        day=day,
        submitted_at=_START,
        changed_at=_START,
    )


def _record(offset: int, message: ResponseChanged) -> Record:
    assert message.customer is not None
    out = encode_message(
        Key(WORKSPACE, message.customer.id),
        message,
        id=str(offset),
        source="ingest",
        time=_START,
        traceparent=None,
    )
    return Record(out.topic, 0, offset, out.key, out.value, (), 0)


async def in_batches(database: Database, told: Sequence[Record], size: int) -> None:
    """What the service does: decode a batch, handle it in one transaction."""
    counting = Counting(database, tuple(ROLLUP))
    for start in range(0, len(told), size):
        decoded = (decode_record(record) for record in told[start : start + size])
        await counting.handle([one for one in decoded if one is not None])


async def row_by_row(database: Database, told: Sequence[Record]) -> None:
    """The same checks and the same tables, one transaction for each response and one statement for each row."""
    for record in told:
        received = decode_record(record)
        assert received is not None
        async with database.begin() as tx:
            await _count_one(tx, received)


async def _count_one(tx: Tx, received: Received[Any]) -> None:
    new = rules.fact_of(received.workspace, received.message, ROLLUP, FIXED_SCALES)
    key = sa.and_(facts.c.workspace == new.workspace, facts.c.response == new.response)
    row = {name: getattr(new, name) for name in facts.c.keys()}  # noqa: SIM118 - columns iterate as columns
    claimed = await tx.execute(pg_insert(facts).values(row).on_conflict_do_nothing())
    old: list[rules.Fact] = []
    if not claimed.rowcount:
        standing = (await tx.execute(sa.select(facts).where(key).with_for_update())).one()
        if standing.revision >= new.revision:
            return
        mine = sa.and_(answers.c.workspace == new.workspace, answers.c.response == new.response)
        said = (await tx.execute(sa.select(answers).where(mine))).all()
        counted = tuple(rules.Counted(a.question, a.value, a.metric, a.kind, a.scale) for a in said)
        old = [rules.Fact(**standing._mapping, counted=counted)]
        await tx.execute(sa.delete(answers).where(mine))
        await tx.execute(sa.update(facts).where(key).values(row))
    for one in new.counted:
        await tx.execute(
            pg_insert(answers).values(
                workspace=new.workspace, response=new.response, **one._asdict()
            )
        )
    for cell, change in sorted(
        rules.delta(old, [new], ROLLUP).items(), key=lambda item: item[0].id
    ):
        values = cell._asdict() | {"workspace": new.workspace, "id": cell.id, "n": change}
        upsert = pg_insert(cells).values(values | {"dimensions": dict(cell.dimensions)})
        added = {"n": cells.c.n + upsert.excluded.n}
        statement = upsert.on_conflict_do_update(index_elements=["workspace", "id"], set_=added)
        assert (await tx.execute(statement.returning(cells.c.n))).scalar_one() >= 0


async def measured(
    server: PostgresServer,
    name: str,
    told: Sequence[Record],
    count: Callable[[Database], Awaitable[None]],
) -> Measured:
    """Time the counting in a database of its own, warmed by nothing, and check that it counted each once."""
    url = server.create_database()
    async with open_database(url, "scoring") as database:
        await migrate(database, SCHEMA)
        database.gate = None
        started = time.perf_counter()
        await count(database)
        seconds = time.perf_counter() - started
        await _check(database, told)
    server.drop_database(url)
    return Measured(name, len(told), seconds)


async def _check(database: Database, told: Sequence[Record]) -> None:
    last: dict[str, ResponseChanged] = {}
    for record in told:
        received = decode_record(record)
        assert received is not None
        message = received.message
        assert isinstance(message, ResponseChanged)
        if message.id not in last or message.revision > last[message.id].revision:
            last[message.id] = message
    right: dict[str, int] = {}
    for message in last.values():
        value = str(message.answers[0].value)
        right[value] = right.get(value, 0) + 1
    statement = (
        sa.select(cells.c.value, sa.cast(sa.func.sum(cells.c.n), sa.BigInteger).label("n"))
        .where(cells.c.workspace == WORKSPACE, cells.c.metric == "nps")
        .group_by(cells.c.value)
    )
    async with database.read() as tx:
        found = {row.value: row.n for row in await tx.execute(statement) if row.n}
    assert found == right, (found, right)


async def run() -> dict[str, Any]:
    """Measure both ways in this process and return the result."""
    told = records(RESPONSES)
    few = told[:ROW_BY_ROW]
    with PostgresServer() as server:
        plain = await measured(server, "row by row", few, partial(row_by_row, told=few))
        bulk = [
            await measured(
                server, f"batches of {size}", told, partial(in_batches, told=told, size=size)
            )
            for size in BATCHES
        ]
    ratio = max(one.rate for one in bulk) / plain.rate
    return {
        "benchmark": "scoring",
        "rows": [
            {
                "name": one.name,
                "responses": one.responses,
                "per_second": round(one.rate),
                "ratio": round(one.rate / plain.rate, 1),
            }
            for one in (plain, *bulk)
        ],
        "ratio": round(ratio, 1),
        "target": TARGET,
        "met": ratio >= TARGET,
    }


def main() -> None:
    """Print the table and leave the result as JSON."""
    configure_logging("warning", json=False)
    result = asyncio.run(run())
    for row in result["rows"]:
        print(
            f"{row['name']:<18}{row['responses']:>9,} responses{row['per_second']:>9,} /s{row['ratio']:>8.1f} x"
        )
    print(f"scoring: {result['ratio']} x row by row, target {result['target']} x")
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
