"""The routes: a workspace sees its own, bad input changes nothing, secrets stand in one answer alone."""

import json
from typing import Any

import sqlalchemy as sa

from services.alerting.tables import deliveries, outbox
from tests.integration.alerting.conftest import UNHAPPY, Alerting
from tests.unit.alerting.responses import received, response

URL = "http://127.0.0.1:9999/hook"


async def stocked(alerting: Alerting, count: int = 1) -> dict[str, str]:
    """A rule, an endpoint and alerts; the ids that routes take."""
    await alerting.put_rule()
    await alerting.put_endpoint(URL)
    await alerting.handle(*(received(response(f"r{n}")) for n in range(count)))
    [delivery, *_] = await alerting.deliveries()
    return {"delivery": delivery["id"], "alert": delivery["alert"]}


async def test_other_workspaces_ids_answer_like_unknown_ones(alerting: Alerting) -> None:
    ids = await stocked(alerting)
    span = {"from": "2026-01-01T00:00:00Z", "to": "2027-01-01T00:00:00Z"}
    routes: list[tuple[str, str, str, Any]] = [
        ("GET", "/v1/alert-rules/{}", "unhappy", None),
        ("DELETE", "/v1/alert-rules/{}", "unhappy", None),
        ("GET", "/v1/endpoints/{}", "crm", None),
        ("DELETE", "/v1/endpoints/{}", "crm", None),
        ("GET", "/v1/endpoints/{}/secret", "crm", None),
        ("POST", "/v1/endpoints/{}/secret/rotate", "crm", None),
        ("POST", "/v1/endpoints/{}/test", "crm", None),
        ("POST", "/v1/endpoints/{}/replay", "crm", span),
        ("GET", "/v1/alerts/{}", ids["alert"], None),
        ("GET", "/v1/deliveries/{}", ids["delivery"], None),
        ("POST", "/v1/deliveries/{}/replay", ids["delivery"], None),
    ]
    for method, path, id, body in routes:
        theirs = await alerting.call(method, path.format(id), "other", json=body, expect=404)
        unknown = await alerting.call(
            method, path.format("nothing"), "other", json=body, expect=404
        )
        same = theirs.json()["detail"].replace(id, "nothing")
        assert same == unknown.json()["detail"], path
    for path in ("/v1/alerts", "/v1/deliveries", "/v1/endpoints", "/v1/alert-rules"):
        assert (await alerting.get(path, "other"))["items"] == []
    [still] = await alerting.deliveries()
    assert still["replayed_by"] is None


async def test_the_same_ids_in_two_workspaces_are_two_things(alerting: Alerting) -> None:
    await stocked(alerting)
    await alerting.put_endpoint(URL, workspace="other")
    assert await alerting.secret() != await alerting.secret(workspace="other")
    assert await alerting.deliveries("other") == []
    await alerting.call("DELETE", "/v1/endpoints/crm", "other", expect=204)
    [delivery] = await alerting.deliveries()
    assert delivery["state"] == "pending"


async def test_a_secret_stands_in_no_listing_and_no_announcement(alerting: Alerting) -> None:
    ids = await stocked(alerting)
    await alerting.call("POST", "/v1/endpoints/crm/secret/rotate", expect=200)
    answer = await alerting.call("GET", "/v1/endpoints/crm/secret", expect=200)
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json()["secret"].startswith("whsec_")
    shown = [
        await alerting.get("/v1/endpoints"),
        await alerting.get("/v1/endpoints/crm"),
        await alerting.get(f"/v1/deliveries/{ids['delivery']}"),
        await alerting.get("/v1/operations/alerting/status"),
    ]
    assert "whsec_" not in json.dumps(shown)
    async with alerting.database.read() as tx:
        values = (await tx.execute(sa.select(outbox.c.value))).scalars().all()
    assert values
    assert not any(b"whsec_" in value for value in values if value)


async def test_putting_the_same_endpoint_again_keeps_its_secret(alerting: Alerting) -> None:
    await alerting.put_endpoint(URL)
    secret = await alerting.secret()
    await alerting.put_endpoint(URL, description="the CRM")
    assert await alerting.secret() == secret


async def test_a_dry_run_makes_no_secret_and_a_pruned_endpoint_loses_its_own(
    alerting: Alerting,
) -> None:
    endpoint = {"kind": "endpoint", "id": "crm", "url": URL}
    path = "/v1/apply/alerting"
    wish = {"documents": [endpoint]}
    await alerting.call("POST", f"{path}?dry-run=true", json=wish, expect=200)
    await alerting.call("GET", "/v1/endpoints/crm/secret", expect=404)
    await alerting.call("POST", path, json=wish, expect=200)
    assert (await alerting.secret()).startswith("whsec_")
    await alerting.put_rule()
    await alerting.handle(received(response()))
    rule = {"kind": "alert-rule", "id": "unhappy"} | UNHAPPY
    await alerting.call("POST", path, json={"documents": [rule], "prune": True}, expect=200)
    await alerting.call("GET", "/v1/endpoints/crm/secret", expect=404)
    [cancelled] = await alerting.deliveries()
    assert (cancelled["state"], cancelled["reason"]) == ("cancelled", "endpoint_deleted")


async def test_lists_filter_and_page(alerting: Alerting) -> None:
    await stocked(alerting, 5)
    seen: list[str] = []
    cursor = None
    while True:
        params: dict[str, Any] = {"limit": 2} | ({"cursor": cursor} if cursor else {})
        page = await alerting.get("/v1/alerts", **params)
        seen += [alert["id"] for alert in page["items"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert len(seen) == len(set(seen)) == 5
    assert seen == sorted(seen, reverse=True)

    def count(page: dict[str, Any]) -> int:
        return len(page["items"])

    assert count(await alerting.get("/v1/alerts", response="r3")) == 1
    assert count(await alerting.get("/v1/alerts", customer="c1", rule="unhappy")) == 5
    assert count(await alerting.get("/v1/alerts", customer="c2")) == 0
    assert count(await alerting.get("/v1/alerts", state="withdrawn")) == 0
    assert count(await alerting.get("/v1/deliveries", endpoint="crm", state="pending")) == 5
    assert count(await alerting.get("/v1/deliveries", alert=seen[0])) == 1
    page = await alerting.get("/v1/deliveries", limit=3)
    rest = await alerting.get("/v1/deliveries", limit=3, cursor=page["next"])
    assert count(page) + count(rest) == 5
    assert rest["next"] is None


WRONG_FILTERS = {
    "/v1/alerts?state=open": "query.state",
    "/v1/alerts?limit=0": "query.limit",
    "/v1/alerts?cursor=zzz": "cursor",
    "/v1/deliveries?state=held": "query.state",
    "/v1/deliveries?limit=1000000": "query.limit",
    "/v1/deliveries?cursor=WzFd": "cursor",
}
HOSTILE = (
    "/v1/alerts/%00",
    "/v1/deliveries/a%00b",
    "/v1/endpoints/%00/secret",
    "/v1/alerts?customer=%00",
    "/v1/deliveries?endpoint=%00",
    "/v1/alerts?cursor=WyJcdTAwMDAiXQ",
    "/v1/alerts/%FF%FE",
    "/v1/alerts?customer=%ED%A0%80",
)
WRONG_SPANS: tuple[tuple[dict[str, Any], str], ...] = (
    ({"from": "2026-01-02T00:00:00Z", "to": "2026-01-01T00:00:00Z"}, "to"),
    ({"from": "2026-01-01T00:00:00", "to": "2026-01-02T00:00:00Z"}, "from"),
    ({"from": "0001-01-01T00:00:00+14:00", "to": "2026-01-02T00:00:00Z"}, "from"),
    ({"to": "2026-01-02T00:00:00Z"}, "from"),
    ({"from": "2026-01-01T00:00:00Z", "to": "2026-01-02T00:00:00Z", "all": True}, "all"),
)


async def test_a_wrong_filter_is_named(alerting: Alerting) -> None:
    for path, at in WRONG_FILTERS.items():
        answer = await alerting.call("GET", path, expect=422)
        assert answer.json()["errors"][0]["at"] == at


async def test_hostile_text_never_reaches_the_database(alerting: Alerting) -> None:
    for path in HOSTILE:
        answer = await alerting.call("GET", path)
        assert answer.status_code < 500, (path, answer.text)


async def test_a_wrong_span_replays_nothing(alerting: Alerting) -> None:
    await stocked(alerting)
    async with alerting.database.begin() as tx:
        await tx.execute(sa.update(deliveries).values(state="failed"))
    for span, at in WRONG_SPANS:
        answer = await alerting.call("POST", "/v1/endpoints/crm/replay", json=span, expect=422)
        assert answer.json()["errors"][0]["at"] == at
    assert len(await alerting.deliveries(state="failed")) == 1


async def test_without_the_scope_no_route_answers(alerting: Alerting) -> None:
    for path in ("/v1/alerts", "/v1/deliveries/x", "/v1/endpoints/crm/secret"):
        bare = await alerting.client.get(path)
        assert bare.status_code == 401
