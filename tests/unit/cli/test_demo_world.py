"""The demo's input: real purchases read and sampled, made-up stores that say so, and the order of sending."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from services.cli.demo.cdnow import Purchase, find_file, read_purchases, sample
from services.cli.demo.definitions import definitions
from services.cli.demo.schedule import BATCH, schedule
from services.cli.demo.world import MADE_UP, REGIONS, STORES, sales_of
from shared.contracts.units import UnitTree
from shared.errors import StartupError

HEADING = " customer_id  date number_of_cds  dollar_value\n"


def purchases(n: int, customers: int = 50) -> list[Purchase]:
    return [
        Purchase(
            i + 2,
            f"{i % customers:05}",
            datetime(1997, 1 + i % 12, 1 + i % 28, tzinfo=UTC),
            1,
            10.0,
        )
        for i in range(n)
    ]


def test_reads_lines_with_their_numbers(tmp_path: Path) -> None:
    file = tmp_path / "log.txt"
    file.write_text(HEADING + " 00001 19970101  1   11.77\n 00002 19970112  5   77.00\n")
    first, second = read_purchases(file)
    assert first == Purchase(2, "00001", datetime(1997, 1, 1, tzinfo=UTC), 1, 11.77)
    assert (second.line, second.cds, second.dollars) == (3, 5, 77.0)


@pytest.mark.parametrize(
    "line", ["00002 19971312 1 3.00", "00002 19970112 1", "00002 19970112 x 3.00"]
)
def test_names_the_line_that_is_no_purchase(tmp_path: Path, line: str) -> None:
    file = tmp_path / "log.txt"
    file.write_text(HEADING + " 00001 19970101  1   11.77\n" + line + "\n")
    with pytest.raises(StartupError, match="line 3, is not a purchase"):
        read_purchases(file)


def test_says_what_to_run_when_the_purchases_are_not_installed() -> None:
    with pytest.raises(StartupError, match="make demo-data"):
        find_file("a-package-that-nobody-installed")


def test_samples_customers_with_all_their_purchases() -> None:
    everything = purchases(500)
    chosen = sample(everything, 100, seed=1)
    customers = {purchase.customer for purchase in chosen}
    assert 100 <= len(chosen) < 120
    assert sorted(chosen, key=lambda p: p.line) == [
        p for p in everything if p.customer in customers
    ]
    assert chosen == sample(everything, 100, seed=1)
    assert chosen != sample(everything, 100, seed=2)


def test_events_are_in_time_order_and_say_what_is_made_up() -> None:
    sales = sales_of(purchases(300), seed=1)
    events = [sale.event() for sale in sales]
    assert [e["time"] for e in events] == sorted(e["time"] for e in events)
    assert {e["id"] for e in events} == {str(line) for line in range(2, 302)}
    assert all(e["data"]["synthetic"] == list(MADE_UP) for e in events)
    assert sales_of(purchases(300), seed=1) == sales


def test_a_store_code_leads_to_its_region() -> None:
    units = {d["id"]: d for d in definitions("http://127.0.0.1:1/") if d["kind"] == "unit"}
    tree = UnitTree.of(units)
    for store in STORES:
        assert tree.dimension(store.code).path == f"cn/{store.region}/{store.unit}"
    assert {store.region for store in STORES} == set(REGIONS)


def test_the_schedule_sends_all_some_twice_and_some_late() -> None:
    sales = sales_of(purchases(5_000, customers=1_000), seed=1)
    made = schedule(sales, seed=1)
    sent = [sale.id for sale in made.sales]
    assert set(sent) == {sale.id for sale in sales}
    assert {id for id in made.twice if sent.count(id) == 2} == made.twice
    assert len(sent) == len(sales) + len(made.twice)
    assert 25 <= len(made.twice) <= 100
    assert 25 <= len(made.late) <= 100
    place = {sale.id: index for index, sale in enumerate(sales)}
    on_time = [id for id in dict.fromkeys(sent) if id not in made.late]
    assert [place[id] for id in on_time] == sorted(place[id] for id in on_time)
    overtaken = {id: sent.index(id) - place[id] for id in made.late}
    assert min(overtaken.values()) > 20


def test_batches_hold_everything_in_order() -> None:
    made = schedule(sales_of(purchases(250), seed=1), seed=1)
    batches = made.batches()
    assert [sale for batch in batches for sale in batch] == list(made.sales)
    assert max(len(batch) for batch in batches) == BATCH
