"""A key with a data scope sees what lies in it on every route that shows feedback, and nothing else anywhere."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from shared.auth import WITHIN_DATA_SCOPE, Scope
from shared.http.pages import decode_cursor
from tests.integration.conftest import BOTH, lasting_database
from tests.integration.hostile.house import GOOD, filled
from tests.integration.whole.limited import STORES, House, open_house, unit
from tests.support import eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")

FEEDBACK = WITHIN_DATA_SCOPE - {Scope.DEFINITIONS_READ}
LISTS = ("/v1/responses", "/v1/decisions", "/v1/invitations", "/v1/alerts", "/v1/deliveries")
MUST_ASK: dict[str, dict[str, str]] = {"/v1/scores": {"kind": "nps"}}
"""What a list does not answer without."""
SEEN = {
    "east": ["cn/east/store-12", "cn/east/store-13"],
    "east-pro": ["cn/east/store-12"],
    "pro": ["cn/east/store-12", "cn/eastern/store-14", "kiosk"],
    "nowhere": [],
}


@pytest.fixture(scope="session", params=BOTH)
def limited_database_url(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    yield from lasting_database(request, tmp_path_factory)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def house(
    limited_database_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[House]:
    directory: Path = tmp_path_factory.mktemp("limited")
    async with open_house(limited_database_url, directory) as house:
        yield house


async def test_every_route_that_shows_feedback_is_limited(house: House) -> None:
    """Made from the routes themselves, so that a new one which forgets the data scope fails here."""
    shown = [route for route in house.routes() if route.scope in FEEDBACK]
    assert {route.method for route in shown} == {"GET"}
    assert len(shown) >= 11
    for path in {route.path.removesuffix("/{id}") for route in shown}:
        everything = await house.items("acme", path, **MUST_ASK.get(path, {}))
        limited = await house.items("east", path, **MUST_ASK.get(path, {}))
        assert limited, f"give the house something that {path} shows of cn/east"
        assert limited != everything, path
        assert await house.items("nowhere", path, **MUST_ASK.get(path, {})) == []
    for path in (route.path for route in shown if "{" in route.path):
        assert path.endswith("/{id}"), f"say here how {path} is limited"
        parent = path.removesuffix("/{id}")
        mine = await house.ids("east", parent)
        for id in await house.ids("acme", parent):
            assert (await house.clients["acme"].get(f"{parent}/{id}")).status_code == 200
            assert await hidden(house.clients["nowhere"], f"{parent}/", id)
            assert await hidden(house.clients["east"], f"{parent}/", id) is (id not in mine)


async def hidden(client: httpx.AsyncClient, parent: str, id: str) -> bool:
    """Whether an id is answered as one that does not exist."""
    answer, unknown = await client.get(parent + id), await client.get(parent + "no-such-id")
    assert unknown.status_code == 404
    if answer.status_code == 200:
        return False
    detail = answer.json()["detail"].replace(id, "no-such-id")
    return (answer.status_code, detail) == (404, unknown.json()["detail"])


async def test_every_other_route_needs_a_key_without_a_data_scope(house: House) -> None:
    refused = [route for route in house.routes() if route.scope not in WITHIN_DATA_SCOPE]
    calls = [(route.method, route.path) for route in refused]
    assert len(calls) >= 40
    for method, path in [*calls, ("POST", "/v1/events")]:
        body = GOOD.get((method, path), {}) if method in ("POST", "PUT") else None
        answer = await house.clients["east"].request(method, filled(path), json=body)
        assert answer.status_code == 403, f"{method} {path}: {answer.text}"
        assert answer.json()["type"] == "/problems/data-scope"
        assert "data scope (org)" in answer.json()["detail"]


async def test_definitions_are_read_whole(house: House) -> None:
    for method, path, scope in house.routes():
        if scope is Scope.DEFINITIONS_READ and "{" not in path:
            assert method == "GET"
            assert await house.ids("east", path) == await house.ids("acme", path)


@pytest.mark.parametrize("key", list(SEEN))
async def test_lists_show_what_lies_in_the_scope(house: House, key: str) -> None:
    for path in ("/v1/responses", "/v1/invitations"):
        found = await house.items(key, path)
        assert sorted(item["dimensions"]["org"]["path"] for item in found) == SEEN[key]
    for path in ("/v1/decisions", "/v1/alerts", "/v1/deliveries"):
        assert len(await house.ids(key, path)) == len(SEEN[key]), path


async def test_scores_count_what_lies_in_the_scope(house: House) -> None:
    for key, paths in SEEN.items():
        items = await house.items(key, "/v1/scores", kind="nps", by="org")
        assert [item["group"]["org"] for item in items] == paths
        # By the facts, which alone keep a brand: the same.
        items = await house.items(key, "/v1/scores", kind="nps", by=["org", "brand"])
        assert [item["group"]["org"] for item in items] == paths
    [item] = await house.items("east", "/v1/scores", survey="purchase-nps")
    assert {value for value, n in item["histogram"].items() if n} == {"0", "1"}


async def test_to_ask_for_what_lies_outside_is_to_ask_for_what_does_not_exist(house: House) -> None:
    for where in ("org:cn/west", "org:cn/nothing", "org:kiosk", "org:", "brand:none"):
        answer = await house.clients["east"].get(
            "/v1/scores", params={"kind": "nps", "where": where}
        )
        assert (answer.status_code, answer.json()) == (200, {"items": [], "methods": {}})
    [whole] = await house.items("acme", "/v1/scores", kind="nps", where="org:cn")
    [part] = await house.items("east", "/v1/scores", kind="nps", where="org:cn")
    assert (whole["n"], part["n"]) == (4, 2)
    outside = (await house.items("acme", "/v1/responses", customer="c3"))[0]
    for path, params in (
        ("/v1/responses", {"customer": "c3"}),
        ("/v1/responses", {"invitation": outside["invitation"]}),
        ("/v1/decisions", {"customer": "c3"}),
        ("/v1/decisions", {"event": "p-91"}),
        ("/v1/decisions", {"outcome": "no_trigger"}),
        ("/v1/invitations", {"event": "p-3", "source": "/shop"}),
        ("/v1/alerts", {"response": outside["id"]}),
        ("/v1/deliveries", {"alert": (await house.ids("acme", "/v1/alerts", customer="c3"))[0]}),
    ):
        assert await house.items("acme", path, **params)
        assert await house.items("east", path, **params) == []


@pytest.mark.parametrize("path", LISTS)
async def test_cursors_skip_nothing_and_name_only_what_is_seen(house: House, path: str) -> None:
    whole = await house.ids("pro", path)
    found: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = (await house.clients["pro"].get(path, params={"limit": "1"} | cursor)).json()
        found += [item["id"] for item in page["items"]]
        if page["next"] is None:
            break
        assert len(page["items"]) == 1
        cursor = {"cursor": page["next"]}
        assert decode_cursor(page["next"], *position(path))[-1] == found[-1]  # type: ignore[index]  # there is one
    assert found == whole
    assert len(found) == len(SEEN["pro"])
    # A cursor of somebody who sees more shows nothing more.
    foreign = (await house.clients["acme"].get(path, params={"limit": 1})).json()["next"]
    assert set(await house.ids("pro", path, cursor=foreign)) <= set(whole)


def position(path: str) -> tuple[type, ...]:
    """What the cursor of a list is made of; the id is its last part."""
    return (str, str) if path == "/v1/responses" else (str,)


async def test_rights_follow_a_unit_that_moves_where_units_are_known(house: House) -> None:
    async def seen(path: str, **params: Any) -> int:
        return len(await house.ids("east", path, **params))

    async def moved(parent: str, count: int) -> None:
        answer = await house.clients["acme"].put("/v1/units/store-15", json=unit(parent))
        assert answer.status_code == 200, answer.text
        assert await seen("/v1/responses") == count

        async def followed() -> bool:
            return await seen("/v1/invitations") == count

        await eventually(followed, what="trigger's copy of the unit")
        assert await seen("/v1/decisions") == count

    [response] = await house.ids("acme", "/v1/responses", customer="c3")
    await moved("east", 3)
    assert (await house.clients["east"].get(f"/v1/responses/{response}")).status_code == 200
    # Scoring and alerting keep no units: there a row stays where it was.
    assert await seen("/v1/alerts") == await seen("/v1/deliveries") == 2
    items = await house.items("east", "/v1/scores", kind="nps", by="org")
    assert [item["group"]["org"] for item in items] == SEEN["east"]
    await moved("west", 2)
    assert (await house.clients["east"].get(f"/v1/responses/{response}")).status_code == 404


async def test_what_is_limited_lacks_nothing_else(house: House) -> None:
    """All keys together see each store once, and the one without a store is seen by none of them."""
    paths = {path for _, _, path in STORES} - {"cn/west/store-15"}
    found = [await house.items(key, "/v1/responses") for key in ("east", "pro")]
    assert {item["dimensions"]["org"]["path"] for items in found for item in items} == paths
