"""The signature: the published vector, the reference library both ways, and everything malformed."""

import base64
import json
import time
from datetime import UTC, datetime

import pytest
from standardwebhooks import Webhook

from shared.webhook import SecretError, SignatureError, new_secret, sign, verify

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ID = "msg_p5jXN8AQM9LWM0D4loKWxJek"
AT = 1_614_265_330
BODY = b'{"test": 2432232314}'
VECTOR = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_the_published_vector() -> None:
    headers = sign([SECRET], ID, AT, BODY)
    assert headers == {
        "webhook-id": ID,
        "webhook-timestamp": str(AT),
        "webhook-signature": VECTOR,
    }
    verify([SECRET], headers, BODY, now=AT)


def test_the_reference_library_verifies_ours() -> None:
    secret, body = new_secret(), json.dumps({"who": "小明"}, ensure_ascii=False).encode()
    headers = sign([new_secret(), secret], ID, int(time.time()), body)
    assert Webhook(secret).verify(body, headers) == {"who": "小明"}


def test_we_verify_the_reference_library() -> None:
    secret = new_secret()
    signature = Webhook(secret).sign(ID, datetime.fromtimestamp(AT, UTC), BODY.decode())
    headers = {"Webhook-Id": ID, "WEBHOOK-TIMESTAMP": str(AT), "webhook-signature": signature}
    verify([secret], headers, BODY, now=AT)


def test_new_secrets_are_32_random_bytes() -> None:
    first, second = new_secret(), new_secret()
    assert first.startswith("whsec_")
    assert len(base64.b64decode(first.removeprefix("whsec_"), validate=True)) == 32
    assert first != second


def test_rotation_overlaps() -> None:
    old, new = new_secret(), new_secret()
    headers = sign([new, old], ID, AT, BODY)
    assert len(headers["webhook-signature"].split(" ")) == 2
    for known in ([old], [new], [new, old]):
        verify(known, headers, BODY, now=AT)
    with pytest.raises(SignatureError):
        verify([new_secret()], headers, BODY, now=AT)


@pytest.mark.parametrize("spelling", [SECRET.removeprefix("whsec_"), SECRET + "=="])
def test_a_secret_may_come_without_prefix_or_with_padding(spelling: str) -> None:
    assert sign([spelling], ID, AT, BODY)["webhook-signature"] == VECTOR


def test_an_unpadded_secret_is_the_padded_one() -> None:
    secret = new_secret()
    assert secret.endswith("=")
    assert sign([secret.rstrip("=")], ID, AT, BODY) == sign([secret], ID, AT, BODY)


@pytest.mark.parametrize(
    "secret", ["", "whsec_", "whsec_c2hvcnQ=", "whsec_!!!", "whsec_ключ", "whsec_" + "A" * 88]
)
def test_a_bad_secret_is_refused_without_being_told(secret: str) -> None:
    with pytest.raises(SecretError) as refused:
        sign([secret], ID, AT, BODY)
    assert secret.removeprefix("whsec_") == "" or secret not in str(refused.value)


def test_no_secret_is_refused() -> None:
    with pytest.raises(SecretError):
        sign([], ID, AT, BODY)


@pytest.mark.parametrize("message_id", ["", "a.b", "a b", "a\r\nx: y", "编号", "a" * 257])
def test_an_id_that_would_be_ambiguous_is_refused(message_id: str) -> None:
    with pytest.raises(ValueError, match="message id"):
        sign([SECRET], message_id, AT, BODY)


@pytest.mark.parametrize(
    ("skew", "passes"), [(300, True), (-300, True), (301, False), (-301, False)]
)
def test_the_tolerance_is_five_minutes_each_way(skew: int, passes: bool) -> None:
    headers = sign([SECRET], ID, AT, BODY)
    if passes:
        verify([SECRET], headers, BODY, now=AT + skew)
    else:
        with pytest.raises(SignatureError):
            verify([SECRET], headers, BODY, now=AT + skew)


@pytest.mark.parametrize(
    "decoys",
    ["v2,abc {}", "{} v1,", "  {}  ", "nonsense {}", "v1,a,b {}", ", {}", "v1a,{} {}", "v1,雨 {}"],
)
def test_decoys_beside_a_good_signature_do_not_matter(decoys: str) -> None:
    headers = sign([SECRET], ID, AT, BODY) | {"webhook-signature": decoys.replace("{}", VECTOR)}
    verify([SECRET], headers, BODY, now=AT)


@pytest.mark.parametrize(
    "change",
    [
        {"webhook-id": ""},
        {"webhook-id": "other"},
        {"webhook-id": "a.b"},
        {"webhook-id": "\ud800"},
        {"webhook-timestamp": ""},
        {"webhook-timestamp": str(AT + 1)},
        {"webhook-timestamp": f"{AT}.0"},
        {"webhook-timestamp": f" {AT}"},
        {"webhook-timestamp": f"-{AT}"},
        {"webhook-timestamp": "nan"},
        {"webhook-timestamp": "1" * 5_000},
        {"webhook-timestamp": "１６１４２６５３３０"},
        {"webhook-signature": ""},
        {"webhook-signature": "v1"},
        {"webhook-signature": "v1,"},
        {"webhook-signature": VECTOR[:-1]},
        {"webhook-signature": VECTOR.swapcase()},
        {"webhook-signature": VECTOR.replace("v1,", "v2,")},
        {"webhook-signature": VECTOR.replace(",", "")},
        {"webhook-signature": VECTOR + "\x00"},
        {"webhook-signature": "\ud800"},
        {"webhook-signature": "v1,x " * 10_000 + VECTOR},
    ],
)
def test_a_changed_header_is_a_signature_error(change: dict[str, str]) -> None:
    with pytest.raises(SignatureError):
        verify([SECRET], sign([SECRET], ID, AT, BODY) | change, BODY, now=AT)


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_a_missing_header_is_a_signature_error(name: str) -> None:
    headers = sign([SECRET], ID, AT, BODY)
    del headers[name]
    with pytest.raises(SignatureError, match=name):
        verify([SECRET], headers, BODY, now=AT)


@pytest.mark.parametrize("body", [b"", BODY + b" ", b"\xff\xfe", BODY.replace(b"2", b"3", 1)])
def test_another_body_is_a_signature_error(body: bytes) -> None:
    with pytest.raises(SignatureError):
        verify([SECRET], sign([SECRET], ID, AT, BODY), body, now=AT)


def test_any_bytes_can_be_signed() -> None:
    body = bytes(range(256))
    verify([SECRET], sign([SECRET], ID, AT, body), body, now=AT)
