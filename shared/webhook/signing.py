"""Signs and verifies messages as Standard Webhooks 1.0.0 says (symmetric, `v1`)."""

import base64
import binascii
import hashlib
import hmac
import re
import secrets as random_bytes
from collections.abc import Mapping, Sequence
from functools import lru_cache

from shared.errors import AfterwordError

_PREFIX = "whsec_"
_MESSAGE_ID = re.compile(r"[!-\-/-~]{1,256}")  # visible ASCII without the full stop that separates
_TIMESTAMP = re.compile(r"[0-9]{1,12}")
_LONGEST_SIGNATURE = 4_096  # a rotation has two entries of 47 characters; this is room for 80


class SignatureError(AfterwordError):
    """This message does not prove that it comes from a holder of the secret, now."""


class SecretError(AfterwordError, ValueError):
    """A secret that cannot sign; the text never contains the secret."""


def new_secret() -> str:
    """A fresh secret of 32 random bytes in the spelling `whsec_BASE64`."""
    return _PREFIX + base64.b64encode(random_bytes.token_bytes(32)).decode("ascii")


def sign(secrets: Sequence[str], message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The three headers of one attempt; each secret gives a signature, so that rotation has an overlap.

    `message_id` stays the same over all attempts, `timestamp` (unix seconds) is that of this attempt, and
    `body` is the very bytes that are sent. Raises `SecretError`, or `ValueError` for an id that a
    receiver could not split off again.
    """
    if not secrets:
        raise SecretError("a message needs at least one secret to be signed with")
    if not _MESSAGE_ID.fullmatch(message_id):
        raise ValueError(
            "a message id is 1 to 256 visible ASCII characters without a full stop,"
            f" not {message_id[:40]!r}"
        )
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(_signatures(secrets, message_id, str(timestamp), body)),
    }


def verify(
    secrets: Sequence[str],
    headers: Mapping[str, str],
    body: bytes,
    now: int,
    tolerance_seconds: int = 300,
) -> None:
    """Return when one of the secrets signed this body within the tolerance, else raise `SignatureError`.

    Whatever a sender can put into the headers or the body ends in `SignatureError` and nothing else; a
    secret of ours that is malformed raises `SecretError`. Header names are matched in any case.
    """
    found = {name.lower(): value for name, value in headers.items()}
    message_id = _matched(_MESSAGE_ID, found, "webhook-id")
    timestamp = _matched(_TIMESTAMP, found, "webhook-timestamp")
    offered = found.get("webhook-signature", "")
    if not offered or len(offered) > _LONGEST_SIGNATURE:
        raise SignatureError("the header webhook-signature is missing or too long")
    if int(timestamp) < now - tolerance_seconds:
        raise SignatureError(f"the message is older than {tolerance_seconds} seconds")
    if int(timestamp) > now + tolerance_seconds:
        raise SignatureError(f"the message is over {tolerance_seconds} seconds in the future")
    candidates = [token.encode("utf-8", "replace") for token in offered.split(" ")]
    genuine = False
    for expected in _signatures(secrets, message_id, timestamp, body):
        for candidate in candidates:
            genuine |= hmac.compare_digest(expected.encode("ascii"), candidate)
    if not genuine:
        raise SignatureError("no signature matches the body and any known secret")


def _signatures(secrets: Sequence[str], message_id: str, timestamp: str, body: bytes) -> list[str]:
    head = f"{message_id}.{timestamp}.".encode("ascii")
    return [_signature(secret, head, body) for secret in secrets]


def _signature(secret: str, head: bytes, body: bytes) -> str:
    mac = _keyed(secret).copy()
    mac.update(head)
    mac.update(body)
    return "v1," + binascii.b2a_base64(mac.digest(), newline=False).decode("ascii")


@lru_cache(maxsize=4_096)
def _keyed(secret: str) -> hmac.HMAC:
    """A code that has taken in the key and nothing yet: the same secrets sign again and again. Only copy it."""
    return hmac.new(_key(secret), digestmod=hashlib.sha256)


def _key(secret: str) -> bytes:
    encoded = secret.removeprefix(_PREFIX).rstrip("=")
    try:
        key = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise SecretError("a webhook secret is whsec_ followed by base64") from None
    if not 24 <= len(key) <= 64:
        raise SecretError(f"a webhook secret holds 24 to 64 bytes, this one {len(key)}")
    return key


def _matched(pattern: re.Pattern[str], headers: Mapping[str, str], name: str) -> str:
    value = headers.get(name, "")
    if not pattern.fullmatch(value):
        raise SignatureError(f"the header {name} is missing or malformed")
    return value
