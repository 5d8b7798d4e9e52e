"""What a trigger, a channel and a contact policy may say, and what is answered when they say something else."""

from typing import Any

import pytest

from services.trigger.definitions import kinds
from services.trigger.occasions import cut_contact
from shared.definitions import Reference
from shared.definitions.documents import read_document
from shared.durations import DurationError, parse_duration

KINDS = {kind.name: kind for kind in kinds(allow_loopback=False)}
LEAST = {"on": "paid", "survey": "s"}


def errors(kind: str, document: dict[str, Any], id: str = "x") -> list[str]:
    return [error.at for error in read_document(KINDS[kind], id, document)[1]]


def test_what_is_left_out_has_its_default() -> None:
    wish, problems = read_document(KINDS["trigger"], "x", LEAST)
    assert wish is not None
    assert not problems
    assert wish.document == {
        "state": "active",
        "name": {},
        "on": ["paid"],
        "survey": "s",
        "dimensions": {},
        "channel": "link",
        "delay": "0s",
        "expires": "14d",
        "cancel_on": [],
        "max_age": "30d",
        "priority": 0,
        "sample": 1,
        "contact_policy": "default",
        "contact": {},
    }
    assert wish.references == (Reference("survey", "s", "survey"),)


def test_short_forms_mean_the_long_ones() -> None:
    short = LEAST | {
        "transaction": "data.no",
        "cancel_on": ["a", {"on": "b"}],
        "dimensions": {"org": "data.store", "brand": {"value": "acme"}},
    }
    wish, _ = read_document(KINDS["trigger"], "x", short)
    assert wish is not None
    assert wish.document["cancel_on"] == [{"on": "a"}, {"on": "b"}]
    assert wish.document["dimensions"] == {
        "org": {"path": "data.store"},
        "brand": {"value": "acme"},
    }
    assert read_document(KINDS["trigger"], "x", wish.document)[0] == wish


def test_everything_else_that_is_named_is_a_reference() -> None:
    wish, _ = read_document(
        KINDS["trigger"],
        "x",
        LEAST | {"journey": "j", "touchpoint": "t", "channel": "c", "contact_policy": "p"},
    )
    assert wish is not None
    assert {(r.kind, r.id) for r in wish.references} >= {
        ("survey", "s"),
        ("journey", "j"),
        ("channel", "c"),
        ("contact-policy", "p"),
    }


@pytest.mark.parametrize(
    ("field", "at"),
    [
        ({"on": []}, "on"),
        ({"on": ""}, "on[0]"),
        ({"on": 3}, "on"),
        ({"survey": "no spaces please"}, "survey"),
        ({"when": {"path": "answers.nps", "gt": 3}}, "when.path"),
        ({"when": {"path": "data.a", "gt": {}}}, "when.gt"),
        ({"transaction": "customer.id"}, "transaction"),
        ({"cancel_on": ["a"]}, "cancel_on"),
        (
            {
                "transaction": "data.no",
                "cancel_on": [{"on": "a", "when": {"path": "customer.x", "eq": 1}}],
            },
            "cancel_on[0].when.path",
        ),
        ({"touchpoint": "t"}, "touchpoint"),
        ({"dimensions": {"org": {}}}, "dimensions.org"),
        ({"dimensions": {"org": "store"}}, "dimensions.org.path"),
        ({"dimensions": {"Org": "data.store"}}, "dimensions.Org.[key]"),
        ({"delay": "2"}, "delay"),
        ({"delay": "1.5h"}, "delay"),
        ({"delay": "-1h"}, "delay"),
        ({"expires": "0d"}, "expires"),
        ({"expires": "2y"}, "expires"),
        ({"max_age": "4000d"}, "max_age"),
        ({"priority": "9"}, "priority"),
        ({"priority": True}, "priority"),
        ({"sample": 1.01}, "sample"),
        ({"sample": True}, "sample.float"),
        ({"contact": {"email": "customer.mail"}}, "contact.email"),
        ({"state": "off"}, "state"),
        ({"chanel": "link"}, "chanel"),
    ],
)
def test_what_is_wrong_is_named(field: dict[str, Any], at: str) -> None:
    assert at in errors("trigger", LEAST | field)


@pytest.mark.parametrize(
    ("kind", "document", "at"),
    [
        ("channel", {"type": "webhook", "url": "https://127.0.0.1/x"}, "url"),
        ("channel", {"type": "webhook", "url": "http://example.com/x"}, "url"),
        (
            "channel",
            {"type": "webhook", "url": "https://example.com/x", "secret": "whsec_x"},
            "secret",
        ),
        ("channel", {"type": "carrier-pigeon", "url": "https://example.com/x"}, "type"),
        ("contact-policy", {"after_invitation": "a month"}, "after_invitation"),
    ],
)
def test_the_other_kinds(kind: str, document: dict[str, Any], at: str) -> None:
    assert at in errors(kind, document)


@pytest.mark.parametrize("own", [{"id": "link"}, {}], ids=["by its own id", "by the path's"])
def test_the_built_in_channel_cannot_be_redefined(own: dict[str, str]) -> None:
    document = {"type": "webhook", "url": "https://example.com/x"} | own
    assert errors("channel", document, "link") == ["id"]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0s", 0), ("90s", 90), ("5m", 300), ("2h", 7_200), ("14d", 1_209_600), ("4w", 2_419_200)],
)
def test_durations(text: str, seconds: int) -> None:
    assert parse_duration(text).total_seconds() == seconds


@pytest.mark.parametrize(
    "text",
    ["", "s", "5", "5 m", " 5m", "5m\n", "٣d", "5M", "1h30m", "-5m", "1e3s", "9999999999s", "600w"],
)
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(DurationError):
        parse_duration(text)


def test_contact_points_are_cut_out_of_a_copy() -> None:
    data = {"buyer": {"mail": "a@b.c", "phones": [{"no": 1, "kind": "home"}]}, "order": 1}
    left, contact = cut_contact(
        data,
        (
            ("email", ("data", "buyer", "mail")),
            ("phone", ("data", "buyer", "phones", "0", "no")),
            ("fax", ("data", "fax")),
        ),
    )
    assert left == {"buyer": {"phones": [{"kind": "home"}]}, "order": 1}
    assert contact == {"email": "a@b.c", "phone": "1"}
    assert data["buyer"] == {"mail": "a@b.c", "phones": [{"no": 1, "kind": "home"}]}
