"""The channel that hands the link, signed, to a business system, which sends it to the customer itself. Pure."""

from collections.abc import Mapping
from typing import Any

import msgspec

from shared.webhook import sign

TYPE = "invitation.made"
_MOVING = frozenset({"state", "revision", "changed_at"})


def body_of(document: Mapping[str, Any], contact: Mapping[str, str]) -> bytes:
    """What is posted; the same bytes for every attempt as long as the contact is the same, so without what moves."""
    data = {
        "invitation": {name: value for name, value in document.items() if name not in _MOVING},
        "link": document["link"],
        "customer": document["customer"],
        "contact": contact,
        "transaction": document["transaction"],
        "dimensions": document.get("dimensions", {}),
    }
    return msgspec.json.encode({"type": TYPE, "timestamp": document["made_at"], "data": data})


def headers_of(secret: str, invitation: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The signature of one attempt; the receiver dedupes by `webhook-id`, which is the invitation's id."""
    return sign([secret], invitation, timestamp, body)
