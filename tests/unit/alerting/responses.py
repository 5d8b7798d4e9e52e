"""Responses as they come from the log."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

from shared.contracts.envelope import Received, encode_message
from shared.contracts.keys import Key
from shared.contracts.messages import ResponseChanged
from shared.contracts.values import (
    Answer,
    CustomerSnapshot,
    Dimension,
    QuestionKind,
    Transaction,
)
from shared.log import Outgoing, Record

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


def response(id: str = "r1", score: int = 3, revision: int = 1, **fields: Any) -> ResponseChanged:
    """A response to one NPS question, joined with its customer and transaction."""
    customer = CustomerSnapshot(id="c1", attributes={"segment": "gold"}, locale="zh")
    transaction = Transaction(
        source="/shop",
        id="t1",
        type="shop.purchase.completed",
        data={"order_no": "9", "amount": 12},
    )
    answer = Answer(
        question="recommend",
        kind=QuestionKind.NPS,
        metric="buy.recommend",
        scale="0-10",
        value=score,
    )
    values: dict[str, Any] = {
        "revision": revision,
        "id": id,
        "state": "submitted",
        "survey": "buy",
        "survey_version": 1,
        "customer": customer,
        "transaction": transaction,
        "dimensions": {"org": Dimension(value="store-12", path="cn/store-12")},
        "answers": (answer,),
        "day": date(2026, 11, 23),
        "submitted_at": NOW,
        "changed_at": NOW,
    }
    return ResponseChanged(**values | fields)


def received(
    message: ResponseChanged,
    *,
    workspace: str = "acme",
    at: datetime | None = None,
    traceparent: str | None = None,
) -> Received[ResponseChanged]:
    """The response as the consumer loop hands it over, appended a moment ago unless `at` says when."""
    entity = message.customer.id if message.customer else message.id
    appended = at or datetime.now(UTC) + timedelta(seconds=1)
    key = f"{workspace}/{entity}".encode()
    record = Record("responses", 0, 0, key, b"{}", (), int(appended.timestamp() * 1000))
    return Received(workspace, entity, message, record, traceparent)


def outgoing(message: ResponseChanged, workspace: str = "acme") -> Outgoing:
    """The record that ingest would append."""
    entity = message.customer.id if message.customer else message.id
    return encode_message(
        Key(workspace, entity), message, id="m1", source="ingest", time=NOW, traceparent=None
    )
