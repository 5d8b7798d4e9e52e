"""An older database of ingest: answers that were announced come back, and stand where others were taken meanwhile."""

from typing import Any

import sqlalchemy as sa

from services.ingest.restores import RESTORES
from shared.contracts.envelope import Received, decode_message
from shared.contracts.messages import ResponseChanged
from shared.contracts.topics import Topic
from shared.log import Record
from tests.integration.ingest.answering import Desk, invitation


async def announced(desk: Desk) -> list[Received[Any]]:
    """The responses in the outbox, as they would be read from the log."""
    async with desk.database.read() as tx:
        rows = (await tx.execute(sa.text("SELECT key, value FROM outbox ORDER BY id"))).all()
    found = [
        decode_message(Record(Topic.RESPONSES, 0, n, bytes(row.key), bytes(row.value), (), 0))
        for n, row in enumerate(rows)
    ]
    return [r for r in found if r is not None and isinstance(r.message, ResponseChanged)]


async def lose(desk: Desk) -> None:
    async with desk.database.begin() as tx:
        for table in ("responses", "outbox"):
            await tx.execute(sa.text(f"DELETE FROM {table}"))


async def restore(desk: Desk, batch: list[Received[Any]]) -> int:
    async with desk.database.begin() as tx:
        return await RESTORES[Topic.RESPONSES](tx, batch)


async def test_an_answer_comes_back_as_it_was_announced(desk: Desk) -> None:
    await desk.hear(invitation("i-1"))
    await desk.answer(desk.token("i-1"), recommend="9")
    batch = await announced(desk)
    [before] = await desk.stored()
    await lose(desk)
    assert await restore(desk, batch) == 1
    assert await restore(desk, batch) == 0
    [after] = await desk.stored()
    assert (after.id, after.answers, after.joined) == (before.id, before.answers, before.joined)
    assert await announced(desk) == [], "what is in the log is not announced again"


async def test_another_answer_that_was_taken_meanwhile_gives_way(desk: Desk) -> None:
    await desk.hear(invitation("i-1"))
    await desk.answer(desk.token("i-1"), recommend="9")
    batch = await announced(desk)
    await lose(desk)
    await desk.answer(desk.token("i-1"), recommend="1")
    await restore(desk, batch)
    rows = {row.id: row for row in await desk.stored()}
    first = rows.pop(batch[0].message.id)
    assert (first.state, first.invitation) == ("submitted", "i-1")
    [(other, row)] = rows.items()
    assert (row.state, row.invitation) == ("deleted", None)
    last = (await announced(desk))[-1].message
    assert (last.id, last.state, last.revision) == (other, "deleted", 2)
