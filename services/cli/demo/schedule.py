"""The order in which a business system would really send its events: in time, some of them twice, some late."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from services.cli.demo.world import Sale

BATCH = 100
TWICE = 0.01
LATE = 0.01
_LATE_BY = (50, 400)
_AGAIN_AFTER = (0, 600)


@dataclass(frozen=True)
class Schedule:
    """What is sent, in order; `twice` and `late` hold the ids of the events that were chosen."""

    sales: tuple[Sale, ...]
    twice: frozenset[str]
    late: frozenset[str]

    def batches(self) -> list[list[Sale]]:
        """At most `BATCH` events for a request."""
        return [list(self.sales[at : at + BATCH]) for at in range(0, len(self.sales), BATCH)]


def schedule(sales: Sequence[Sale], seed: int) -> Schedule:
    """About one percent is held back for some hundred events; about one percent is sent a second time."""
    dice = random.Random(f"{seed}/schedule")
    places: list[tuple[float, Sale]] = []
    twice, late = set(), set()
    for index, sale in enumerate(sales):
        place = float(index)
        if dice.random() < LATE:
            late.add(sale.id)
            place += dice.randint(*_LATE_BY) + 0.5
        places.append((place, sale))
        if dice.random() < TWICE:
            twice.add(sale.id)
            places.append((place + dice.randint(*_AGAIN_AFTER) + 0.25, sale))
    places.sort(key=lambda placed: placed[0])
    return Schedule(tuple(sale for _, sale in places), frozenset(twice), frozenset(late))
