"""An older database of ingest: answers that were announced come back, and stand where others were taken meanwhile."""

from typing import Any

import pytest
import sqlalchemy as sa
from msgspec.structs import replace

from services.ingest.restores import RESTORES
from shared.contracts.envelope import Received
from shared.contracts.messages import ResponseChanged
from shared.contracts.topics import Topic
from tests.integration.announced import announced
from tests.integration.ingest.answering import Desk, invitation
from tests.integration.ingest.test_responses import WISH
from tests.integration.ingest.test_retention import KEPT_DAYS, age, forget
from tests.support import days_ago


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
    batch = await announced(desk.database, ResponseChanged)
    [before] = await desk.stored()
    await lose(desk)
    assert await restore(desk, batch) == 1
    assert await restore(desk, batch) == 0
    [after] = await desk.stored()
    assert (after.id, after.answers, after.joined) == (before.id, before.answers, before.joined)
    assert await announced(desk.database, ResponseChanged) == [], (
        "what is in the log is not announced again"
    )


async def test_another_answer_that_was_taken_meanwhile_gives_way(desk: Desk) -> None:
    await desk.hear(invitation("i-1"))
    await desk.answer(desk.token("i-1"), recommend="9")
    batch = await announced(desk.database, ResponseChanged)
    await lose(desk)
    await desk.answer(desk.token("i-1"), recommend="1")
    await restore(desk, batch)
    rows = {row.id: row for row in await desk.stored()}
    first = rows.pop(batch[0].message.id)
    assert (first.state, first.invitation) == ("submitted", "i-1")
    [(other, row)] = rows.items()
    assert (row.state, row.invitation) == ("deleted", None)
    last = (await announced(desk.database, ResponseChanged))[-1].message
    assert (last.id, last.state, last.revision) == (other, "deleted", 2)


async def test_a_forgotten_answer_comes_back_only_by_what_was_said_of_it_since(desk: Desk) -> None:
    """As on an older database: retention ran on it, and the log is kept for longer than answers are."""
    await desk.hear(invitation("i-1"))
    await desk.answer(desk.token("i-1"), recommend="2")
    [said] = await announced(desk.database, ResponseChanged)
    await age(desk, KEPT_DAYS + 2)
    assert await forget(desk) == 1
    assert await restore(desk, [said]) == 0
    [row] = await desk.stored()
    assert (row.state, row.revision, row.answers) == ("forgotten", 1, [])

    gone = said.message.model_copy(update={"revision": 2, "state": "deleted", "answers": ()})
    assert await restore(desk, [said, replace(said, message=gone)]) == 1
    [row] = await desk.stored()
    assert (row.state, row.revision, row.answers) == ("deleted", 2, [])
    assert await forget(desk) == 1
    [row] = await desk.stored()
    assert (row.state, row.revision, row.customer) == ("forgotten", 2, None)


async def test_an_answer_of_long_ago_that_was_taken_in_lately_is_kept_as_long_as_others(
    desk: Desk,
) -> None:
    """As one that was imported: how long it is kept goes by when it came."""
    old = WISH | {"submitted_at": days_ago(KEPT_DAYS * 3).isoformat()}
    assert (await desk.api("POST", "/v1/responses", json=old)).status_code == 201
    batch = await announced(desk.database, ResponseChanged)
    await lose(desk)
    assert await restore(desk, batch) == 1
    assert await forget(desk) == 0
    [row] = await desk.stored()
    assert row.state == "submitted"


async def answered_twice(desk: Desk) -> tuple[list[Received[Any]], str]:
    """Two answers to one invitation, both announced, the second while the first was lost; and the first's id."""
    await desk.hear(invitation("i-1"))
    await desk.answer(desk.token("i-1"), recommend="9")
    first = await announced(desk.database, ResponseChanged)
    await lose(desk)
    await desk.answer(desk.token("i-1"), recommend="1")
    return [*first, *await announced(desk.database, ResponseChanged)], first[0].message.id


async def one_stands(desk: Desk, first: str) -> None:
    states = {(row.id == first): (row.state, row.invitation) for row in await desk.stored()}
    assert states == {True: ("submitted", "i-1"), False: ("deleted", None)}


async def test_of_two_that_were_announced_the_first_stands(desk: Desk) -> None:
    """As when the database fell back under a process that went on, and was compared only when that was restarted."""
    both, first = await answered_twice(desk)
    await restore(desk, both)
    await one_stands(desk, first)
    [*_, last] = await announced(desk.database, ResponseChanged)
    assert (last.message.state, last.message.revision) == ("deleted", 2)


@pytest.mark.parametrize("apart", [False, True])
async def test_of_two_that_were_announced_the_first_stands_when_all_was_lost(
    desk: Desk, apart: bool
) -> None:
    both, first = await answered_twice(desk)
    await restore(desk, both)
    [*_, end] = await announced(desk.database, ResponseChanged)
    await lose(desk)
    for batch in ([both[0]], [both[1]], [end]) if apart else (both, [end]):
        await restore(desk, batch)
        assert len([row for row in await desk.stored() if row.state == "submitted"]) == 1
    await one_stands(desk, first)
