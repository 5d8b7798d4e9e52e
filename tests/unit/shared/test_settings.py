"""Settings that would be silently wrong are refused."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from shared.settings import Settings


def settings(trusted_proxies: str = "", **others: Any) -> Settings:
    return Settings(
        log_url="sqlite:///log",
        database_url="sqlite:///database",
        access_file=Path("access.yaml"),
        trusted_proxies=trusted_proxies,
        **{"token_keys": SecretStr("a:b")} | others,
    )


def test_proxies_are_addresses_and_networks() -> None:
    assert settings("").trusted_proxies == ""
    assert settings("10.0.0.0/8, ::1,").trusted_proxies == "10.0.0.0/8,::1"


@pytest.mark.parametrize("wrong", ["*", "gateway", "10.0.0.1/8", "10.0.0.0/33", "10.0.0.1:80"])
def test_a_proxy_that_would_never_match_or_always_is_refused(wrong: str) -> None:
    with pytest.raises(ValidationError, match="trusted_proxies"):
        settings(wrong)


@pytest.mark.parametrize(
    "both_or_none", [{"token_keys": None}, {"token_keys_file": Path("token-keys")}]
)
def test_there_is_one_key_ring(both_or_none: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="set one of AFTERWORD_TOKEN_KEYS_FILE"):
        settings(**both_or_none)
