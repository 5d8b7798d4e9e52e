"""Which answers are right, which questions apply, and what a response becomes."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.ingest.page.forms import Form, preselected, read_form
from services.ingest.page.forms import given as given_by
from services.ingest.page.languages import choose
from services.ingest.page.phrases import PHRASES
from services.ingest.rules.answers import read_answers
from services.ingest.rules.questions import Survey, read_survey
from services.ingest.rules.responses import (
    Answered,
    Joined,
    Response,
    announcement,
    deleted,
    editable,
    edited,
    parked,
    submitted,
)
from shared.contracts.values import Answer, CustomerSnapshot, Transaction, answer_facts

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
TEXT = {"en": "?"}


def survey() -> Survey:
    options = [{"id": id, "text": TEXT} for id in ("price", "staff", "other")]
    low = {"path": "answers.nps", "lte": 6}
    document = {
        "title": TEXT,
        "questions": [
            {"id": "nps", "kind": "nps", "text": TEXT},
            {"id": "csat", "kind": "csat", "text": TEXT, "required": False, "metric": "happy"},
            {"id": "stars", "kind": "rating", "text": TEXT, "required": False, "scale": {"low": 0, "high": 3}},
            {"id": "why", "kind": "choice", "text": TEXT, "options": options, "show_if": low},
            {"id": "which", "kind": "choice", "text": TEXT, "options": options, "multiple": True, "required": False},
            {"id": "more", "kind": "text", "text": TEXT, "max_length": 3, "required": True,
             "show_if": {"path": "answers.why", "eq": "other"}},
        ],
    }  # fmt: skip
    return read_survey("buy", 4, document)


def values(given: dict[str, Any]) -> dict[str, Any]:
    reading = read_answers(survey(), given)
    assert not reading.errors
    return {answer.question: answer.value for answer in reading.answers}


def test_an_answer_says_what_it_measures_and_on_which_scale() -> None:
    given = {"nps": 6, "csat": 5, "stars": 0, "why": "price", "which": ["staff", "price", "staff"]}
    answers = {answer.question: answer for answer in read_answers(survey(), given).answers}
    assert [(a.metric, a.scale, a.value) for a in answers.values()] == [
        ("buy.nps", "0-10", 6),
        ("happy", "1-5", 5),
        ("buy.stars", "0-3", 0),
        ("buy.why", "one", ("price",)),
        ("buy.which", "many", ("price", "staff")),
    ]
    assert answer_facts(answers.values()) == {
        "nps": 6, "csat": 5, "stars": 0, "why": "price", "which": ["price", "staff"],
    }  # fmt: skip


def test_answers_to_questions_that_do_not_apply_are_dropped_all_the_way_down() -> None:
    assert values({"nps": 9, "why": "other", "more": "abc"}) == {"nps": 9}
    assert values({"nps": 6, "why": "price", "more": "abc"}) == {"nps": 6, "why": ("price",)}
    assert values({"nps": 0, "why": "other", "more": " abc "})["more"] == "abc"


@pytest.mark.parametrize(
    ("given", "question", "code"),
    [
        ({}, "nps", "required"),
        ({"nps": None}, "nps", "required"),
        ({"nps": 11}, "nps", "number"),
        ({"nps": -1}, "nps", "number"),
        ({"nps": "9"}, "nps", "number"),
        ({"nps": True}, "nps", "number"),
        ({"nps": 9.0}, "nps", "number"),
        ({"nps": 9, "stars": 4}, "stars", "number"),
        ({"nps": 1, "why": "rain"}, "why", "choice"),
        ({"nps": 1, "why": ["price", "staff"]}, "why", "one"),
        ({"nps": 1, "why": [""]}, "why", "choice"),
        ({"nps": 1, "why": {"a": 1}}, "why", "choice"),
        ({"nps": 9, "which": ["price", 1]}, "which", "choice"),
        ({"nps": 1, "why": "other"}, "more", "required"),
        ({"nps": 1, "why": "other", "more": "   "}, "more", "required"),
        ({"nps": 1, "why": "other", "more": "abcd"}, "more", "long"),
        ({"nps": 1, "why": "other", "more": 1}, "more", "text"),
        ({"nps": 9, "rain": 1}, "rain", "unknown"),
    ],
)
def test_what_is_wrong_is_named(given: dict[str, Any], question: str, code: str) -> None:
    errors = read_answers(survey(), given).errors
    assert (question, code) in [(error.question, error.code) for error in errors]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2)
    ),
    max_leaves=5,
)


@settings(max_examples=200)
@given(
    st.dictionaries(
        st.sampled_from(["nps", "csat", "stars", "why", "which", "more", "x"]), json_values
    )
)
def test_no_answer_breaks_the_reading(given: dict[str, Any]) -> None:
    reading = read_answers(survey(), given)
    assert {answer.question for answer in reading.answers} <= set(reading.shown)
    assert all(error.expected and error.message for error in reading.errors)


@settings(max_examples=200)
@given(st.binary(max_size=200))
def test_no_form_breaks_the_reading(body: bytes) -> None:
    read_answers(survey(), given_by(survey(), read_form(body)))


def test_a_link_fills_in_the_first_number_only() -> None:
    assert preselected(survey(), "9") == Form({"nps": ("9",)})
    for odd in (None, "", "11", "-1", "x", "٣"):
        assert preselected(survey(), odd) == Form({})


def test_the_language_is_the_wanted_one_else_the_preferred_that_is_offered() -> None:
    offered = ("zh", "en")
    assert choose("en", "zh", offered) == "en"
    assert choose("fr", "fr, en;q=0.2, zh;q=0.9", offered) == "zh"
    assert choose(None, "zh;q=0, en;q=0.1", offered) == "en"
    assert choose(None, None, offered) == "zh"
    assert choose(None, "zh-Hant-TW", ("en", "zh")) == "zh"


def test_the_page_says_the_same_in_each_language() -> None:
    assert PHRASES["en"].keys() == PHRASES["zh"].keys()


def response() -> Response:
    answer = Answer(question="nps", kind="nps", metric="buy.nps", scale="0-10", value=9)  # type: ignore[arg-type]  # as JSON has it
    answered = Answered("acme", "r-1", "buy", 1, "i-1", "en", (answer,), None, "page")
    return parked(answered, NOW)


def test_the_day_is_the_transactions_in_the_workspaces_zone() -> None:
    late = datetime(2026, 2, 28, 17, tzinfo=UTC)
    about = Joined(transaction=Transaction(source="s", id="1", type="t", time=late))
    assert submitted(response(), about, "Asia/Shanghai", NOW).day == date(2026, 3, 1)
    assert submitted(response(), about, "UTC", NOW).day == date(2026, 2, 28)
    assert submitted(response(), Joined(), "UTC", NOW).day == date(2026, 3, 1)
    first = datetime(1, 1, 1, tzinfo=UTC)
    oldest = Joined(transaction=Transaction(source="s", id="1", type="t", time=first))
    assert submitted(response(), oldest, "America/New_York", NOW).day == date(1, 1, 1)


def test_a_response_is_told_of_once_it_is_joined_and_at_each_revision() -> None:
    waiting = response()
    assert announcement(waiting) is None
    assert announcement(deleted(waiting, "k", NOW)) is None
    told = submitted(waiting, Joined(customer=CustomerSnapshot(id="c-1")), "UTC", NOW)
    key, message = announcement(told) or pytest.fail("nothing was told")
    assert (key.encode(), message.revision, message.state) == (b"acme/c-1", 1, "submitted")
    changed = edited(told, (), "k", NOW)
    assert (changed.revision, changed.changed_by) == (2, "k")
    assert edited(told, told.answers, "k", NOW) is told
    gone = deleted(changed, "k", NOW)
    assert (gone.revision, gone.state, gone.answers) == (3, "deleted", ())
    assert deleted(gone, "k", NOW) is gone
    alone = submitted(waiting, Joined(), "UTC", NOW)
    assert (announcement(alone) or pytest.fail("nothing"))[0].entity == "r-1"


def test_the_window_of_editing_ends_to_the_moment() -> None:
    window = timedelta(days=30)
    assert editable(response(), window, NOW + window - timedelta(seconds=1))
    assert not editable(response(), window, NOW + window)
    assert not editable(replace(response(), state="deleted"), window, NOW)
