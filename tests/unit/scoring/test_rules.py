"""What counts, once: facts, deltas and retraction, whatever order revisions arrive in."""

from collections import Counter
from collections.abc import Sequence
from datetime import date, timedelta
from itertools import pairwise, permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.scoring.metrics import FIXED_SCALES
from services.scoring.metrics import nps as nps_score
from services.scoring.rules import (
    RESPONDENT,
    Cell,
    Drift,
    Fact,
    NotCountable,
    Rollup,
    cells_of,
    changes,
    delta,
    derive,
    drifts,
    fact_of,
    newest,
    parse_scale,
)
from shared.contracts.messages import ResponseChanged
from shared.contracts.values import Answer, QuestionKind
from tests.unit.scoring.responses import DAY, chose, deleted, nps, paths, rated, response

ROLLUP: Rollup = {"org": None, "product": None}


def fact(message: ResponseChanged, rollup: Rollup = ROLLUP, workspace: str = "acme") -> Fact:
    return fact_of(workspace, message, rollup, FIXED_SCALES)


def values(message: ResponseChanged) -> list[str]:
    return [one.value for one in fact(message).counted]


def applied(batches: Sequence[Sequence[ResponseChanged]], rollup: Rollup = ROLLUP) -> Counter[Cell]:
    """The cells after these batches, as the handler applies them to what stands."""
    standing: dict[tuple[str, str], Fact] = {}
    cells: Counter[Cell] = Counter()
    for batch in batches:
        stated = newest(fact(message, rollup) for message in batch)
        new = [f for f in stated if f.key not in standing or f.revision > standing[f.key].revision]
        old = [standing[f.key] for f in new if f.key in standing]
        cells.update(delta(old, new, rollup))
        standing |= {f.key: f for f in new}
        assert all(n >= 0 for n in cells.values())
    return +cells


def test_every_order_of_edits_deletions_and_duplicates_ends_in_the_same_cells() -> None:
    events = [
        response("r1", nps(9), revision=1),
        response("r2", nps(3), revision=1),
        response("r1", nps(6), revision=2),
        response("r1", nps(9), revision=1),
        deleted("r2", revision=2),
        response("r2", nps(3), revision=1),
    ]
    for order in permutations(events):
        cells = applied([[message] for message in order])
        histogram = {int(cell.value): n for cell, n in cells.items()}
        assert histogram == {6: 1}
        assert (nps_score(histogram).value, nps_score(histogram).n) == (-100, 1)
        assert applied([order]) == cells


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[ResponseChanged], list[list[ResponseChanged]]]:
    """Revisions of some responses in order, and the same shuffled, repeated and cut into batches."""
    told: list[ResponseChanged] = []
    for id in ("a", "b", "c"):
        for revision in range(1, draw(st.integers(1, 4)) + 1):
            day = DAY + timedelta(days=draw(st.integers(0, 2)))
            org = paths(org=draw(st.sampled_from(["cn/east", "cn/west"])))
            if draw(st.integers(0, 4)) == 0:
                told.append(deleted(id, revision))
            else:
                options = draw(st.lists(st.sampled_from("xyz"), unique=True))
                said = (nps(draw(st.integers(0, 10))), chose(*options))
                told.append(response(id, *said, revision=revision, day=day, dimensions=org))
    again = draw(st.permutations(told + draw(st.lists(st.sampled_from(told), max_size=5))))
    cuts = sorted(draw(st.lists(st.integers(0, len(again)), max_size=4)))
    edges = [0, *cuts, len(again)]
    return told, [again[a:b] for a, b in pairwise(edges)]


@given(histories())
def test_any_order_and_any_batches_give_the_cells_of_the_last_revisions(
    history: tuple[list[ResponseChanged], list[list[ResponseChanged]]],
) -> None:
    told, batches = history
    last = {message.id: fact(message) for message in told}
    expected = Counter(cell for one in last.values() for cell in cells_of(one, ROLLUP))
    assert applied(batches) == expected


@given(histories())
def test_a_change_and_its_opposite_cancel(
    history: tuple[list[ResponseChanged], list[list[ResponseChanged]]],
) -> None:
    stated = newest(fact(message) for message in history[0])
    there, back = delta([], stated, ROLLUP), delta(stated, [], ROLLUP)
    assert {cell: -n for cell, n in there.items()} == back


def test_an_unchanged_answer_changes_no_cell() -> None:
    old, new = fact(response("r", nps(9))), fact(response("r", nps(9), revision=2))
    assert delta([old], [new], ROLLUP) == {}


def test_an_edit_moves_only_what_it_changed() -> None:
    old = fact(response("r", nps(9), nps(5, "again")))
    new = fact(response("r", nps(2), nps(5, "again"), revision=2))
    moved = {(cell.question, cell.value): n for cell, n in delta([old], [new], ROLLUP).items()}
    assert moved == {("recommend", "9"): -1, ("recommend", "2"): 1}


def test_a_response_moved_to_another_store_leaves_the_first() -> None:
    old = fact(response("r", nps(9), dimensions=paths(org="cn/east/1")))
    new = fact(response("r", nps(9), revision=2, dimensions=paths(org="cn/west/2")))
    moved = {cell.dimensions: n for cell, n in delta([old], [new], ROLLUP).items()}
    assert moved == {(("org", "cn/east/1"),): -1, (("org", "cn/west/2"),): 1}


def test_cells_keep_apart_all_that_a_metric_is_identified_by() -> None:
    base: dict[str, Any] = {"survey": "buy", "journey": "j", "touchpoint": "t", "day": DAY}
    others: list[dict[str, Any]] = [
        {"survey": "s"},
        {"journey": None},
        {"touchpoint": "u"},
        {"day": date(2026, 1, 1)},
    ]
    found = {
        cell.id
        for i, other in enumerate([{}, *others])
        for cell in cells_of(fact(response(str(i), nps(9, metric="m"), **(base | other))), ROLLUP)
    }
    assert len(found) == 5
    scales = [fact(response(s, rated(3, s))) for s in ("1-5", "1-7", "0-10")]
    assert len({cell for one in scales for cell in cells_of(one, ROLLUP)}) == 3


def test_the_id_of_a_cell_is_the_same_in_every_process() -> None:
    [cell] = cells_of(
        fact(response("r", nps(9), dimensions=paths(org="cn", product="app"))), ROLLUP
    )
    [same] = cells_of(
        fact(response("x", nps(9), dimensions=paths(product="app", org="cn"))), ROLLUP
    )
    assert cell.id == same.id == "e6b6a1fcab272c38d5cde14092448d40"


def test_only_rolled_up_dimensions_are_in_the_key() -> None:
    brought = paths(org="cn/east/1", employee="li", product="")
    one = fact(response("r", nps(9), dimensions=brought))
    [cell] = cells_of(one, ROLLUP)
    assert cell.dimensions == (("org", "cn/east/1"),)


def test_workspaces_never_share_a_change() -> None:
    ours, theirs = fact(response("r", nps(9))), fact(response("r", nps(9)), workspace="other")
    found = changes([], [ours, theirs], {"acme": ROLLUP, "other": {}})
    assert sorted((workspace, n) for (workspace, _), n in found.items()) == [
        ("acme", 1),
        ("other", 1),
    ]


def test_the_newest_revision_of_a_batch_wins_in_any_order() -> None:
    told = [fact(response("r", nps(value), revision=value)) for value in (1, 3, 2)]
    for order in permutations(told):
        assert [one.revision for one in newest(order)] == [3]


def test_a_deleted_response_keeps_its_revision_and_nothing_of_the_customer() -> None:
    message = response(
        "r", nps(9), revision=4, state="deleted", dimensions=paths(org="cn"), data={"amount": 1}
    )
    tombstone = fact(message)
    assert (tombstone.revision, tombstone.state) == (4, "deleted")
    assert tombstone.counted == ()
    assert tombstone.customer is None
    assert tombstone.customer_was is None
    assert tombstone.transaction_was is None
    assert tombstone.dimensions == {}


def test_text_counts_nowhere() -> None:
    text = Answer(question="c", kind=QuestionKind.TEXT, metric="c", value="slow")
    assert values(response("r", text)) == []


def test_a_choice_counts_each_option_once_and_the_respondent() -> None:
    assert values(response("r", chose("price", "staff", "price"))) == [RESPONDENT, "price", "staff"]
    assert values(response("r", chose("price", scale="one"))) == [RESPONDENT, "price"]
    assert values(response("r", chose())) == [RESPONDENT]


@pytest.mark.parametrize(
    "answer",
    [
        nps(11),
        nps(-1),
        rated(0),
        rated(6),
        rated(3, "5-1"),
        rated(3, "a-b"),
        rated(3, ""),
        rated(3, "one"),
        rated(6, "1-7", QuestionKind.CSAT),
        rated(3, "1-5", QuestionKind.CES),
        Answer(question="q", kind=QuestionKind.NPS, metric="m", scale="0-10", value="9"),
        Answer(question="q", kind=QuestionKind.RATING, metric="m", value=3),
    ],
)
def test_an_answer_off_its_scale_is_refused_and_never_clipped(answer: Answer) -> None:
    with pytest.raises(NotCountable):
        fact(response("r", answer))


def test_a_question_answered_twice_in_one_response_is_refused() -> None:
    with pytest.raises(NotCountable, match="recommend"):
        fact(response("r", nps(9), nps(3)))


def test_a_fixed_scale_need_not_be_said() -> None:
    answer = Answer(question="q", kind=QuestionKind.CSAT, metric="m", value=5)
    [one] = fact(response("r", answer)).counted
    assert one.scale == "1-5"


@pytest.mark.parametrize(
    ("text", "ends"),
    [
        ("0-10", (0, 10)),
        ("-2-2", (-2, 2)),
        ("-5--1", (-5, -1)),
        ("5-5", None),
        ("1-", None),
        ("", None),
    ],
)
def test_scales(text: str, ends: tuple[int, int] | None) -> None:
    assert parse_scale(text) == ends


def test_dimensions_derived_from_the_transaction_and_the_customer_as_they_were() -> None:
    one = fact(
        response(
            "r", nps(9), data={"lines": [{"sku": "x1"}], "gift": True}, customer={"tier": "gold"}
        )
    )
    wanted: Rollup = {
        "tier": "customer.tier",
        "sku": "data.lines.0.sku",
        "gift": "data.gift",
        "who": "customer.id",
        "none": "data.nothing",
        "whole": "data.lines",
        "org": None,
    }
    found = {name: dimension["path"] for name, dimension in derive(one, wanted).items()}
    assert found == {"tier": "gold", "sku": "x1", "gift": "true", "who": "customer-r"}


def test_a_derived_dimension_is_in_the_key_and_hides_one_of_the_same_name() -> None:
    rollup: Rollup = {"tier": "customer.tier"}
    one = fact(
        response("r", nps(9), customer={"tier": "gold"}, dimensions=paths(tier="told")), rollup
    )
    [cell] = cells_of(one, rollup)
    assert cell.dimensions == (("tier", "gold"),)


def test_drift_names_every_cell_that_differs() -> None:
    found = drifts({"a": 1, "b": 2, "z": 0, "gone": 3}, {"a": 1, "b": 3, "new": 1})
    assert found == [Drift("b", 2, 3), Drift("gone", 3, 0), Drift("new", 0, 1)]
