"""Settings that would be silently wrong are refused."""

from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from shared.settings import Settings


def settings(trusted_proxies: str) -> Settings:
    return Settings(
        log_url="sqlite:///log",
        database_url="sqlite:///database",
        access_file=Path("access.yaml"),
        token_keys=SecretStr("a:b"),
        trusted_proxies=trusted_proxies,
    )


def test_proxies_are_addresses_and_networks() -> None:
    assert settings("").trusted_proxies == ""
    assert settings("10.0.0.0/8, ::1,").trusted_proxies == "10.0.0.0/8,::1"


@pytest.mark.parametrize("wrong", ["*", "gateway", "10.0.0.1/8", "10.0.0.0/33", "10.0.0.1:80"])
def test_a_proxy_that_would_never_match_or_always_is_refused(wrong: str) -> None:
    with pytest.raises(ValidationError, match="trusted_proxies"):
        settings(wrong)
