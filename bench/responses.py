"""The responses that benchmarks count: four answers each, by 200 stores, as ingest announces them."""

import random
from datetime import UTC, date, datetime, timedelta

from shared.contracts.envelope import encode_message
from shared.contracts.keys import Key
from shared.contracts.messages import ResponseChanged
from shared.contracts.values import Answer, CustomerSnapshot, Dimension, QuestionKind, Transaction
from shared.log import Outgoing

PER_DAY = 5_000
_START = datetime(2026, 1, 1, 12, tzinfo=UTC)


def responses(first: int, count: int) -> list[ResponseChanged]:
    """From the response of that number on: 5,000 a day and up to two days late, as a stream brings them; of a
    hundred five are edits and five arrive twice."""
    chance = random.Random(first)
    messages: list[ResponseChanged] = []
    for number in range(first, first + count):
        kind = chance.random()
        if messages and kind < 0.05:
            old = chance.choice(messages[-PER_DAY:])
            messages.append(_response(old.id, old.revision + 1, old.day, chance))
        elif messages and kind < 0.10:
            messages.append(chance.choice(messages[-PER_DAY:]))
        else:
            late = chance.choice((0, 0, 0, 1, 2))
            day = date(2026, 1, 1) + timedelta(days=number // PER_DAY - late)
            messages.append(_response(f"response-{number}", 1, day, chance))
    return messages


def newest(messages: list[ResponseChanged]) -> dict[str, ResponseChanged]:
    """The last revision of each response."""
    last: dict[str, ResponseChanged] = {}
    for message in messages:
        if message.id not in last or message.revision > last[message.id].revision:
            last[message.id] = message
    return last


def announced(workspace: str, messages: list[ResponseChanged]) -> list[Outgoing]:
    """The messages as they are put into the log."""
    return [
        encode_message(
            Key(workspace, f"customer-{message.id}"),
            message,
            id=str(number),
            source="ingest",
            time=_START,
            traceparent=None,
        )
        for number, message in enumerate(messages)
    ]


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
