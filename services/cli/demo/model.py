"""The customers' side, made up and seeded: who answers, in which language, how satisfied, with which words.

`docs/demo.md` says the same in a table. What somebody would say about a purchase does not depend on whether they
answer, so the scores of those who answered may be held against what everybody asked would have said.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass

from services.cli.demo.world import Sale

MEAN = 8.35
CUSTOMER_SPREAD = 1.3
VISIT_SPREAD = 1.1
STORE_SPREAD = 0.3
REGION_EFFECT: Mapping[str, float] = {"east": 0.35, "south": 0.0, "north": -0.1, "west": -0.45}
DIP_REGION, DIP_MONTH, DIP = "south", "1997-03", -1.6
"""In this month the deliveries of one region were late: what the scores should show."""

LEAST_WILLING, MOST_WILLING = 0.08, 0.28
CHINESE = 0.7
SAYS_WHY = 0.6
CLICKS_SCORE = 0.7
"""Who clicks a number in the message comes by a link with `?answer=`; the others choose on the page."""

SENDS_TWICE = 0.02
HIGHEST_TO_EXPLAIN = 8
"""Up to this score the form asks for a reason."""

_WORDS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "late": {
        "en": ("The parcel came two weeks late.", "Still waiting, nobody answers.", "Late again!"),
        "zh": ("送货晚了两个星期。", "一直在等，没有人回复。", "又迟到了！"),
    },
    "bad": {
        "en": ("The case was cracked.", "Too expensive for one CD.", "Wrong disc in the box."),
        "zh": ("盒子裂了。", "一张 CD 太贵了。", "盒子里的碟不对。"),
    },
    "fair": {
        "en": ("Fine, but the choice could be wider.", "Checkout takes too many steps.", "OK."),
        "zh": ("还行，选择可以再多一些。", "付款步骤太多。", "一般。"),
    },
}


@dataclass(frozen=True, slots=True)
class Reply:
    """What a customer would say about a purchase, and how they behave when they are asked."""

    answers: bool
    score: int
    language: str
    comment: str | None
    clicks: bool
    twice: bool


class Customers:
    """All customers of one seed; the same purchase always gets the same reply."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._traits: dict[str, tuple[float, float, str]] = {}
        self._stores: dict[str, float] = {}

    def reply(self, sale: Sale) -> Reply:
        """What this customer would say about this purchase."""
        satisfaction, willing, language = self._trait(sale.customer)
        dice = random.Random(f"{self._seed}/reply/{sale.id}")
        late = in_dip(sale)
        felt = MEAN + satisfaction + self._store(sale.store.unit) + REGION_EFFECT[sale.store.region]
        felt += dice.gauss(0, VISIT_SPREAD) + (DIP if late else 0)
        score = min(10, max(0, round(felt)))
        theme = "fair" if score >= 7 else "late" if late else "bad"
        comment = dice.choice(_WORDS[theme][language])
        explains = dice.random() < SAYS_WHY and score <= HIGHEST_TO_EXPLAIN
        return Reply(
            answers=dice.random() < willing,
            score=score,
            language=language,
            comment=comment if explains else None,
            clicks=dice.random() < CLICKS_SCORE,
            twice=dice.random() < SENDS_TWICE,
        )

    def _trait(self, customer: str) -> tuple[float, float, str]:
        if customer not in self._traits:
            dice = random.Random(f"{self._seed}/customer/{customer}")
            willing = dice.uniform(LEAST_WILLING, MOST_WILLING)
            language = "zh" if dice.random() < CHINESE else "en"
            self._traits[customer] = (dice.gauss(0, CUSTOMER_SPREAD), willing, language)
        return self._traits[customer]

    def _store(self, unit: str) -> float:
        if unit not in self._stores:
            self._stores[unit] = random.Random(f"{self._seed}/store/{unit}").gauss(0, STORE_SPREAD)
        return self._stores[unit]


def in_dip(sale: Sale) -> bool:
    """Whether the purchase falls into the bad month of the bad region."""
    return sale.store.region == DIP_REGION and sale.at.strftime("%Y-%m") == DIP_MONTH


def nps(scores: list[int]) -> float | None:
    """The exact score of all these answers, to hold the estimates against; None without any."""
    if not scores:
        return None
    return 100 * (sum(s >= 9 for s in scores) - sum(s <= 6 for s in scores)) / len(scores)
