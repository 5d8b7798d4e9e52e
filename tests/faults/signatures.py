"""Judges the signature of a webhook with a library that is not ours, at the moment when it arrived."""

from collections.abc import Iterable
from datetime import UTC, datetime

from standardwebhooks import Webhook

from tests.e2e.receiver import Request

_TOLERANCE_SECONDS = 300


def genuine(secrets: Iterable[str], request: Request) -> bool:
    """Whether one of these secrets signed it, and just then. A long run ends when its first webhooks are older than
    any receiver accepts, so what counts is the time of arrival."""
    headers = request.headers
    try:
        stamp = int(headers["webhook-timestamp"])
        offered = set(headers["webhook-signature"].split(" "))
        text = request.body.decode()
    except (KeyError, ValueError):
        return False
    if abs(request.at - stamp) > _TOLERANCE_SECONDS:
        return False
    at = datetime.fromtimestamp(stamp, tz=UTC)
    signed = {Webhook(secret).sign(headers["webhook-id"], at, text) for secret in secrets}
    return not signed.isdisjoint(offered)
