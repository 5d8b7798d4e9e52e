"""Responses in, scores out, on both databases: counted once, whatever happens on the way."""

import asyncio
import random

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from services.scoring import tables
from services.scoring.rules import CountBroken, NotCountable
from shared.contracts.envelope import Received, encode_message
from shared.contracts.keys import Key
from shared.contracts.messages import ResponseChanged
from shared.errors import Unavailable
from tests.integration.scoring.conftest import Scoring
from tests.support import eventually, statements_seen, working
from tests.unit.scoring.responses import (
    AT,
    chose,
    deleted,
    nps,
    paths,
    received,
    response,
)


async def test_a_response_becomes_a_score(scoring: Scoring) -> None:
    batch = [received(response(f"r{i}", nps(value))) for i, value in enumerate([10, 9, 8, 3])]
    await scoring.counting.handle(batch)

    [item] = await scoring.scores(metric="buy.recommend")

    assert item["metric"] == "buy.recommend"
    assert (item["kind"], item["scale"]) == ("nps", "0-10")
    assert (item["value"], item["n"], item["small_n"]) == (25.0, 4, True)
    assert item["interval"]["level"] == 0.95
    assert item["interval"]["low"] < 25 < item["interval"]["high"]
    assert item["counts"] == {"promoters": 2, "passives": 1, "detractors": 1}
    assert (item["from"], item["to"]) == ("2026-11-23", "2026-11-23")
    assert item["group"] == {}


async def tally(scoring: Scoring, workspace: str = "acme", **asked: str) -> tuple[object, int]:
    """Value and n of the one item; None and 0 when there is none."""
    items = await scoring.scores(workspace, **({"kind": "nps"} | asked))
    assert len(items) <= 1
    return (items[0]["value"], items[0]["n"]) if items else (None, 0)


async def told(scoring: Scoring, *messages: ResponseChanged, workspace: str = "acme") -> None:
    await scoring.counting.handle([received(message, workspace) for message in messages])


async def clean(scoring: Scoring, workspace: str = "acme") -> bool:
    """Whether the cells are what the facts say."""
    answer = await scoring.rebuild(workspace, dry_run=True)
    assert answer.status_code == 200, answer.text
    return bool(answer.json()["drifted"] == 0)


async def test_a_replayed_batch_counts_once(scoring: Scoring) -> None:
    batch = [received(response(f"r{i}", nps(i), chose("a", "b"))) for i in range(11)]
    for _ in range(3):
        await scoring.counting.handle(batch)
    await scoring.counting.handle([*batch, *batch])
    assert (await tally(scoring))[1] == 11
    assert await clean(scoring)


async def test_an_edit_takes_the_old_answer_back(scoring: Scoring) -> None:
    await told(scoring, response("r", nps(10)), response("s", nps(10)))
    await told(scoring, response("r", nps(0), revision=2))
    assert await tally(scoring) == (0.0, 2)
    await told(scoring, response("r", nps(10)))
    assert await tally(scoring) == (0.0, 2)


async def test_a_deletion_takes_all_back_and_late_revisions_do_not_return(scoring: Scoring) -> None:
    await told(scoring, response("r", nps(10), chose("a")))
    await told(scoring, deleted("r", 3))
    await told(scoring, response("r", nps(5), revision=2), response("r", nps(10)))
    assert await scoring.scores(survey="buy") == []
    assert await clean(scoring)


async def test_a_deletion_seen_first_keeps_what_comes_late_out(scoring: Scoring) -> None:
    await told(scoring, deleted("r", 2))
    await told(scoring, response("r", nps(10)))
    assert await scoring.scores(survey="buy") == []


async def test_every_order_of_arrival_ends_the_same(scoring: Scoring) -> None:
    events = [
        response("r1", nps(9)),
        response("r2", nps(3)),
        response("r1", nps(6), revision=2),
        response("r1", nps(9)),
        deleted("r2", 2),
        response("r2", nps(3)),
    ]
    chance = random.Random(5)
    for number in range(12):
        renamed = [
            event.model_copy(update={"id": f"{number}-{event.id}"})
            for event in chance.sample(events, len(events))
        ]
        cut = chance.randrange(len(renamed))
        await told(scoring, *renamed[:cut])
        await told(scoring, *renamed[cut:])
    [item] = await scoring.scores(metric="buy.recommend")
    assert (item["value"], item["n"], item["histogram"]["6"]) == (-100.0, 12, 12)
    assert await clean(scoring)


async def test_an_edit_may_change_question_day_and_dimensions(scoring: Scoring) -> None:
    await told(scoring, response("r", nps(9), chose("a"), dimensions=paths(org="cn/east")))
    moved = response("r", nps(9, "again"), revision=2, dimensions=paths(org="cn/west"))
    await told(scoring, moved)
    [item] = await scoring.scores(survey="buy", by="org")
    assert (item["metric"], item["group"]) == ("buy.again", {"org": "cn/west"})
    assert await clean(scoring)


async def test_two_workers_on_overlapping_batches_count_once(scoring: Scoring) -> None:
    chance = random.Random(7)
    told_of = [
        received(
            response(
                f"r{i}",
                nps(chance.randrange(11)),
                revision=revision,
                dimensions=paths(org=f"cn/{i % 7}"),
            )
        )
        for i in range(60)
        for revision in (1, 2, 3)
    ]
    expected = sum(one.message.answers[0].value in (9, 10) for one in told_of[2::3])
    batches = [chance.sample(told_of, 120) for _ in range(6)] + [told_of]
    await asyncio.gather(*(retried(scoring, batch) for batch in batches))

    [item] = await scoring.scores(metric="buy.recommend")
    assert (item["n"], item["counts"]["promoters"]) == (60, expected)
    assert await clean(scoring)


async def retried(scoring: Scoring, batch: list[Received[ResponseChanged]]) -> None:
    """As the consumer loop does: again while the database asks for it."""
    while True:
        try:
            return await scoring.counting.handle(batch)
        except Unavailable:
            continue


async def test_an_answer_off_its_scale_fails_alone_and_leaves_nothing(scoring: Scoring) -> None:
    with pytest.raises(NotCountable):
        await told(scoring, response("good", nps(9)), response("bad", nps(11)))
    assert await scoring.scores(survey="buy") == []
    await told(scoring, response("good", nps(9)))
    assert await tally(scoring) == (100.0, 1)


async def test_counting_below_nothing_is_loud_and_changes_nothing(scoring: Scoring) -> None:
    await told(scoring, response("r", nps(9)))
    async with scoring.database.begin() as tx:
        await tx.execute(sa.update(tables.cells).values(n=0))
    with pytest.raises(CountBroken, match="rebuild"):
        await told(scoring, deleted("r", 2))
    assert (await scoring.rebuild()).json()["drifted"] == 1
    assert await tally(scoring) == (100.0, 1)
    await told(scoring, deleted("r", 2))
    assert await scoring.scores(survey="buy") == []


async def test_a_dimension_that_came_with_a_batch_that_failed_is_noted_when_it_succeeds(
    scoring: Scoring,
) -> None:
    await told(scoring, response("r", nps(9)))
    async with scoring.database.begin() as tx:
        await tx.execute(sa.update(tables.cells).values(n=0))
    edit = response("r", nps(8), revision=2, dimensions=paths(shop="a"))
    with pytest.raises(CountBroken):
        await told(scoring, edit)
    await scoring.rebuild()
    await told(scoring, edit)
    assert (await scoring.scores(kind="nps", by="shop"))[0]["group"] == {"shop": "a"}


async def test_a_response_that_comes_alone_takes_five_statements(scoring: Scoring) -> None:
    """Who counts what, the fact, its answers, the cells, the position: each is a trip that its score waits for."""
    await told(scoring, response("first", nps(9), dimensions=paths(org="cn/1")))
    with statements_seen() as statements:
        await told(scoring, response("next", nps(9), chose("a"), dimensions=paths(org="cn/2")))
    assert len([sql for sql in statements if not sql.startswith("BEGIN")]) == 5, statements


async def test_workspaces_do_not_see_each_other(scoring: Scoring) -> None:
    same = response("r", nps(10), dimensions=paths(secret="x"))
    await told(scoring, same)
    await told(scoring, response("r", nps(0)), workspace="other")
    assert await tally(scoring) == (100.0, 1)
    assert await tally(scoring, "other") == (-100.0, 1)
    refused = await scoring.get("/v1/scores", "other", kind="nps", by="secret")
    assert refused.status_code == 422
    assert "secret" not in refused.json()["errors"][0]["expected"]
    await told(scoring, deleted("r", 2), workspace="other")
    assert await tally(scoring) == (100.0, 1)
    mixed = [received(response("m", nps(10))), received(response("m", nps(0)), "other")]
    await scoring.counting.handle(mixed)
    assert await tally(scoring) == (100.0, 2)
    assert await tally(scoring, "other") == (-100.0, 1)


async def test_a_response_travels_from_the_log_to_a_score(scoring: Scoring) -> None:
    """The loop of the service itself: a good record is counted, one off its scale is a dead letter."""
    async with working(scoring.service):
        records = [
            encode_message(
                Key("acme", f"customer-{id}"),
                response(id, nps(value)),
                id=id,
                source="ingest",
                time=AT,
                traceparent=None,
            )
            for id, value in (("a", 10), ("bad", 99), ("b", 10))
        ]
        async with scoring.log.producer() as producer:
            await producer.send(records)

        async def counted() -> bool:
            return await tally(scoring) == (100.0, 2)

        async def buried() -> list[dict[str, str]]:
            answer = await scoring.get("/v1/operations/scoring/dead-letters")
            letters: list[dict[str, str]] = answer.json()["items"]
            return letters

        await eventually(counted, what="the score")
        [letter] = await eventually(buried, what="the dead letter")
        assert "recommend: 99 is not a whole number from 0 to 10" in letter["reason"]


async def test_the_tables_are_those_of_the_migrations(scoring: Scoring) -> None:
    def differences(connection: sa.Connection) -> list[object]:
        context = MigrationContext.configure(connection, opts={"include_name": ours})
        return list(compare_metadata(context, tables.metadata))

    def ours(name: str | None, kind: str, _parents: object) -> bool:
        return kind != "table" or name not in ("schema_compatibility", "alembic_version")

    async with scoring.database.begin() as tx:
        assert await tx.run_sync(differences) == []
