"""What may be known of a customer, and which writes are changes."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from services.ingest.rules.customers import (
    Customer,
    Profile,
    check_id,
    check_profile,
    erase,
    write,
)

AT = datetime(2026, 3, 1, tzinfo=UTC)
PROFILE = Profile({"tier": "gold"}, {"email": "a@b.c"}, "zh-CN", "Asia/Shanghai", {"survey": True})
STORED = Customer("c", 3, "active", PROFILE, AT, "me")


def test_a_first_write_creates_revision_one() -> None:
    made = write(None, "c", PROFILE, at=AT, by="me")
    assert made.action == "create"
    assert made.after == replace(STORED, revision=1)


def test_the_same_again_changes_nothing() -> None:
    assert write(STORED, "c", replace(PROFILE), at=AT, by="you").after is None


@pytest.mark.parametrize(
    "profile",
    [
        replace(PROFILE, attributes={"tier": "silver"}),
        replace(PROFILE, locale=None),
        replace(PROFILE, consent={"survey": False}),
    ],
)
def test_a_change_is_the_next_revision(profile: Profile) -> None:
    made = write(STORED, "c", profile, at=AT, by="you")
    assert made.action == "update"
    assert made.after == Customer("c", 4, "active", profile, AT, "you")


def test_true_is_not_one() -> None:
    one = replace(STORED, profile=Profile({"vip": 1}))
    assert write(one, "c", Profile({"vip": True}), at=AT, by="me").action == "update"


def test_an_erased_customer_begins_anew_with_its_revision_going_on() -> None:
    erased = erase(STORED, at=AT, by="me")
    assert (erased.revision, erased.state, erased.profile) == (4, "erased", Profile())
    made = write(erased, "c", Profile(), at=AT, by="me")
    assert made.action == "create"
    assert made.after is not None
    assert made.after.revision == 5


@pytest.mark.parametrize("id", ["a", "a/b c", "顾客", "😀", "../x", "x" * 255])
def test_ids_that_events_may_have_are_ids(id: str) -> None:
    assert not list(check_id(id))


@pytest.mark.parametrize("id", ["", "x" * 256, "a\x00", "a\nb", "\ufffd", "\ud800"[:0] + "\ufdd0"])
def test_ids_that_cannot_be(id: str) -> None:
    assert [error.at for error in check_id(id)] == ["id"]


@pytest.mark.parametrize(
    ("fields", "at"),
    [
        ({"attributes": {str(n): n for n in range(101)}}, "attributes"),
        ({"attributes": {"": 1}}, "attributes"),
        ({"attributes": {"a": {"b": {"c": {"d": 1}}}}}, "attributes.a.b.c"),
        ({"attributes": {"a": "x" * 17_000}}, "attributes"),
        ({"attributes": {"a": 10**39}}, "attributes.a"),
        ({"attributes": {"a": "\x00"}}, "attributes.a"),
        ({"contact": {"email": "nobody"}}, "contact.email"),
        ({"contact": {"phone": "call me"}}, "contact.phone"),
        ({"contact": {"fax": "x" * 321}}, "contact.fax"),
        ({"contact": {"email": "a@b.c\r\nBcc: x@y.z"}}, "contact.email"),
        ({"contact": {"a b": "x"}}, "contact.a b"),
        ({"contact": {"line": ""}}, "contact.line"),
        ({"time_zone": "Mars/Olympus"}, "time_zone"),
        ({"time_zone": "America"}, "time_zone"),
        ({"time_zone": "../etc/passwd"}, "time_zone"),
        ({"consent": {"a b": True}}, "consent.a b"),
        ({"consent": {f"p{n}": True for n in range(101)}}, "consent"),
    ],
)
def test_a_wrong_field_is_named(fields: dict[str, Any], at: str) -> None:
    assert [error.at for error in check_profile(Profile(**fields))] == [at]


def test_a_profile_at_its_bounds_is_taken() -> None:
    attributes = {f"k{n}": {"a": {"b": n}} for n in range(100)}
    profile = replace(
        PROFILE, attributes=attributes, contact={"phone": "+86 138-0000-0000", "x": "y"}
    )
    assert not list(check_profile(profile))
