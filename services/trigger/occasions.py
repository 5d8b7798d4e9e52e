"""An event as one trigger sees it: its transaction, its contact points cut out, its dimensions. Pure."""

from collections.abc import Callable, Mapping, Set
from datetime import datetime
from typing import Any

import msgspec

from services.trigger.rulebook import DimensionSource, Rulebook, Trigger
from shared.conditions import MISSING, Path, read
from shared.contracts.events import Event
from shared.contracts.messages import CustomerChanged
from shared.contracts.units import ORG
from shared.contracts.values import CustomerSnapshot, Dimension, customer_facts, dimension_at

MAX_KEY_CHARS = 255


class Occasion(msgspec.Struct, frozen=True, gc=False):
    """What is decided about: one event, for one trigger. Everything is as it was when it was first seen.

    `customer` is None while the customers have not been read far enough to say how the customer was.
    """

    decision: str
    workspace: str
    trigger: str
    source: str
    event: str
    type: str
    time: datetime | None
    arrived_at: datetime
    customer_id: str
    transaction_key: str | None
    data: Mapping[str, Any]
    contact: Mapping[str, str]
    customer: CustomerSnapshot | None
    dimensions: Mapping[str, Dimension]
    traceparent: str | None

    @property
    def at(self) -> datetime:
        """When it happened: the event's own time, else its arrival."""
        return self.time or self.arrived_at

    def facts(self, roots: Set[str]) -> dict[str, Any]:
        """These roots of a condition, as they were."""
        return {root: _FACTS[root](self) for root in roots}


def event_facts(type: str, source: str, time: datetime | None) -> dict[str, str]:
    """The condition root `event`."""
    if time is None:
        return {"type": type, "source": source}
    return {"type": type, "source": source, "time": time.isoformat()}


_FACTS: Mapping[str, Callable[[Occasion], Mapping[str, Any]]] = {
    "event": lambda o: event_facts(o.type, o.source, o.time),
    "data": lambda o: o.data,
    "customer": lambda o: customer_facts(o.customer),
    "dimensions": lambda o: {name: each.value for name, each in o.dimensions.items()},
}


def snapshot_of(customer: CustomerChanged | None, id: str) -> CustomerSnapshot:
    """The customer without contact points; nobody we know has an id and nothing else."""
    if customer is None or customer.state == "erased":
        return CustomerSnapshot(
            id=id, attributes={}
        )  # to leave them out is to copy the default deeply
    return CustomerSnapshot(
        id=id, attributes=customer.attributes, locale=customer.locale, time_zone=customer.time_zone
    )


def first_seen(
    decision: str, event: Event, trigger: Trigger, *, arrived_at: datetime, traceparent: str | None
) -> Occasion:
    """The occasion before its customer is looked up; contact points leave the data here."""
    data, contact = cut_contact(event.data, trigger.contact)
    return Occasion(
        decision,
        trigger.workspace,
        trigger.id,
        event.source,
        event.id,
        event.type,
        event.time,
        arrived_at,
        event.subject,
        transaction_key(trigger.transaction, event),
        data,
        contact,
        None,
        {},
        traceparent,
    )


def with_customer(
    occasion: Occasion, customer: CustomerSnapshot | None, trigger: Trigger, book: Rulebook
) -> Occasion:
    """The occasion with the customer as it is now, and the dimensions that follow."""
    roots = {
        "event": event_facts(occasion.type, occasion.source, occasion.time),
        "data": occasion.data,
        "customer": customer_facts(customer),
    }
    return msgspec.structs.replace(
        occasion, customer=customer, dimensions=_dimensions(trigger.dimensions, roots, book)
    )


def transaction_key(path: Path | None, event: Event) -> str | None:
    """What names the business transaction: the value at the path, or the event itself; None when it is missing."""
    if path is None:
        return f"{event.source} {event.id}"
    return scalar(read({"data": event.data}, path), MAX_KEY_CHARS)


def scalar(value: object, longest: int) -> str | None:
    """A number or a text as text; None for anything else, and for what is empty or too long."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    text = str(value)
    return text if 0 < len(text) <= longest else None


def cut_contact(
    data: Mapping[str, Any], paths: tuple[tuple[str, Path], ...]
) -> tuple[Mapping[str, Any], dict[str, str]]:
    """The data without the contact points at these paths, and the contact points."""
    contact: dict[str, str] = {}
    for name, path in paths:
        value = scalar(read({"data": data}, path), 1_000)
        if value is not None:
            contact[name] = value
        data = _without(data, path[1:])
    return data, contact


def _without(value: Any, path: Path) -> Any:
    """A copy along the path, without what stands at its end; the rest is shared."""
    head, rest = path[0], path[1:]
    if isinstance(value, list) and head.isdecimal() and int(head) < len(value):
        index = int(head)
        return [*value[:index], _without(value[index], rest) if rest else None, *value[index + 1 :]]
    if not isinstance(value, Mapping) or head not in value:
        return value
    if not rest:
        return {key: item for key, item in value.items() if key != head}
    return {**value, head: _without(value[head], rest)}


def _dimensions(
    sources: tuple[DimensionSource, ...], roots: Mapping[str, Any], book: Rulebook
) -> dict[str, Dimension]:
    found: dict[str, Dimension] = {}
    for source in sources:
        raw = source.value if source.path is None else read(roots, source.path)
        value = None if raw is MISSING else scalar(raw, MAX_KEY_CHARS)
        if value is not None:
            found[source.name] = (
                book.units.dimension(value) if source.name == ORG else dimension_at(value, value)
            )
    return found
