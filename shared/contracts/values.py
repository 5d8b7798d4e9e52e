"""The values that messages are made of: a transaction, a customer as it was, a dimension, an answer."""

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from typing import Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict


class Value(BaseModel):
    """An immutable part of a message; unknown fields come from a newer minor version and are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class Transaction(Value):
    """The business transaction that an event told of. `key` names it across events, e.g. an order number."""

    source: str
    id: str
    type: str
    time: AwareDatetime | None = None
    key: str | None = None
    data: dict[str, Any] = {}


class CustomerSnapshot(Value):
    """The customer as it was when the event was first seen; it holds no contact points."""

    id: str
    attributes: dict[str, Any] = {}
    locale: str | None = None
    time_zone: str | None = None


class Dimension(Value):
    """One dimension's value as it was; `path` is the org path (the value itself where no unit is known)."""

    value: str
    path: str


@lru_cache(maxsize=4_096)
def dimension_at(value: str, path: str) -> Dimension:
    """A dimension; the same few are met again and again, and to make one costs more than to find it."""
    return Dimension(value=value, path=path)


class QuestionKind(StrEnum):
    NPS = "nps"
    CSAT = "csat"
    CES = "ces"
    RATING = "rating"
    CHOICE = "choice"
    TEXT = "text"


class Answer(Value):
    """One answer with all that is needed to measure it: no look-up of the survey is needed.

    `scale` is "0-10", "1-5", ... for numbers, "one" or "many" for choices, None for text; `metric` is what it
    measures; `value` is an integer, a list of option ids, or the text.
    """

    question: str
    kind: QuestionKind
    metric: str
    scale: str | None = None
    value: int | tuple[str, ...] | str


class InvitationState(StrEnum):
    MADE = "made"
    SENDING = "sending"
    SENT = "sent"
    FAILED = "failed"
    UNCERTAIN = "uncertain"
    ANSWERED = "answered"
    EXPIRED = "expired"
    STOPPED = "stopped"


ResponseState = Literal["submitted", "deleted"]
CustomerState = Literal["active", "erased"]
DefinitionState = Literal["active", "paused", "draft", "published", "deleted"]


def dimension_values(dimensions: dict[str, Dimension]) -> dict[str, str]:
    """The plain values, as conditions and scores read them."""
    return {name: dimension.value for name, dimension in dimensions.items()}


def answer_facts(answers: Iterable[Answer]) -> dict[str, Any]:
    """The condition root `answers`: a number, a text, an option's id, or a list of ids where many may be chosen."""
    facts: dict[str, Any] = {}
    for answer in answers:
        value = answer.value
        if isinstance(value, tuple):
            facts[answer.question] = value[0] if answer.scale == "one" and value else list(value)
        else:
            facts[answer.question] = value
    return facts


def transaction_facts(transaction: Transaction | None) -> dict[str, Any]:
    """The condition roots `event` and `data` of a transaction; empty roots where there is none."""
    if transaction is None:
        return {"event": {}, "data": {}}
    time: datetime | None = transaction.time
    event = {"type": transaction.type, "source": transaction.source, "id": transaction.id}
    return {"event": event | ({"time": time.isoformat()} if time else {}), "data": transaction.data}


def customer_facts(customer: CustomerSnapshot | None) -> dict[str, Any]:
    """The condition root `customer`: its attributes, beside them id, locale and time_zone; empty for nobody."""
    if customer is None:
        return {}
    own = {"id": customer.id, "locale": customer.locale, "time_zone": customer.time_zone}
    return customer.attributes | own
