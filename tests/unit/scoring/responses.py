"""Responses as ingest announces them, for the tests of scoring."""

from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any

from shared.contracts.envelope import Received
from shared.contracts.messages import ResponseChanged
from shared.contracts.values import (
    Answer,
    CustomerSnapshot,
    Dimension,
    QuestionKind,
    Transaction,
)
from shared.log import Record

AT = datetime(2026, 11, 23, 12, tzinfo=UTC)
DAY = date(2026, 11, 23)


def nps(
    value: int, question: str = "recommend", *, metric: str | None = None, survey: str = "buy"
) -> Answer:
    """An answer on 0-10."""
    name = metric or f"{survey}.{question}"
    return Answer(question=question, kind=QuestionKind.NPS, metric=name, scale="0-10", value=value)


def rated(value: int, scale: str = "1-5", kind: QuestionKind = QuestionKind.RATING) -> Answer:
    """An answer on a scale of its own."""
    return Answer(question="rate", kind=kind, metric="rate", scale=scale, value=value)


def chose(*options: str, scale: str = "many") -> Answer:
    """The options ticked of a choice."""
    return Answer(
        question="why", kind=QuestionKind.CHOICE, metric="buy.why", scale=scale, value=options
    )


def paths(**dimensions: str) -> dict[str, Dimension]:
    """Dimensions as they were, the value being the last part of the path."""
    return {
        name: Dimension(value=path.rpartition("/")[2], path=path)
        for name, path in dimensions.items()
    }


def response(
    id: str,
    *answers: Answer,
    revision: int = 1,
    day: date = DAY,
    survey: str = "buy",
    dimensions: Mapping[str, Dimension] | None = None,
    data: Mapping[str, Any] | None = None,
    customer: Mapping[str, Any] | None = None,
    **more: Any,
) -> ResponseChanged:
    """A response of the survey `buy`, of today, unless told otherwise."""
    fields: dict[str, Any] = {
        "id": id,
        "revision": revision,
        "state": "submitted",
        "survey": survey,
        "survey_version": 1,
        "journey": "purchase",
        "touchpoint": "checkout",
        "customer": CustomerSnapshot(id=f"customer-{id}", attributes=dict(customer or {})),
        "transaction": Transaction(source="/shop", id=id, type="bought", data=dict(data or {})),
        "dimensions": dict(dimensions or {}),
        "answers": answers,
        "day": day,
        "submitted_at": AT,
        "changed_at": AT,
    }
    return ResponseChanged(**(fields | more))


def deleted(id: str, revision: int) -> ResponseChanged:
    """The last revision of a response."""
    return response(id, revision=revision, state="deleted")


def received(message: ResponseChanged, workspace: str = "acme") -> Received[ResponseChanged]:
    """The message as the consumer loop hands it over."""
    entity = message.customer.id if message.customer else message.id
    record = Record("responses", 0, 0, f"{workspace}/{entity}".encode(), b"", (), 0)
    return Received(workspace, entity, message, record, None)
