"""The events that benchmarks send: a purchase as a shop tells it, about 600 bytes of CloudEvents 1.0."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from services.cli.dev import WORKSPACE
from shared.contracts.keys import Key
from shared.contracts.topics import Topic
from shared.log import Outgoing

BOUGHT = "shop.purchase.completed"
VIEWED = "shop.page.viewed"
"""A type that no trigger listens to."""
PER_CUSTOMER = 20


def purchase(
    number: int, *, customer: str, type: str = BOUGHT, amount: float = 129.5
) -> dict[str, Any]:
    """An event with all that a real one has: nine attributes and a dozen fields."""
    return {
        "specversion": "1.0",
        "id": f"order-{number}",
        "source": "/shop/checkout",
        "type": type,
        "subject": customer,
        "time": datetime.now(UTC).isoformat(),
        "datacontenttype": "application/json",
        "dataschema": "https://shop.example.com/schemas/purchase/3",
        "data": {
            "order_no": f"o-{number}",
            "amount": amount,
            "currency": "CNY",
            "store": f"sh-{number % 200:03}",
            "product": ("app", "web", "shop")[number % 3],
            "items": 3,
            "coupon": "autumn-2026",
            "payment": {"kind": "wallet", "installments": 1},
            "delivery": {"kind": "home", "city": "上海", "days": 2},
            "member_since": "2021-04-01",
            "first_order": False,
            "employee": f"e-{number % 1000}",
            "channel": "mini-program",
        },
    }


def mixed(
    first: int,
    count: int,
    customer: Callable[[int], str],
    id: Callable[[int], str] = lambda number: f"order-{number}",
) -> list[Outgoing]:
    """Events in the log from that number on; `customer` names the one who has so many in a row.

    Of twenty events of a customer ten are of a type that nobody listens to, one invites, nine have no amount.
    """
    made = []
    for number in range(first, first + count):
        who = customer(number // PER_CUSTOMER)
        place = number % PER_CUSTOMER
        event = purchase(
            number,
            customer=who,
            type=VIEWED if place % 2 else BOUGHT,
            amount=129.5 if place == 0 else 0,
        ) | {"id": id(number)}
        made.append(Outgoing(Topic.EVENTS, Key(WORKSPACE, who).encode(), encoded(event)))
    return made


def encoded(document: Any) -> bytes:
    return json.dumps(document, ensure_ascii=False).encode()
