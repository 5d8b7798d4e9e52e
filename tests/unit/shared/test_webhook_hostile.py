"""Whatever text arrives, the webhook code answers with its own errors and no other."""

from contextlib import suppress
from datetime import UTC, datetime

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from yarl import URL

from shared.webhook import (
    SignatureError,
    UrlError,
    check_url,
    forbidden,
    new_secret,
    retry_after,
    sign,
    verify,
)

NOW = datetime(2026, 3, 1, tzinfo=UTC)
URL_PIECES = st.lists(
    st.sampled_from(
        [
            "https://",
            "http://",
            "//",
            "@",
            ":",
            ".",
            "/",
            "?",
            "#",
            "%",
            "[",
            "]",
            "::1",
            "127",
            "0x7f",
            "1",
            "localhost",
            "example.com",
            "。",
            "①",
            "ß",
            "xn--",
            "-",
            "443",
            "\u200d",
            "é",
            "..",
            "a",
        ]
    ),
    max_size=8,
).map("".join)


@given(st.one_of(st.text(), URL_PIECES, URL_PIECES.map("https://".__add__)))
@settings(max_examples=1_000)
def test_a_url_is_good_for_the_http_client_too_or_a_url_error(text: str) -> None:
    with suppress(UrlError):
        check_url(text, allow_loopback=False)
        assert URL(text).scheme == "https"
        check_url(str(URL(text)), allow_loopback=False)


@given(st.text(), st.text(), st.text(), st.binary())
@example("a", "1", "v1,\udcff", b"")
def test_a_forgery_is_a_signature_error(
    message_id: str, at: str, offered: str, body: bytes
) -> None:
    headers = {"webhook-id": message_id, "webhook-timestamp": at, "webhook-signature": offered}
    with pytest.raises(SignatureError):
        verify([new_secret()], headers, body, now=int(NOW.timestamp()))


@given(st.binary(), st.from_regex(r"[A-Za-z0-9_:/-]{1,256}", fullmatch=True), st.integers(0, 2**32))
def test_whatever_is_signed_verifies(body: bytes, message_id: str, at: int) -> None:
    secrets = [new_secret(), new_secret()]
    for known in secrets:
        verify([known], sign(secrets, message_id, at, body), body, now=at)


@given(
    st.one_of(
        st.text(), st.from_regex(r"[A-Z][a-z]{2}, -?\d+ [A-Z][a-z]{2} \d+ \d+:\d+:\d+ .{0,9}")
    )
)
def test_a_retry_after_is_a_day_at_most_or_nothing(text: str) -> None:
    seconds = retry_after(text, NOW)
    assert seconds is None or 0 <= seconds <= 86_400


@given(st.ip_addresses())
def test_the_development_setting_never_forbids_more(ip: object) -> None:
    if forbidden(str(ip), allow_loopback=False) is None:
        assert forbidden(str(ip), allow_loopback=True) is None
