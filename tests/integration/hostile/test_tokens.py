"""Survey links that are none of ours: guessed, cut, swapped; each is answered alike, and guessing is answered 429."""

import base64
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from services.ingest.instruments import WRONG_TOKENS
from shared.tokens import KeyRing, Token
from tests.integration.hostile.house import URL, House, on_one_database, visitor
from tests.integration.hostile.wire import ask, served
from tests.support import TOKEN_KEYS

pytestmark = [pytest.mark.asyncio(loop_scope="session"), on_one_database]

BUDGET = 30


def raw(token: str) -> bytes:
    return base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))


def text(token: bytes) -> str:
    return base64.urlsafe_b64encode(token).decode().rstrip("=")


def forged(house: House) -> Iterator[str]:
    """Tokens that differ in what they would say, and are all signed by nobody."""
    mac = bytes(16)
    while True:
        for good in (house.token("i-1"), house.token("i-2", "none"), house.token("i-3", "x", "y")):
            yield text(raw(good)[:-16] + mac)


async def test_a_guesser_is_told_to_wait_and_nobody_else_is(house: House) -> None:
    guesses = forged(house)
    limited = WRONG_TOKENS.labels("limited")._value.get()
    async with house.unchanged(), visitor(house) as guesser, visitor(house) as neighbour:
        started = time.monotonic()
        answers = [await guesser.get(f"/s/{next(guesses)}") for _ in range(4 * BUDGET)]
        statuses = [answer.status_code for answer in answers]
        regained = int((time.monotonic() - started) / 60 * BUDGET) + 1
        assert statuses[:BUDGET] == [404] * BUDGET
        assert statuses.count(404) <= BUDGET + regained
        assert statuses.count(429) == len(statuses) - statuses.count(404)
        refused = next(answer for answer in answers if answer.status_code == 429)
        assert 1 <= int(refused.headers["retry-after"]) <= 2
        assert WRONG_TOKENS.labels("limited")._value.get() == limited + statuses.count(429)
        assert (await neighbour.get(f"/s/{next(guesses)}")).status_code == 404
        token = house.token("i-1")
        assert (await guesser.get(f"/s/{token}")).status_code == 200
        assert (await guesser.get(f"/s/{token}/qr.svg")).status_code == 200


async def test_every_door_of_a_link_counts(house: House) -> None:
    guesses = forged(house)
    async with house.unchanged(), visitor(house) as guesser:
        for _ in range(BUDGET + 2):
            await guesser.get(f"/s/{next(guesses)}")
        for method, path in (
            ("GET", ""), ("HEAD", ""), ("POST", ""), ("GET", "/thanks"), ("GET", "/stop"),
            ("POST", "/stop"), ("GET", "/qr.svg"),
        ):  # fmt: skip
            answer = await guesser.request(method, f"/s/{next(guesses)}{path}")
            assert answer.status_code == 429, (method, path)
        preview = {"token": next(guesses)}
        assert (await guesser.get("/s/preview/purchase-nps", params=preview)).status_code == 429


@pytest.mark.parametrize(("accept", "words"), [("zh", "请稍候再试"), ("en", "Please wait")])
async def test_the_page_says_so_in_the_visitors_language(
    house: House, accept: str, words: str
) -> None:
    async with visitor(house) as guesser:
        for _ in range(BUDGET + 1):
            await guesser.get("/s/none")
        answer = await guesser.get("/s/none", headers={"accept-language": accept})
        assert answer.status_code == 429
        assert words in answer.text
        assert answer.headers["content-language"].startswith(accept)


async def test_a_link_that_we_signed_is_no_guess(house: House) -> None:
    gone = house.token("i-1", workspace="gone")
    preview = KeyRing.parse(TOKEN_KEYS).sign(
        Token("acme", "purchase-nps", "", datetime.now(UTC) + timedelta(hours=1))
    )
    async with visitor(house) as customer:
        for _ in range(BUDGET + 2):
            assert (await customer.get(f"/s/{gone}")).status_code == 404
            assert (await customer.get(f"/s/{preview}")).status_code == 404


async def test_a_cut_or_swapped_token_opens_nothing(house: House) -> None:
    token, other = house.token("i-1"), house.token("i-2")
    expired = raw(house.token("i-1"))[:1] + bytes(4) + raw(house.token("i-1"))[5:]
    wrong = [token[:length] for length in range(1, len(token))]
    wrong += [token + extra for extra in ("A", "=", "==", "%3D", "%0A", "%00", "%C3%A9")]
    wrong += [text(raw(token)[:-16] + raw(other)[-16:]), token.upper(), token[::-1]]
    wrong += [text(expired), text(b"\xff" + raw(token)[1:]), text(raw(token) * 2), "A" * 4_000]
    async with house.unchanged():
        for each in wrong:
            async with visitor(house) as browser:
                answers = [
                    await browser.get(httpx.URL(URL).copy_with(raw_path=f"/s/{each}".encode())),
                    await browser.post(
                        httpx.URL(URL).copy_with(raw_path=f"/s/{each}".encode()),
                        data={"recommend": "9"},
                    ),
                ]
            assert {answer.status_code for answer in answers} <= {404, 405, 422}, each


async def guess(port: int, forwarded: str) -> int:
    head = f"GET /s/none HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: {forwarded}\r\n\r\n"
    return (await ask(port, head.encode())).status


async def test_a_client_cannot_say_who_it_is(house: House, port: int) -> None:
    """Without a trusted proxy the address is the connection's."""
    statuses = [await guess(port, f"198.51.100.{n}") for n in range(BUDGET + 5)]
    assert 429 in statuses


async def test_a_trusted_proxy_says_who_the_client_is(house: House) -> None:
    """The last address that is no proxy's counts; what the client wrote before it does not."""
    async with served(house.origin, trusted_proxies="127.0.0.0/8") as port:
        spoofed = [await guess(port, f"198.51.100.{n}, 203.0.113.5") for n in range(BUDGET + 5)]
        assert 429 in spoofed
        assert await guess(port, "203.0.113.6") == 404
        assert await guess(port, "203.0.113.5, 127.0.0.9") == 429
