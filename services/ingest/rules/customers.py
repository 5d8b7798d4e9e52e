"""What may be known of a customer, and what a write to one comes to."""

import functools
import re
import zoneinfo
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final, Literal

import msgspec

from services.ingest.rules.text import allowed, trouble
from shared.http.problems import FieldError

SURVEYS: Final = "surveys"
"""The purpose of consent that the stop link withdraws."""

MAX_ID: Final = 255
MAX_KEYS: Final = 100
MAX_NESTING: Final = 3
MAX_BYTES: Final = 16 * 1024
MAX_CONTACT: Final = 320

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,126}[A-Za-z0-9])?")
_CONTACT_FORMS: Final = {
    "email": (re.compile(r"[^@\s]+@[^@\s]+"), "an address such as mei@example.com"),
    "phone": (re.compile(r"\+?[0-9][0-9 ().-]{2,31}"), "a number such as +8613800000000"),
    "wechat": (re.compile(r"\S+"), "an OpenID or WeChat ID"),
}
_encode = msgspec.json.Encoder(order="deterministic").encode


@dataclass(frozen=True)
class Profile:
    """All that is known of a customer."""

    attributes: dict[str, Any] = field(default_factory=dict)
    contact: dict[str, str] = field(default_factory=dict)
    locale: str | None = None
    time_zone: str | None = None
    consent: dict[str, bool] = field(default_factory=dict)


@dataclass(frozen=True)
class Customer:
    """A customer as it is stored; revision 0 is one that was never written."""

    id: str
    revision: int
    state: Literal["active", "erased"]
    profile: Profile
    changed_at: datetime
    changed_by: str


@dataclass(frozen=True)
class Write:
    """What a write comes to; `after` is None where nothing changes."""

    action: Literal["create", "update", "unchanged"]
    after: Customer | None


def write(old: Customer | None, id: str, profile: Profile, *, at: datetime, by: str) -> Write:
    """The next revision of a customer, none when all is as it was. An erased customer begins anew.

    Who stopped surveys stays so until a write says otherwise: a nightly synchronisation must not ask them again.
    """
    active = old is not None and old.state == "active"
    if old is not None and old.profile.consent.get(SURVEYS) is False:
        profile = replace(profile, consent={SURVEYS: False, **profile.consent})
    if old is not None and active and _same(old.profile, profile):
        return Write("unchanged", None)
    after = Customer(id, (old.revision if old else 0) + 1, "active", profile, at, by)
    return Write("update" if active else "create", after)


def erase(old: Customer, *, at: datetime, by: str) -> Customer:
    """The customer with all that was known gone; the id and the revision stay."""
    return Customer(old.id, old.revision + 1, "erased", Profile(), at, by)


def _same(one: Profile, other: Profile) -> bool:
    """Compared as JSON, where true is not 1."""
    return _encode(one) == _encode(other)


def check_id(id: str) -> Iterator[FieldError]:
    """A customer ID is the subject of events: the same texts can be one."""
    if not 0 < len(id) <= MAX_ID:
        yield FieldError("id", f"has {len(id)} characters", f"1 to {MAX_ID} characters")
    elif not allowed(id) or "\ufffd" in id:
        yield FieldError("id", "has a character that cannot be in an ID", "printable text in UTF-8")


def check_profile(profile: Profile) -> Iterator[FieldError]:
    """Everything that is wrong with a profile, each with its place."""
    yield from _check_attributes(profile.attributes)
    yield from _check_contact(profile.contact)
    if len(profile.consent) > MAX_KEYS:
        yield FieldError("consent", f"has {len(profile.consent)} purposes", f"at most {MAX_KEYS}")
    yield from _check_names("consent", profile.consent)
    if profile.time_zone is not None and profile.time_zone not in _time_zones():
        yield FieldError(
            "time_zone",
            f"is {profile.time_zone[:60]!r}",
            "an IANA time zone such as Asia/Shanghai",
        )


def _check_attributes(attributes: Mapping[str, Any]) -> Iterator[FieldError]:
    if len(attributes) > MAX_KEYS:
        yield FieldError("attributes", f"has {len(attributes)} keys", f"at most {MAX_KEYS}")
    if any(not 0 < len(name) <= 128 for name in attributes):
        yield FieldError("attributes", "has a key that is too long or empty", "1 to 128 characters")
    if found := trouble(attributes, "attributes", MAX_NESTING):
        yield FieldError(*found)
        return
    size = len(_encode(attributes))
    if size > MAX_BYTES:
        yield FieldError("attributes", f"is {size:,} bytes", f"at most {MAX_BYTES:,}")


def _check_contact(contact: Mapping[str, str]) -> Iterator[FieldError]:
    if len(contact) > MAX_KEYS:
        yield FieldError("contact", f"has {len(contact)} contact points", f"at most {MAX_KEYS}")
    yield from _check_names("contact", contact)
    for name, value in contact.items():
        at = f"contact.{name[:60]}"
        form, example = _CONTACT_FORMS.get(name, (None, ""))
        if not 0 < len(value) <= MAX_CONTACT:
            yield FieldError(at, f"has {len(value)} characters", f"1 to {MAX_CONTACT} characters")
        elif not allowed(value):
            yield FieldError(at, "has a control character", "printable text")
        elif form and not form.fullmatch(value):
            yield FieldError(at, "is not of its kind", example)


def _check_names(at: str, named: Mapping[str, Any]) -> Iterator[FieldError]:
    for name in named:
        if not _NAME.fullmatch(name):
            expected = "letters, digits, '.', '_' and '-', at most 128"
            yield FieldError(f"{at}.{name[:60]}", "is not a name", expected)


@functools.cache
def _time_zones() -> frozenset[str]:
    return frozenset(zoneinfo.available_timezones())
