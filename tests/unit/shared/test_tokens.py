"""Tokens of survey links: unforgeable, rotatable, and silent about why they fail."""

import base64
import statistics
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from shared import watched
from shared.errors import StartupError
from shared.tokens import BadToken, KeyRing, Token

TOKEN = Token(
    "acme",
    "purchase-nps",
    "0198b3a1-0000-7000-8000-000000000000",
    datetime(2026, 12, 1, 8, tzinfo=UTC),
)


def key(letter: bytes) -> str:
    return base64.b64encode(letter * 32).decode()


RING = KeyRing.parse(f"a:{key(b'a')}")


def test_a_token_comes_back_as_it_was_signed_and_fits_a_path() -> None:
    text = RING.sign(TOKEN)
    assert RING.verify(text) == TOKEN
    assert len(text) < 160
    assert text.replace("-", "").replace("_", "").isalnum()


def test_every_flipped_bit_is_noticed() -> None:
    raw = bytearray(base64.urlsafe_b64decode(RING.sign(TOKEN) + "=="))
    for place in range(len(raw)):
        for bit in range(8):
            forged = bytearray(raw)
            forged[place] ^= 1 << bit
            with pytest.raises(BadToken):
                RING.verify(base64.urlsafe_b64encode(forged).decode().rstrip("="))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "=",
        "é",
        "A" * 2_000,
        RING.sign(TOKEN)[:-1],
        RING.sign(TOKEN) + "A",
        RING.sign(TOKEN) + "=",
    ],
)
def test_what_is_not_a_token_is_refused(text: str) -> None:
    with pytest.raises(BadToken):
        RING.verify(text)


def test_an_old_key_verifies_while_the_new_one_signs() -> None:
    old = RING.sign(TOKEN)
    rotated = KeyRing.parse(f"b:{key(b'b')}, a:{key(b'a')}")
    assert rotated.verify(old) == TOKEN
    with pytest.raises(BadToken):
        RING.verify(rotated.sign(TOKEN))
    with pytest.raises(BadToken):
        KeyRing.parse(f"a:{key(b'c')}").verify(old)


@pytest.mark.parametrize(
    "text",
    ["", "a", "a:", "a:!!!", "a:ключ", "a:" + base64.b64encode(b"short").decode(), ":" + key(b"a")],
)
def test_a_key_ring_that_is_wrong_says_so_without_repeating_the_key(text: str) -> None:
    with pytest.raises(StartupError, match="AFTERWORD_TOKEN_KEYS") as caught:
        KeyRing.parse(text)
    secret = text.partition(":")[2]
    assert not secret or secret not in str(caught.value)


def test_a_key_that_stands_twice_is_refused() -> None:
    with pytest.raises(StartupError, match="'a' stands twice"):
        KeyRing.parse(f"a:{key(b'a')},a:{key(b'b')}")


def test_a_ring_in_a_file_is_rotated_without_a_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watched, "LOOK_SECONDS", 0.0)
    file = tmp_path / "token-keys"
    file.write_text(f"a:{key(b'a')}\n")
    asking, answering = KeyRing.load(file), KeyRing.load(file)
    old = asking.sign(TOKEN)
    file.write_text(f"a:{key(b'a')}\nb:{key(b'b')}\n")  # known everywhere before it signs anywhere
    assert answering.verify(KeyRing.parse(f"b:{key(b'b')}").sign(TOKEN)) == TOKEN
    assert asking.sign(TOKEN) == old
    file.write_text(f"b:{key(b'b')}\na:{key(b'a')}\n")
    new = asking.sign(TOKEN)
    assert new != old
    assert answering.verify(new) == answering.verify(old) == TOKEN
    file.write_text(f"b:{key(b'b')}\n")
    assert answering.verify(new) == TOKEN
    with pytest.raises(BadToken):
        answering.verify(old)


@pytest.mark.parametrize("content", [b"", b"a:short", b"\xff\xfe"])
def test_a_ring_file_that_is_wrong_is_refused_by_its_setting(
    tmp_path: Path, content: bytes
) -> None:
    file = tmp_path / "token-keys"
    file.write_bytes(content)
    for wrong in (file, tmp_path / "none"):
        with pytest.raises(StartupError, match="AFTERWORD_TOKEN_KEYS_FILE"):
            KeyRing.load(wrong)


def test_no_wrong_token_takes_longer_than_another() -> None:
    """Of the right shape, whatever is wrong: the same steps. The bound is loose; medians of alternating runs."""
    unknown = KeyRing.parse(f"other:{key(b'o')}")
    shapes = {
        "forged": RING.sign(TOKEN),
        "long expired": RING.sign(TOKEN._replace(expires_at=datetime(2020, 1, 1, tzinfo=UTC))),
        "no such workspace": RING.sign(TOKEN._replace(workspace="gone")),
        "no such key": unknown.sign(TOKEN),
    }
    wrong = {}
    for name, text in shapes.items():
        raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        wrong[name] = base64.urlsafe_b64encode(raw[:-16] + bytes(16)).decode().rstrip("=")
    took: dict[str, list[float]] = {name: [] for name in wrong}
    for _ in range(2_000):
        for name, text in wrong.items():
            started = time.perf_counter()
            with pytest.raises(BadToken):
                RING.verify(text)
            took[name].append(time.perf_counter() - started)
    medians = {name: statistics.median(each) for name, each in took.items()}
    assert max(medians.values()) < 1.5 * min(medians.values()), medians
