"""With the database away the survey page says so in the customer's language, and keeps what was typed."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
import structlog
from pydantic import SecretStr

from services.ingest.main import open_service
from services.ingest.settings import Settings
from shared.auth import Access
from shared.contracts.topics import topic_specs
from shared.http.middleware import shown_path
from shared.log.opening import open_log
from shared.tokens import KeyRing, Token
from tests.support import TOKEN_KEYS, write_access

NOBODY = "postgresql://postgres@127.0.0.1:1/none"


@pytest.fixture
async def browser(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    """Of an ingest that has a log and no database."""
    write_access(tmp_path / "access.yaml")
    settings = Settings(
        log_url=f"sqlite:///{tmp_path / 'log'}",
        database_url=NOBODY,
        access_file=tmp_path / "access.yaml",
        token_keys=SecretStr(TOKEN_KEYS),
    )
    access = Access.load(settings.access_file)
    async with open_log(settings.log_url) as log:
        await log.create_topics(topic_specs())
        async with (
            open_service(settings, log, access) as service,
            httpx.AsyncClient(
                transport=httpx.ASGITransport(app=service.app), base_url="http://a"
            ) as browser,
        ):
            yield browser


@pytest.fixture
def token() -> str:
    """Of a link that is right."""
    expires = datetime.now(UTC) + timedelta(days=1)
    return KeyRing.parse(TOKEN_KEYS).sign(Token("acme", "buy", "i-1", expires))


async def test_an_answer_stays_in_the_page_until_the_database_is_back(
    browser: httpx.AsyncClient, token: str
) -> None:
    with structlog.testing.capture_logs() as lines:
        shown = await browser.get(f"/s/{token}", headers={"accept-language": "zh"})
        kept = await browser.post(
            f"/s/{token}",
            data={"recommend": "3", "comment": 'the "queue"', "_lang": "en"},
        )
        stop = await browser.post(f"/s/{token}/stop")
    assert shown.status_code == 503
    assert "请稍候" in shown.text
    assert shown.headers["retry-after"]
    assert kept.status_code == 503
    assert 'name="comment" value="the &#34;queue&#34;"' in kept.text
    assert 'name="recommend" value="3"' in kept.text
    assert f'action="/s/{token}"' in kept.text
    assert stop.status_code == 503
    assert [line for line in lines if line["event"] == "page_unavailable"]
    assert token not in str(lines)


async def test_a_wrong_link_never_asks_the_database(browser: httpx.AsyncClient, token: str) -> None:
    """So nothing that is stored makes one answer slower than another: here every question would be a 503."""
    for wrong in (token[:-1], token[:-20] + "A" * 20, "none"):
        for method in ("GET", "POST"):
            assert (await browser.request(method, f"/s/{wrong}")).status_code == 404


def test_the_token_of_a_link_never_stands_in_a_logged_path() -> None:
    assert shown_path("/s/abc.def/stop") == "/s/.../stop"
    assert shown_path("/s/abc") == "/s/..."
    assert shown_path("/v1/surveys/s/abc") == "/v1/surveys/s/abc"
