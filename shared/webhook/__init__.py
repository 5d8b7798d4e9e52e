"""Signed webhooks, for every service that calls a URL somebody else chose.

Everything here is pure. What needs the network is `shared.webhook.client`, imported by its own name, so
that a service's rules can use the schedule and the signature without an HTTP library.
"""

from shared.webhook.addresses import forbidden
from shared.webhook.endpoints import HeaderError, UrlError, check_headers, check_url
from shared.webhook.schedule import (
    RETRY_SCHEDULE,
    Outcome,
    Reply,
    next_attempt,
    outcome,
    retry_after,
)
from shared.webhook.signing import SecretError, SignatureError, new_secret, sign, verify

__all__ = [
    "RETRY_SCHEDULE",
    "HeaderError",
    "Outcome",
    "Reply",
    "SecretError",
    "SignatureError",
    "UrlError",
    "check_headers",
    "check_url",
    "forbidden",
    "new_secret",
    "next_attempt",
    "outcome",
    "retry_after",
    "sign",
    "verify",
]
