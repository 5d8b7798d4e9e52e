"""The token of a survey link: enough to show the survey before anything else is known, and unforgeable."""

import base64
import binascii
import hashlib
import hmac
import struct
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import NamedTuple

from shared.errors import AfterwordError, StartupError

_MAC_BYTES = 16
_VERSION = 1


class BadToken(AfterwordError):
    """Not a token of ours; says no more, so that guesses learn nothing."""


class Token(NamedTuple):
    """What a link carries. The expiry is the invitation's, to the second."""

    workspace: str
    survey: str
    invitation: str
    expires_at: datetime


@dataclass(frozen=True)
class KeyRing:
    """Keys by id; the first signs, all verify, so that a key can be rotated while its links live."""

    keys: tuple[tuple[str, bytes], ...]

    @classmethod
    def parse(cls, text: str) -> "KeyRing":
        """Read `id:base64[,id:base64]`. Raises `StartupError` without repeating a key."""
        keys = []
        for part in text.split(","):
            name, _, encoded = part.strip().partition(":")
            try:
                key = base64.b64decode(encoded, validate=True)
            except ValueError as error:  # also for what is not ASCII
                raise StartupError(
                    f"AFTERWORD_TOKEN_KEYS: the key {name!r} is not base64"
                ) from error
            if not name or len(name) > 32 or len(key) < 32:
                raise StartupError(
                    "AFTERWORD_TOKEN_KEYS must be id:base64[,id:base64] with keys of 32 bytes or more"
                )
            keys.append((name, key))
        return cls(tuple(keys))

    def sign(self, token: Token) -> str:
        """The text of the token, safe in a path."""
        name, key = self.keys[0]
        payload = _pack(name, token)
        return _encode(payload + _mac(key, payload))

    def verify(self, text: str) -> Token:
        """Read a token. Raises `BadToken`; an expired one is returned, because its page says so. Constant time."""
        if len(text) > 1_000:
            raise BadToken("malformed")
        try:
            raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        except (binascii.Error, ValueError) as error:
            raise BadToken("malformed") from error
        if _encode(raw) != text or len(raw) <= _MAC_BYTES:
            raise BadToken("malformed")
        payload, mac = raw[:-_MAC_BYTES], raw[-_MAC_BYTES:]
        name, token = _unpack(payload)
        key = dict(self.keys).get(name, b"")
        if not hmac.compare_digest(_mac(key, payload), mac) or not key:
            raise BadToken("forged")
        return token


def _mac(key: bytes, payload: bytes) -> bytes:
    mac = _keyed(key).copy()
    mac.update(payload)
    return mac.digest()[:_MAC_BYTES]


@lru_cache(maxsize=32)
def _keyed(key: bytes) -> hmac.HMAC:
    """The part of the MAC that all tokens of a key have in common; to work it out costs more than the rest."""
    return hmac.new(key, b"afterword.survey-link.v1:", hashlib.sha256)


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _pack(name: str, token: Token) -> bytes:
    head = struct.pack(">BI", _VERSION, int(token.expires_at.timestamp()))
    key, workspace = name.encode(), token.workspace.encode()
    survey, invitation = token.survey.encode(), token.invitation.encode()
    return b"%b%c%b%c%b%c%b%c%b" % (
        *(head, len(key), key, len(workspace), workspace),
        *(len(survey), survey, len(invitation), invitation),
    )


def _unpack(payload: bytes) -> tuple[str, Token]:
    try:
        version, expires = struct.unpack_from(">BI", payload)
        if version != _VERSION:
            raise BadToken("malformed")
        texts, rest = [], payload[5:]
        for _ in range(4):
            length, rest = rest[0], rest[1:]
            texts.append(rest[:length].decode())
            rest = rest[length:]
        name, workspace, survey, invitation = texts
    except (struct.error, IndexError, UnicodeDecodeError) as error:
        raise BadToken("malformed") from error
    return name, Token(workspace, survey, invitation, datetime.fromtimestamp(expires, tz=UTC))
