"""The survey page: what it shows, what it takes, and that looking at it changes nothing."""

import asyncio
import base64
from pathlib import Path
from typing import Any

from prometheus_client import generate_latest

from tests.integration.ingest.answering import SURVEY, Desk, invitation, open_desk
from tests.support import statements_seen


async def test_a_link_opens_before_the_invitation_is_here_and_looking_changes_nothing(
    desk: Desk,
) -> None:
    token = desk.token("i-1")
    before = await desk.everything()
    for path in ("", "?answer=9", "?lang=zh", "/thanks", "/stop", "/qr.svg"):
        for method in ("GET", "HEAD"):
            answer = await desk.browser.request(method, f"/s/{token}{path}")
            assert answer.status_code in (200, 303), path
    assert await desk.everything() == before


async def test_an_answer_is_taken_once_and_joined_as_it_was(desk: Desk) -> None:
    await desk.hear(invitation("i-1"))
    token = desk.token("i-1")
    first = await desk.answer(
        token, recommend="9", _version="1", _shown="recommend", comment="dropped"
    )
    assert first.status_code == 303
    assert first.headers["location"].startswith(f"/s/{token}/thanks")
    assert "Thank you" in (await desk.browser.get(first.headers["location"])).text
    again = await desk.answer(token, recommend="0")
    assert again.status_code == 303
    [message] = await desk.announced()
    assert message["key"] == "acme/c-1"
    data = message["data"]
    assert data["revision"] == 1
    assert data["day"] == "2026-03-02"
    assert data["customer"] == {"id": "c-1", "attributes": {"tier": "gold", "note": None}}
    assert data["transaction"]["data"] == {"amount": 12.5, "gift": None}
    assert data["dimensions"] == {"org": {"value": "s12", "path": "cn/east/s12"}}
    assert data["trigger"] == "after-purchase"
    assert data["answers"] == [
        {
            "question": "recommend",
            "kind": "nps",
            "metric": "buy.recommend",
            "scale": "0-10",
            "value": 9,
        }
    ]
    assert "Thank you" in (await desk.browser.get(f"/s/{token}")).text


async def test_fifty_posts_at_once_make_one_response(desk: Desk) -> None:
    for id, known in (("i-1", True), ("i-2", False)):
        if known:
            await desk.hear(invitation(id))
        token = desk.token(id)
        posts = await asyncio.gather(
            *(desk.answer(token, recommend=str(i % 11), comment="x") for i in range(50))
        )
        assert {post.status_code for post in posts} == {303}
    assert [row.state for row in sorted(await desk.stored(), key=lambda row: row.invitation)] == [
        "submitted",
        "parked",
    ]
    assert len(await desk.announced()) == 1


async def test_an_answer_opens_the_next_question_and_nothing_typed_is_lost(desk: Desk) -> None:
    token = desk.token("i-1")
    step = await desk.answer(token, recommend="3", _version="1", _shown="recommend")
    assert step.status_code == 200
    assert 'name="comment"' in step.text
    assert 'value="3" id="' not in step.text
    assert 'value="3" checked' in step.text
    assert await desk.stored() == []
    long = await desk.answer(
        token, recommend="3", comment="y" * 51, _shown=["recommend", "comment"]
    )
    assert long.status_code == 422
    assert "y" * 51 in long.text
    assert "at most 50" in long.text
    done = await desk.answer(token, recommend="3", comment="", _shown=["recommend", "comment"])
    assert done.status_code == 303


async def test_a_wrong_number_is_an_error_at_its_question(desk: Desk) -> None:
    token = desk.token("i-1")
    for wrong in ("", "11", "-1", "9.5", "nine", "９", "1e1", "0x1", " 9", "9" * 5000):
        answer = await desk.answer(token, recommend=wrong, _shown="recommend")
        assert answer.status_code == 422, wrong
        assert 'id="q1-error"' in answer.text
        assert 'aria-describedby="q1-error q1-ends"' in answer.text
    assert await desk.stored() == []


async def test_the_version_that_was_shown_is_the_one_that_is_answered(desk: Desk) -> None:
    changed = {**SURVEY, "questions": SURVEY["questions"][:1]}
    await desk.put_survey(changed)
    await desk.put_survey({**changed, "state": "draft", "title": {"en": "Draft", "zh": "草稿"}})
    for id, version in (
        ("i-1", "1"),
        ("i-2", "2"),
        ("i-3", "3"),
        ("i-4", "x"),
        ("i-5", "99999999999"),
    ):
        fields = {"recommend": "5", "comment": "c", "_version": version}
        assert (await desk.answer(desk.token(id), **fields)).status_code == 303
    versions = {row.invitation: row.survey_version for row in await desk.stored()}
    assert versions == {"i-1": 1, "i-2": 2, "i-3": 2, "i-4": 2, "i-5": 2}


async def test_what_is_asked_changes_with_the_next_opening(desk: Desk) -> None:
    """Pages are made from what is kept, so each look must find out whether it still is what is asked."""
    token, parked = desk.token("i-1"), desk.token("i-2")

    async def opened(link: str = token) -> tuple[int, str]:
        answer = await desk.browser.get(f"/s/{link}")
        return answer.status_code, answer.text

    for title in ("Your purchase", "Second", "Third"):
        await desk.put_survey({**SURVEY, "title": {"en": title, "zh": "标题"}})
        for link in (token, parked):
            status, text = await opened(link)
            assert (status, f"<h1>{title}</h1>" in text) == (200, True)
    assert (await desk.api("DELETE", "/v1/surveys/buy")).status_code == 204
    assert (await opened())[0] == 404
    await desk.put_survey({**SURVEY, "state": "draft"})
    assert (await opened())[0] == 404
    await desk.put_survey()
    assert (await opened())[0] == 200
    await desk.hear(invitation("i-1", state="stopped"))
    assert (await opened())[0] == 410
    assert (await desk.answer(parked, recommend="9")).status_code == 303
    assert "Thank you" in (await opened(parked))[1]


async def test_what_one_workspace_asks_is_never_shown_in_another(desk: Desk) -> None:
    question = {"id": "only", "kind": "csat", "text": {"en": "Theirs?"}}
    other = {"title": {"en": "Others"}, "questions": [question]}
    put = await desk.api("PUT", "/v1/surveys/buy", workspace="other", json=other)
    assert put.status_code == 201
    for _ in range(2):
        mine, theirs = await asyncio.gather(
            desk.browser.get(f"/s/{desk.token('i-1')}"),
            desk.browser.get(f"/s/{desk.token('i-1', workspace='other')}"),
        )
        assert "Would you recommend us?" in mine.text
        assert "Theirs?" not in mine.text
        assert "Theirs?" in theirs.text
        assert "Would you recommend us?" not in theirs.text


async def test_links_opened_at_once_are_each_shown_their_own_page(desk: Desk) -> None:
    for survey in ("one", "two", "gone"):
        await desk.put_survey({**SURVEY, "title": {"en": f"About {survey}", "zh": "标题"}}, survey)
    await desk.put_survey({**SURVEY, "title": {"en": "About two, again", "zh": "标题"}}, "two")
    await desk.api("DELETE", "/v1/surveys/gone")
    cases: dict[str, tuple[int, str, dict[str, Any]]] = {
        "open": (200, "<h1>About one</h1>", {"survey": "one"}),
        "newer": (200, "<h1>About two, again</h1>", {"survey": "two"}),
        "gone": (404, "There is no survey here", {"survey": "gone"}),
        "none": (404, "There is no survey here", {"survey": "none"}),
        "other": (404, "There is no survey here", {"survey": "one", "workspace": "other"}),
        "expired": (410, "This link has expired", {"survey": "one", "days": -1}),
        "stopped": (410, "closed for you", {"survey": "one"}),
        "answered": (200, "Thank you", {"survey": "one"}),
    }
    await desk.hear(*(invitation(f"stopped-{n}", state="stopped") for n in range(5)))
    links = [
        (name, n, desk.token(f"{name}-{n}", **link))
        for n in range(5)
        for name, (_, _, link) in cases.items()
    ]
    for name, _, token in links:
        if name == "answered":
            assert (await desk.answer(token, recommend="9")).status_code == 303
    answers = await asyncio.gather(*(desk.browser.get(f"/s/{token}") for _, _, token in links))
    for (name, n, token), answer in zip(links, answers, strict=True):
        status, words, _ = cases[name]
        assert (answer.status_code, words in answer.text) == (status, True), (name, n)
        own = f'<form method="post" action="/s/{token}"' in answer.text
        assert own == (f'href="/s/{token}/stop?lang=en"' in answer.text)
        assert own == (name in ("open", "newer")), (name, n)


async def test_a_page_costs_one_statement(desk: Desk) -> None:
    await desk.hear(invitation("i-1"))
    token = desk.token("i-1")
    assert (await desk.browser.get(f"/s/{token}")).status_code == 200
    with statements_seen() as statements:
        assert (await desk.browser.get(f"/s/{token}?lang=zh")).status_code == 200
    assert len(statements) == 1


async def test_the_metrics_name_the_route_and_never_the_link(desk: Desk) -> None:
    token = desk.token("i-1")
    for method, path in (("GET", ""), ("POST", ""), ("GET", "/thanks"), ("DELETE", "")):
        await desk.browser.request(method, f"/s/{token}{path}")
    measured = generate_latest().decode()
    assert token not in measured
    for method, route, status in (
        ("GET", "", 200),
        ("POST", "", 422),
        ("GET", "/thanks", 303),
        ("DELETE", "", 405),
    ):
        labels = (
            f'{{method="{method}",route="/s/{{token}}{route}",service="ingest",status="{status}"}}'
        )
        assert f"afterword_http_request_seconds_count{labels}" in measured


async def test_a_preselected_answer_stays_in_the_page_that_asked_for_it(desk: Desk) -> None:
    token = desk.token("i-1")
    for query, checked in (("9", "9"), ("3", "3"), ("", None), ("09", "9"), ("99", None)):
        page = (await desk.browser.get(f"/s/{token}", params={"answer": query})).text
        assert page.count(" checked") == (checked is not None)
        assert checked is None or f'value="{checked}" checked' in page
        assert f'href="?answer={query}&amp;lang=zh"' in page
    assert 'href="?lang=zh"' in (await desk.browser.get(f"/s/{token}")).text
    evil = (await desk.browser.get(f"/s/{token}", params={"answer": '"><b>'})).text
    assert 'href="?answer=%22%3E%3Cb%3E&amp;lang=zh"' in evil


async def test_no_byte_of_a_token_can_be_changed(database_url: str, tmp_path: Path) -> None:
    async with open_desk(database_url, tmp_path, wrong_tokens_per_minute=100_000) as desk:
        token = desk.token("i-1")
        raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
        for index in range(len(raw)):
            forged = bytearray(raw)
            forged[index] ^= 1
            text = base64.urlsafe_b64encode(bytes(forged)).decode().rstrip("=")
            for path in ("", "/thanks", "/stop", "/qr.svg"):
                assert (await desk.browser.get(f"/s/{text}{path}")).status_code == 404, index
            assert (await desk.answer(text, recommend="9")).status_code == 404
            assert (await desk.browser.post(f"/s/{text}/stop")).status_code == 404
        assert await desk.stored() == []


async def test_what_cannot_be_answered_says_so(desk: Desk) -> None:
    await desk.hear(
        invitation("i-stopped", state="stopped"), invitation("i-expired", state="expired")
    )
    cases = {
        desk.token("i-1", days=-1): (410, "expired"),
        desk.token("i-1", survey="nothing"): (404, "no survey"),
        desk.token("i-1", workspace="gone"): (404, "no survey"),
        desk.token("i-1", workspace="other"): (404, "no survey"),
        desk.token("i-stopped"): (410, "closed"),
        desk.token("i-expired"): (410, "expired"),
    }
    for token, (status, words) in cases.items():
        for answer in (
            await desk.browser.get(f"/s/{token}"),
            await desk.answer(token, recommend="9"),
        ):
            assert answer.status_code == status
            assert words in answer.text
    assert await desk.stored() == []


async def test_the_language_is_the_browsers_until_it_is_switched(desk: Desk) -> None:
    token = desk.token("i-1")
    for accept, lang, expected in (
        ("zh-CN,zh;q=0.9,en;q=0.8", None, "zh-CN"),
        ("de, en;q=0.5, zh;q=0.4", None, "en"),
        ("en;q=0, zh", None, "zh-CN"),
        ("", None, "en"),
        (";q=,,=;q=x" * 100, None, "en"),
        ("zh", "en", "en"),
        ("en", "zh", "zh-CN"),
        ("en", "xx", "en"),
    ):
        query = {"lang": lang} if lang else {}
        answer = await desk.browser.get(
            f"/s/{token}", params=query, headers={"accept-language": accept}
        )
        assert f'<html lang="{expected}">' in answer.text
        assert answer.headers["content-language"] == expected
    wrong = await desk.answer(token, _lang="zh", _shown="recommend")
    assert "请回答这个问题" in wrong.text


async def test_answer_in_the_link_only_preselects(desk: Desk) -> None:
    token = desk.token("i-1")
    nine = (await desk.browser.get(f"/s/{token}?answer=9")).text
    assert nine.count(" checked") == 1
    assert 'name="comment"' not in nine
    assert 'name="comment"' in (await desk.browser.get(f"/s/{token}?answer=3")).text
    for odd in ("11", "-1", "x", "９", "", "9" * 5000):
        page = await desk.browser.get(f"/s/{token}", params={"answer": odd})
        assert " checked" not in page.text
    assert await desk.stored() == []


async def test_nothing_that_is_typed_or_defined_becomes_markup(desk: Desk) -> None:
    evil = "<script>alert(1)</script>\"'&"
    survey = {
        "title": {"en": evil},
        "thanks": {"en": evil},
        "questions": [
            {
                "id": "c",
                "kind": "choice",
                "text": {"en": evil},
                "options": [{"id": "a", "text": {"en": evil}}],
            },
            {"id": "t", "kind": "text", "text": {"en": evil}, "max_length": 5},
        ],
    }
    await desk.put_survey(survey, "evil")
    token = desk.token("i-1", survey="evil")
    pages = [
        await desk.browser.get(f"/s/{token}", params={"lang": evil, "answer": evil}),
        await desk.answer(
            token, t=evil, c=evil, _lang=evil, _version=evil, _shown=["c", "t", evil]
        ),
        await desk.answer(token, c="a"),
        await desk.browser.get(f"/s/{token}"),
    ]
    for page in pages:
        assert "<script" not in page.text
        assert "alert(1)" not in page.text.replace(
            "&lt;script&gt;alert(1)&lt;/script&gt;&#34;&#39;&amp;", ""
        )


async def test_the_headers_let_a_page_do_nothing_but_send_its_form(desk: Desk) -> None:
    token = desk.token("i-1")
    nonces = set()
    for path in (f"/s/{token}", "/s/forged", f"/s/{token}/stop"):
        answer = await desk.browser.get(path)
        policy = answer.headers["content-security-policy"]
        nonce = policy.split("'nonce-")[1].split("'")[0]
        nonces.add(nonce)
        assert policy == (
            f"default-src 'none'; style-src 'nonce-{nonce}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
        )
        assert f'<style nonce="{nonce}">' in answer.text
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-robots-tag"] == "noindex"
    assert len(nonces) == 3


async def test_no_body_breaks_the_form(desk: Desk) -> None:
    headers = {"content-type": "application/x-www-form-urlencoded"}
    many = b"&".join([b"a=1"] * 2000)
    for body in (b"\xff\xfe%00", b"%", many, b"", b"recommend=%00"):
        answer = await desk.browser.post(f"/s/{desk.token('i-1')}", content=body, headers=headers)
        assert answer.status_code in (400, 422)
    assert await desk.stored() == []


async def test_text_that_no_database_holds_is_cleaned(desk: Desk) -> None:
    body = b"recommend=1&comment=a%00b%ED%A0%80%0D%0Ac"
    headers = {"content-type": "application/x-www-form-urlencoded"}
    answer = await desk.browser.post(f"/s/{desk.token('i-1')}", content=body, headers=headers)
    assert answer.status_code == 303
    [row] = await desk.stored()
    assert row.answers[1]["value"].startswith("ab")
    assert row.answers[1]["value"].endswith("\nc")


async def test_the_qr_code_is_the_link(desk: Desk) -> None:
    answer = await desk.browser.get(f"/s/{desk.token('i-1')}/qr.svg")
    assert answer.headers["content-type"] == "image/svg+xml"
    assert answer.text.startswith("<?xml")
    assert "<script" not in answer.text


async def test_a_preview_shows_the_draft_and_stores_nothing(desk: Desk) -> None:
    await desk.put_survey({**SURVEY, "state": "draft", "title": {"en": "Draft", "zh": "草稿"}})
    before = await desk.everything()
    made = (await desk.api("GET", "/v1/surveys/buy/preview")).json()
    assert made["version"] == 2
    page = await desk.browser.get(made["link"])
    assert "Draft" in page.text
    assert "nothing is stored" in page.text
    done = await desk.browser.post(made["link"], data={"recommend": "9", "_shown": "recommend"})
    assert done.status_code == 200
    assert "Thank you" in done.text
    token = made["link"].partition("token=")[2]
    assert (await desk.browser.get(f"/s/{token}")).status_code == 404
    assert (await desk.answer(token, recommend="9")).status_code == 404
    assert (await desk.browser.get(f"/s/preview/other?token={token}")).status_code == 404
    assert (
        await desk.browser.get("/s/preview/buy", params={"token": desk.token("i-1")})
    ).status_code == 404
    assert (await desk.browser.get("/s/preview/buy")).status_code == 404
    assert (await desk.api("GET", "/v1/surveys/buy/preview", workspace="other")).status_code == 404
    assert await desk.everything() == before
