"""The demo's customers: seeded, as documented, and with a bad month that scores can find."""

from datetime import UTC, datetime, timedelta
from statistics import mean

from services.cli.demo import model
from services.cli.demo.cdnow import Purchase
from services.cli.demo.model import Customers, nps
from services.cli.demo.world import STORES, Sale

SOUTH = next(store for store in STORES if store.region == model.DIP_REGION)
EAST = next(store for store in STORES if store.region == "east")
MARCH = datetime(1997, 3, 10, tzinfo=UTC)


def sales(n: int, at: datetime = MARCH, store: object = SOUTH) -> list[Sale]:
    assert isinstance(store, type(SOUTH))
    return [Sale(Purchase(i + 2, f"{i:05}", at, 1, 10.0), at, store, "jazz") for i in range(n)]


def scores(at: datetime, store: object) -> list[int]:
    customers = Customers(1)
    return [customers.reply(sale).score for sale in sales(2_000, at, store)]


def test_the_same_seed_gives_the_same_replies_in_any_order() -> None:
    asked = sales(200)
    forwards, backwards, other = Customers(1), Customers(1), Customers(2)
    replies = {sale.id: forwards.reply(sale) for sale in asked}
    assert {sale.id: backwards.reply(sale) for sale in reversed(asked)} == replies
    assert {sale.id: other.reply(sale) for sale in asked} != replies


def test_behaviour_is_as_documented() -> None:
    customers = Customers(1)
    replies = [customers.reply(sale) for sale in sales(4_000)]
    assert (
        abs(mean(r.answers for r in replies) - (model.LEAST_WILLING + model.MOST_WILLING) / 2)
        < 0.03
    )
    assert abs(mean(r.language == "zh" for r in replies) - model.CHINESE) < 0.03
    assert abs(mean(r.clicks for r in replies) - model.CLICKS_SCORE) < 0.03
    assert all(0 <= r.score <= 10 for r in replies)
    assert all(r.score <= model.HIGHEST_TO_EXPLAIN for r in replies if r.comment)


def test_who_answers_does_not_depend_on_what_they_would_say() -> None:
    customers = Customers(1)
    replies = [customers.reply(sale) for sale in sales(8_000, store=EAST)]
    answered = mean(r.score for r in replies if r.answers)
    silent = mean(r.score for r in replies if not r.answers)
    assert abs(answered - silent) < 0.1


def test_only_the_bad_month_of_the_bad_region_is_bad() -> None:
    bad = mean(scores(MARCH, SOUTH))
    for at, store in (
        (MARCH, EAST),
        (MARCH - timedelta(days=30), SOUTH),
        (MARCH + timedelta(days=30), SOUTH),
    ):
        assert mean(scores(at, store)) - bad > 1


def test_the_exact_score() -> None:
    assert nps([]) is None
    assert nps([9, 10, 8, 7, 6, 0]) == 0
    assert nps([10, 10, 6, 7]) == 25
