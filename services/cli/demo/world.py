"""What CDNOW's log does not say and the demo makes up: stores in regions, products, order numbers, times of day."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from services.cli.demo.cdnow import Purchase

SOURCE = "/cdnow"
TYPE = "shop.purchase.completed"
COUNTRY = "cn"

REGIONS: dict[str, tuple[str, str, float]] = {
    "east": ("East", "华东", 0.38),
    "south": ("South", "华南", 0.27),
    "north": ("North", "华北", 0.20),
    "west": ("West", "西部", 0.15),
}
"""Each region's names, and its share of the customers."""

STORES_PER_REGION = 3
PRODUCTS = ("rock", "pop", "jazz", "classical", "soundtrack")
_HOME_VISITS = 0.85
_OPENS_AT, _CLOSES_AT = 9 * 3600, 22 * 3600
MADE_UP = ("order_no", "store", "product", "time of day")
"""What each event says of itself: these parts of it are synthetic."""


@dataclass(frozen=True, slots=True)
class Store:
    """A synthetic store; events name it by `code`, which is an alias of its unit."""

    unit: str
    code: str
    region: str


STORES: tuple[Store, ...] = tuple(
    Store(f"store-{number:02}", f"S{number:02}", region)
    for number, region in enumerate((r for r in REGIONS for _ in range(STORES_PER_REGION)), start=1)
)


@dataclass(frozen=True, slots=True)
class Sale:
    """A purchase with what was made up for it."""

    purchase: Purchase
    at: datetime
    store: Store
    product: str

    @property
    def id(self) -> str:
        """The event's id: the line's number."""
        return str(self.purchase.line)

    @property
    def customer(self) -> str:
        return f"cdnow-{self.purchase.customer}"

    @property
    def order(self) -> str:
        return f"CD-{self.purchase.line}"

    def event(self) -> dict[str, Any]:
        """The CloudEvent that the shop would have sent."""
        return {
            "specversion": "1.0",
            "id": self.id,
            "source": SOURCE,
            "type": TYPE,
            "subject": self.customer,
            "time": self.at.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "data": {
                "order_no": self.order,
                "amount": self.purchase.dollars,
                "currency": "USD",
                "cds": self.purchase.cds,
                "store": self.store.code,
                "product": self.product,
                "synthetic": list(MADE_UP),
            },
        }


def sales_of(purchases: Sequence[Purchase], seed: int) -> list[Sale]:
    """The purchases in the order in which they happened, with stores, products and times of day."""
    sales = [_sale(purchase, seed) for purchase in purchases]
    return sorted(sales, key=lambda sale: (sale.at, sale.purchase.line))


def home_store(customer: str, seed: int) -> Store:
    """Where a customer usually buys."""
    dice = random.Random(f"{seed}/home/{customer}")
    region = dice.choices(list(REGIONS), [share for _, _, share in REGIONS.values()])[0]
    return dice.choice([store for store in STORES if store.region == region])


def _sale(purchase: Purchase, seed: int) -> Sale:
    dice = random.Random(f"{seed}/sale/{purchase.line}")
    at = purchase.day + timedelta(seconds=dice.randrange(_OPENS_AT, _CLOSES_AT))
    home = home_store(purchase.customer, seed)
    store = home if dice.random() < _HOME_VISITS else dice.choice(STORES)
    return Sale(purchase, at, store, dice.choice(PRODUCTS))
