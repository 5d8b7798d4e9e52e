"""The token of a survey link: enough to show the survey before anything else is known, and unforgeable."""

import base64
import binascii
import hashlib
import hmac
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache, partial
from pathlib import Path
from typing import NamedTuple

from shared.errors import AfterwordError, StartupError
from shared.watched import Watched

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


Keys = tuple[tuple[str, bytes], ...]


@dataclass(frozen=True)
class KeyRing:
    """Keys by id; the first signs, all verify, so that a key can be rotated while its links live."""

    _now: Callable[[], Keys]

    @classmethod
    def parse(cls, text: str) -> "KeyRing":
        """Read `id:base64[,id:base64]`. Raises `StartupError` without repeating a key."""
        keys = _parse(text, "AFTERWORD_TOKEN_KEYS")
        return cls(lambda: keys)

    @classmethod
    def load(cls, path: Path) -> "KeyRing":
        """Read the same from a file, or a key on each line, and again when it changes. Raises `StartupError`."""
        file = Watched("token keys", [path], partial(_read, path))
        return cls(lambda: file.value)

    def sign(self, token: Token) -> str:
        """The text of the token, safe in a path."""
        name, key = self._now()[0]
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
        key = dict(self._now()).get(name, b"")
        if not hmac.compare_digest(_mac(key, payload), mac) or not key:
            raise BadToken("forged")
        return token


def _read(path: Path) -> Keys:
    source = f"AFTERWORD_TOKEN_KEYS_FILE {path}"
    try:
        return _parse(path.read_text(encoding="utf-8"), source)
    except OSError as error:
        raise StartupError(f"{source} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise StartupError(f"{source} is not text") from error


def _parse(text: str, source: str) -> Keys:
    keys: dict[str, bytes] = {}
    for part in re.split(r"[,\s]+", text.strip()):
        name, _, encoded = part.partition(":")
        try:
            key = base64.b64decode(encoded, validate=True)
        except ValueError as error:  # also for what is not ASCII
            raise StartupError(f"{source}: the key {name!r} is not base64") from error
        if not name or len(name) > 32 or len(key) < 32:
            raise StartupError(
                f"{source} must be id:base64[,id:base64] with keys of 32 bytes or more"
            )
        if name in keys:
            raise StartupError(f"{source}: the key {name!r} stands twice")
        keys[name] = key
    return tuple(keys.items())


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
