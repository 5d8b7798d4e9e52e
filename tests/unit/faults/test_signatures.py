"""A signature is judged when it arrives, by any of the secrets, and never falls over what it is shown."""

import time
from collections.abc import Mapping
from types import MappingProxyType

import pytest

from shared.webhook import new_secret, sign
from tests.e2e.receiver import Request
from tests.faults.signatures import genuine

OLD, NEW = new_secret(), new_secret()
BODY = b'{"type": "alert.raised"}'


def arrived(
    secrets: list[str], *, late: float = 0.0, changed: Mapping[str, str] = MappingProxyType({})
) -> Request:
    at = time.time() - 86_400
    return Request({**sign(secrets, "a-1", int(at), BODY), **changed}, BODY, at + late, 204)


def test_what_came_long_ago_is_judged_by_the_time_it_came() -> None:
    assert genuine([NEW], arrived([NEW]))
    assert not genuine([NEW], arrived([NEW], late=301))


def test_each_secret_of_a_rotation_verifies() -> None:
    both = arrived([NEW, OLD])
    assert genuine([OLD], both)
    assert genuine([NEW], both)
    assert not genuine([OLD], arrived([NEW]))


@pytest.mark.parametrize("name", ["webhook-timestamp", "webhook-signature"])
def test_nonsense_is_not_genuine(name: str) -> None:
    assert not genuine([NEW], arrived([NEW], changed={name: "nonsense"}))
