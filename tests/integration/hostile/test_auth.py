"""Who has no key, a wrong one or one in the wrong place gets the same 401 at every route, and changes nothing."""

import base64

import pytest

from tests.integration.hostile.house import (
    GOOD,
    House,
    assert_problem,
    filled,
    on_one_database,
    visitor,
)

pytestmark = [pytest.mark.asyncio(loop_scope="session"), on_one_database]


def presented(house: House) -> dict[str, dict[str, str]]:
    """Headers that prove nothing."""
    key = house.keys["acme"]
    prefix, id, secret = key.split("_", 2)
    return {
        "none": {},
        "nothing": {"authorization": ""},
        "no key after Bearer": {"authorization": "Bearer "},
        "an unknown id": {"authorization": f"Bearer {prefix}_nobody_{secret}"},
        "a wrong secret": {"authorization": f"Bearer {key[:-1]}{'A' if key[-1] != 'A' else 'B'}"},
        "half a secret": {"authorization": f"Bearer {key[:-20]}"},
        "another's secret": {
            "authorization": f"Bearer {prefix}_{id}_{house.keys['other'].split('_', 2)[2]}"
        },
        "two keys": {"authorization": f"Bearer {key}, Bearer {key}"},
        "the hash": {"authorization": "Bearer sha256:" + "0" * 64},
        "basic": {"authorization": "Basic " + base64.b64encode(f"{id}:{secret}".encode()).decode()},
        "another header": {"x-api-key": key, "cookie": f"key={key}"},
        "very long": {"authorization": "Bearer " + "x" * 30_000},
        "not ASCII": {"authorization": "Bearer \u00ff\u00fe"},
    }


@pytest.mark.parametrize(
    "name",
    [
        "none", "nothing", "no key after Bearer", "an unknown id", "a wrong secret",
        "half a secret", "another's secret", "two keys", "the hash", "basic", "another header",
        "very long", "not ASCII",
    ],
)  # fmt: skip
async def test_without_a_key_every_route_is_401(house: House, name: str) -> None:
    routes = [route for route in house.routes() if route.path.startswith("/v1/")]
    assert len(routes) >= 60
    headers = [
        (key.encode(), value.encode("latin-1")) for key, value in presented(house)[name].items()
    ]
    details = set()
    async with house.unchanged(), visitor(house) as stranger:
        for route in routes:
            answer = await stranger.request(
                route.method,
                filled(route.path),
                json=GOOD.get((route.method, route.path), {}) if route.takes_json else None,
                headers=headers,
            )
            assert_problem(answer, 401)
            assert answer.headers["www-authenticate"] == "Bearer"
            details.add(answer.json()["detail"])
    assert len(details) == 1


@pytest.mark.parametrize("parameter", ["key", "api_key", "access_token", "authorization"])
async def test_a_key_in_the_query_is_none(house: House, parameter: str) -> None:
    async with house.unchanged(), visitor(house) as stranger:
        for route in house.routes():
            answer = await stranger.request(
                route.method,
                filled(route.path),
                params={parameter: house.keys["acme"]},
                json={} if route.takes_json else None,
            )
            assert_problem(answer, 401)
            assert house.keys["acme"] not in answer.text


async def test_a_body_is_not_read_for_who_has_no_key(house: House) -> None:
    """The events door decides by the headers alone; what is large and anonymous costs nothing."""
    answer = await house.client.post(
        "/v1/events", content=b"x" * 2_000_000, headers={"authorization": "Bearer none"}
    )
    assert_problem(answer, 401)
