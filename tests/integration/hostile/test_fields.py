"""One thing wrong in an otherwise good document: too long, too many, not ours to set; named, and nothing is written."""

from typing import Any

import pytest

from shared.http.middleware import MAX_BODY_BYTES
from tests.integration.hostile.house import (
    GOOD,
    QUESTION,
    TEXT,
    House,
    assert_problem,
    filled,
    on_one_database,
)

pytestmark = pytest.mark.asyncio(loop_scope="session")

LONG = "长" * 100_000
MANY = 100_000
ALWAYS = {"path": "data.amount", "gt": 0}

Row = tuple[str, str, dict[str, Any], str]
ROWS: dict[str, Row] = {
    "a long attribute": ("PUT", "/v1/customers/{id}", {"attributes": {"a": LONG}}, "attributes"),
    "many attributes": (
        "PUT",
        "/v1/customers/{id}",
        {"attributes": {f"a{n}": 1 for n in range(20_000)}},
        "attributes",
    ),
    "a long locale": ("PUT", "/v1/customers/{id}", {"locale": LONG}, "locale"),
    "no time zone": ("PUT", "/v1/customers/{id}", {"time_zone": "../../etc/passwd"}, "time_zone"),
    "a long contact": ("PUT", "/v1/customers/{id}", {"contact": {"email": LONG}}, "contact.email"),
    "a contact with a newline": (
        "PUT",
        "/v1/customers/{id}",
        {"contact": {"email": "a@example.com\nBcc: b@example.com"}},
        "contact.email",
    ),
    "many customers": (
        "POST",
        "/v1/customers",
        {"customers": [{"id": f"c{n}"} for n in range(20_000)]},
        "customers",
    ),
    "a long id of a customer": ("POST", "/v1/customers", {"customers": [{"id": "c" * 256}]}, "id"),
    "a long name": ("PUT", "/v1/journeys/{id}", {"name": {"en": LONG, "zh": LONG}}, "name.en"),
    "many touchpoints": (
        "PUT",
        "/v1/journeys/{id}",
        {"touchpoints": [{"id": f"t{n}", "name": TEXT} for n in range(10_000)]},
        "touchpoints",
    ),
    "many aliases": (
        "PUT",
        "/v1/units/{id}",
        {"aliases": [f"S{n}" for n in range(MANY)]},
        "aliases",
    ),
    "a long alias": ("PUT", "/v1/units/{id}", {"aliases": [LONG]}, "aliases[0]"),
    "a long parent": ("PUT", "/v1/units/{id}", {"parent": "p" * 10_000}, "parent"),
    "many questions": (
        "PUT",
        "/v1/surveys/{id}",
        {"questions": [QUESTION | {"id": f"q{n}"} for n in range(5_000)]},
        "questions",
    ),
    "a long question": (
        "PUT",
        "/v1/surveys/{id}",
        {"questions": [QUESTION | {"text": {"en": LONG, "zh": LONG}}]},
        "questions[0].text.en",
    ),
    "many options": (
        "PUT",
        "/v1/surveys/{id}",
        {
            "questions": [
                {
                    "id": "c",
                    "kind": "choice",
                    "text": TEXT,
                    "options": [{"id": f"o{n}", "text": TEXT} for n in range(10_000)],
                }
            ]
        },
        "options",
    ),
    "a text of any length": (
        "PUT",
        "/v1/surveys/{id}",
        {"questions": [{"id": "t", "kind": "text", "text": TEXT, "max_length": 10**9}]},
        "max_length",
    ),
    "a question within itself": (
        "PUT",
        "/v1/surveys/{id}",
        {"questions": [QUESTION | {"show_if": {"path": "answers.recommend", "lte": 5}}]},
        "show_if",
    ),
    "a long answer": (
        "POST",
        "/v1/responses",
        {"answers": {"recommend": 9, "comment": LONG}},
        "answers.comment",
    ),
    "many answers": (
        "POST",
        "/v1/responses",
        {"answers": {f"q{n}": 1 for n in range(20_000)}},
        "answers",
    ),
    "true as a score": ("POST", "/v1/responses", {"answers": {"recommend": True}}, "recommend"),
    "a text as a score": ("POST", "/v1/responses", {"answers": {"recommend": "9"}}, "recommend"),
    "an edit with true": (
        "PUT",
        "/v1/responses/{id}",
        {"answers": {"recommend": True}},
        "",
    ),
    "a long id of a response": ("POST", "/v1/responses", {"id": "r" * 300}, "id"),
    "a long customer of a response": ("POST", "/v1/responses", {"customer": "c" * 300}, "customer"),
    "much data": (
        "POST",
        "/v1/responses",
        {"data": {f"k{n}": n for n in range(50_000)}},
        "data",
    ),
    "a wide condition": (
        "PUT",
        "/v1/triggers/{id}",
        {"when": {"all": [ALWAYS] * 10_000}},
        "when",
    ),
    "a deep condition": (
        "PUT",
        "/v1/triggers/{id}",
        {
            "when": {
                "not": {
                    "not": {
                        "not": {
                            "not": {
                                "not": {
                                    "not": {
                                        "not": {
                                            "not": {
                                                "not": {
                                                    "not": {
                                                        "not": {
                                                            "not": {
                                                                "not": {
                                                                    "not": {
                                                                        "not": {
                                                                            "not": {
                                                                                "not": {
                                                                                    "not": {
                                                                                        "not": {
                                                                                            "not": ALWAYS
                                                                                        }
                                                                                    }
                                                                                }
                                                                            }
                                                                        }
                                                                    }
                                                                }
                                                            }
                                                        }
                                                    }
                                                }
                                            }
                                        }
                                    }
                                }
                            }
                        }
                    }
                }
            }
        },
        "when",
    ),
    "a pattern that explodes": (
        "PUT",
        "/v1/triggers/{id}",
        {"when": {"path": "data.a", "matches": "(a{1,1000}){1,1000}"}},
        "when",
    ),
    "a delay of ages": ("PUT", "/v1/triggers/{id}", {"delay": "99999999999999d"}, "delay"),
    "an expiry in the past": ("PUT", "/v1/triggers/{id}", {"expires": "-1d"}, "expires"),
    "a state of ours": ("PUT", "/v1/triggers/{id}", {"active_from": "2020-01-01"}, "active_from"),
    "many dimensions": (
        "PUT",
        "/v1/triggers/{id}",
        {"dimensions": {f"d{n}": "data.a" for n in range(10_000)}},
        "dimensions",
    ),
    "a clock of ages": (
        "PUT",
        "/v1/contact-policies/{id}",
        {"after_invitation": "9" * 400 + "d"},
        "after_invitation",
    ),
    "a file as a URL": ("PUT", "/v1/channels/{id}", {"url": "file:///etc/passwd"}, "url"),
    "a long URL": ("PUT", "/v1/endpoints/{id}", {"url": "https://a.example/" + "a" * 9_000}, "url"),
    "metadata as a URL": ("PUT", "/v1/endpoints/{id}", {"url": "http://169.254.169.254/"}, "url"),
    "many types": (
        "PUT",
        "/v1/endpoints/{id}",
        {"types": [f"alert.t{n}" for n in range(20_000)]},
        "types",
    ),
    "an answer that is looked for in a long list": (
        "PUT",
        "/v1/alert-rules/{id}",
        {"when": {"path": "answers.recommend", "in": list(range(MANY))}},
        "when",
    ),
    "10,000 years": (
        "POST",
        "/v1/endpoints/{id}/replay",
        {"from": "0001-01-01T00:00:00Z", "to": "10000-01-01T00:00:00Z"},
        "to",
    ),
}


@on_one_database
@pytest.mark.parametrize("row", ROWS)
async def test_what_is_wrong_in_a_document_is_named(house: House, row: str) -> None:
    method, path, change, at = ROWS[row]
    document = GOOD[method, path] | change
    async with house.unchanged():
        answer = await house.client.request(method, filled(path, "none"), json=document)
        if path == "/v1/endpoints/{id}/replay":
            answer = await house.client.request(method, filled(path, "x"), json=document)
        if len(answer.request.content) > MAX_BODY_BYTES:
            assert_problem(answer, 413)
        elif row == "an edit with true":
            assert_problem(answer, 404)
        else:
            assert answer.status_code == 422, answer.text[:600]
            places = [error["at"] for error in answer.json()["errors"]]
            assert any(at in place for place in places), places[:5]
            assert len(answer.content) < 64 * 1024


@on_one_database
@pytest.mark.parametrize("operation", GOOD, ids=" ".join)
async def test_nobody_sets_what_is_ours(house: House, operation: tuple[str, str]) -> None:
    method, path = operation
    ours = {"workspace": "other", "tenant_id": "other", "changed_by": "root", "revision": 9}
    async with house.unchanged():
        for name, value in ours.items():
            answer = await house.client.request(
                method, filled(path, "x"), json=GOOD[operation] | {name: value}
            )
            assert_problem(answer, 422, name)


IDS = {
    "very long": "x" * 30_000,
    "a newline": "a%0Ab",
    "a carriage return": "a%0D%0ASet-Cookie:%20b",
    "NUL": "a%00b",
    "a terminal's escape": "a%1B%5B2Jb",
    "invalid UTF-8": "%FF%FE",
    "a surrogate": "%ED%A0%80",
    "up": "..%2F..%2Fetc%2Fpasswd",
    "SQL": "'%20OR%20'1'='1",
    "right to left": "%E2%80%AEa",
}


@pytest.mark.parametrize("name", IDS)
async def test_a_hostile_id_in_every_path_is_unknown_or_refused(house: House, name: str) -> None:
    routes = [route for route in house.routes() if "{id" in route.path]
    assert len(routes) >= 30
    async with house.unchanged():
        for route in routes:
            if (route.method, route.path) == ("PUT", "/v1/customers/{id}"):
                continue  # an id that an event may have is a customer's id: the unit tests say which
            answer = await house.client.request(
                route.method,
                house.client.base_url.copy_with(raw_path=filled(route.path, IDS[name]).encode()),
                json=GOOD.get((route.method, route.path)) if route.takes_json else None,
            )
            assert answer.status_code in (400, 404, 405, 422), f"{route}: {answer.text[:300]}"
            assert answer.headers["content-type"] == "application/problem+json"
            assert "set-cookie" not in answer.headers
