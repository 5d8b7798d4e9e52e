"""GET /v1/scores on both databases: filters, groups, levels, periods, and what is refused."""

from datetime import date
from typing import Any

import httpx
import pytest

from services.scoring.api import scores as routes
from tests.integration.scoring.conftest import Scoring
from tests.unit.scoring.responses import chose, nps, paths, rated, received, response


@pytest.fixture
async def told(scoring: Scoring) -> Scoring:
    """Nine answers in four stores, over two months; employee is not rolled up."""
    rows = [
        ("a", 10, "cn/east/1", "app", "li", date(2026, 10, 30)),
        ("b", 9, "cn/east/1", "app", "wang", date(2026, 10, 31)),
        ("c", 3, "cn/east/2", "web", "li", date(2026, 11, 1)),
        ("d", 8, "cn/west/3", "app", "li", date(2026, 11, 2)),
        ("e", 10, "cn/west/3", "web", "wang", date(2026, 11, 8)),
        ("f", 0, "cn/eastern/4", "web", "wang", date(2026, 11, 9)),
        ("g", 10, "cn/eastern/4", "app", "li", date(2026, 11, 9)),
    ]
    batch = [
        response(id, nps(value), day=day, dimensions=paths(org=org, product=product, employee=who))
        for id, value, org, product, who, day in rows
    ]
    batch += [
        response("h", nps(10), day=date(2026, 11, 9)),
        response("i", nps(1), day=date(2026, 11, 9), dimensions=paths(org="CN/EAST/1")),
    ]
    await scoring.counting.handle([received(message) for message in batch])
    return scoring


async def groups(scoring: Scoring, by: list[str], **asked: Any) -> dict[tuple[object, ...], int]:
    """n by group."""
    items = await scoring.scores(kind="nps", by=by, **asked)
    return {tuple(item["group"].values()): item["n"] for item in items}


async def test_an_org_prefix_filters_by_whole_segments(told: Scoring) -> None:
    assert await groups(told, [], where="org:cn") == {(): 7}
    assert await groups(told, [], where="org:cn/east") == {(): 3}
    assert await groups(told, [], where="org:cn/east/") == {(): 3}
    assert await groups(told, [], where="org:cn/east/1") == {(): 2}
    assert await groups(told, [], where="org:cn/eas") == {}
    assert await groups(told, [], where="org:CN") == {(): 1}
    assert await groups(told, [], where="org:") == {(): 1}
    assert await groups(told, [], where="org:c%") == {}
    assert await groups(told, [], where=["org:cn/east", "product:app"]) == {(): 2}


async def test_groups_by_dimension_and_level(told: Scoring) -> None:
    assert await groups(told, ["org@1"]) == {("cn",): 7, ("CN",): 1, (None,): 1}
    assert await groups(told, ["org@2"], where="org:cn") == {
        ("cn/east",): 3,
        ("cn/eastern",): 2,
        ("cn/west",): 2,
    }
    assert await groups(told, ["org@9"]) == await groups(told, ["org"])
    assert await groups(told, ["product", "org@2"], where="org:cn/east") == {
        ("app", "cn/east"): 2,
        ("web", "cn/east"): 1,
    }


async def test_what_cells_do_not_keep_is_answered_from_the_facts(told: Scoring) -> None:
    assert await groups(told, ["employee"]) == {("li",): 4, ("wang",): 3, (None,): 2}
    assert await groups(told, ["employee", "org@2", "month"], where="product:web") == {
        ("li", "cn/east", "2026-11-01"): 1,
        ("wang", "cn/west", "2026-11-01"): 1,
        ("wang", "cn/eastern", "2026-11-01"): 1,
    }
    assert await groups(told, [], where="employee:li", **{"from": "2026-11-01"}) == {(): 3}


async def test_facts_and_cells_agree(told: Scoring) -> None:
    for by in (["org"], ["org@2"], ["product"], ["day"], ["week"], ["month"], ["touchpoint"]):
        whole = await groups(told, by)
        parts = await groups(told, [*by, "employee"])
        added: dict[tuple[object, ...], int] = {}
        for key, n in parts.items():
            added[key[:-1]] = added.get(key[:-1], 0) + n
        assert added == whole


async def test_a_data_scope_goes_by_what_responses_brought(told: Scoring) -> None:
    [east] = await told.scores("east", kind="nps")
    assert east["n"] == 3
    # Derived here under the same name, it groups and filters, and lets nobody see more.
    answer = await told.rebuild(dimensions={"org": "customer.region"})
    assert answer.status_code == 200, answer.text
    mine = response("x", nps(5), dimensions=paths(org="cn/east/9"), customer={"region": "us"})
    theirs = response("y", nps(5), dimensions=paths(org="us/1"), customer={"region": "cn/east"})
    await told.counting.handle([received(mine), received(theirs)])
    assert {
        item["group"]["org"]: item["n"] for item in await told.scores("east", kind="nps", by="org")
    } == {
        None: 3,
        "us": 1,
    }


async def test_days_weeks_and_months(told: Scoring) -> None:
    assert await groups(told, ["week"]) == {
        ("2026-10-26",): 3,
        ("2026-11-02",): 2,
        ("2026-11-09",): 4,
    }
    assert await groups(told, ["month"]) == {("2026-10-01",): 2, ("2026-11-01",): 7}
    assert len(await groups(told, ["day"])) == 6
    range_ = {"from": "2026-10-31", "to": "2026-11-02"}
    [item] = await told.scores(kind="nps", **range_)
    assert (item["n"], item["from"], item["to"]) == (3, "2026-10-31", "2026-11-02")


async def test_journey_touchpoint_survey_and_metric(scoring: Scoring) -> None:
    batch = [
        response("a", nps(10, metric="loyalty")),
        response("b", nps(0, metric="loyalty"), survey="sell", journey=None, touchpoint="shop"),
    ]
    await scoring.counting.handle([received(message) for message in batch])
    [whole] = await scoring.scores(metric="loyalty")
    assert (whole["value"], whole["n"]) == (0.0, 2)
    by = await scoring.scores(metric="loyalty", by=["survey", "journey", "touchpoint"])
    assert [item["group"] for item in by] == [
        {"survey": "buy", "journey": "purchase", "touchpoint": "checkout"},
        {"survey": "sell", "journey": None, "touchpoint": "shop"},
    ]
    [one] = await scoring.scores(metric="loyalty", touchpoint="shop")
    assert one["value"] == -100.0
    [one] = await scoring.scores(survey="sell")
    assert (one["survey"], one["metric"]) == ("sell", "loyalty")
    assert await scoring.scores(metric="loyalty", journey="none") == []


async def test_a_metric_of_several_surveys_is_found_among_the_facts(scoring: Scoring) -> None:
    by_li = paths(employee="li")
    batch = [
        response(str(i), nps(10, metric=metric), survey=survey, dimensions=by_li)
        for i, (survey, metric) in enumerate(
            [("buy", "loyalty"), ("sell", "loyalty"), ("sell", "other"), ("rent", "other")]
        )
    ]
    batch.append(response("2", revision=2, survey="sell", dimensions=by_li))
    await scoring.counting.handle([received(message) for message in batch])
    asked: dict[str, Any] = {"where": "employee:li", "by": "survey"}
    found = {
        metric: [
            (item["group"]["survey"], item["n"])
            for item in await scoring.scores(metric=metric, **asked)
        ]
        for metric in ("loyalty", "other", "none")
    }
    assert found == {"loyalty": [("buy", 1), ("sell", 1)], "other": [("rent", 1)], "none": []}


async def test_scales_and_kinds_stay_apart(scoring: Scoring) -> None:
    answers = [rated(4), rated(4, "1-7"), rated(8, "0-10")]
    batch = [received(response(str(i), answer)) for i, answer in enumerate(answers)]
    await scoring.counting.handle(batch)
    items = await scoring.scores(metric="rate")
    assert [(item["kind"], item["scale"], item["value"]) for item in items] == [
        ("rating", "0-10", 8.0),
        ("rating", "1-5", 4.0),
        ("rating", "1-7", 4.0),
    ]


async def test_shares_are_of_those_who_answered(scoring: Scoring) -> None:
    ticked = [("price", "staff"), ("price",), ("price", "price"), ()]
    batch = [received(response(str(i), chose(*options))) for i, options in enumerate(ticked)]
    await scoring.counting.handle(batch)
    answer = (await scoring.get("/v1/scores", kind="choice")).json()
    [item] = answer["items"]
    assert (item["n"], item["histogram"]) == (4, {"price": 3, "staff": 1})
    assert item["shares"]["price"]["value"] == 75.0
    assert item["shares"]["staff"]["interval"]["low"] > 0
    assert list(answer["methods"]) == ["choice"]


async def test_the_order_is_the_same_every_time(told: Scoring) -> None:
    asked: dict[str, Any] = {"kind": "nps", "by": ["employee", "org", "day"]}
    first = await told.scores(**asked)
    assert first == await told.scores(**asked)
    assert len(first) == 9


HOSTILE = [
    ("", "metric"),
    ("kind=mean", "kind"),
    ("metric=", "metric"),
    ("kind=nps&form=2026-01-01", "form"),
    ("kind=nps&from=yesterday", "from"),
    ("kind=nps&from=20260101", "from"),
    ("kind=nps&from=1700000000", "from"),
    ("kind=nps&to=2026-02-30", "to"),
    ("kind=nps&to=0000-01-01", "to"),
    ("kind=nps&from=2026-02-01&to=2026-01-01", "from"),
    ("kind=nps&from=2000-01-01&to=2026-01-01", "from"),
    ("kind=nps&where=org", "where[0]"),
    ("kind=nps&where=:x", "where[0]"),
    ("kind=nps&where=day:2026-01-01", "where[0]"),
    ("kind=nps&where=org:cn&where=orgs:cn", "where"),
    ("kind=nps&by=colour", "by"),
    ("kind=nps&by=day@2", "by[0]"),
    ("kind=nps&by=org@0", "by[0]"),
    ("kind=nps&by=org@x", "by[0]"),
    ("kind=nps&by=org@99", "by[0]"),
    ("kind=nps&by=%27%3Bdrop%20table%20cells", "by[0]"),
    ("kind=nps&by=" + "o" * 5_000, "by[0]"),
    ("kind=nps&" + "&".join("by=org" for _ in range(9)), "by"),
    ("kind=nps&" + "&".join("where=org:x" for _ in range(21)), "where"),
    ("metric=" + "m" * 601, "metric"),
]
ODD = [
    "metric='%20or%201=1--",
    "survey=%F0%9F%98%80%FF",
    "kind=nps&where=org:%22%7D%5B%25_%5C",
    "kind=nps&where=org:///",
    "kind=nps&from=0001-01-01&to=0001-01-02",
    "kind=nps&to=9999-12-31&by=week&by=month",
    "kind=nps&by=org&by=org&by=org@2",
]


async def test_hostile_queries_are_refused_by_the_name_of_what_is_wrong(told: Scoring) -> None:
    for query, at in HOSTILE:
        answer = await told.get(f"/v1/scores?{query}")
        assert answer.status_code == 422, (query, answer.text)
        assert answer.headers["content-type"] == "application/problem+json"
        named = answer.json()["errors"][0]["at"].removeprefix("query.")
        assert named == at, query
    for query in ("kind=nps&where=org:%00", "metric=%00"):
        assert (await told.get(f"/v1/scores?{query}")).status_code == 422


async def test_odd_queries_are_answered(told: Scoring) -> None:
    for query in ODD:
        answer = await told.get(f"/v1/scores?{query}")
        assert answer.status_code == 200, (query, answer.text)


async def test_an_unknown_dimension_names_the_known_ones(told: Scoring) -> None:
    error = (await told.get("/v1/scores?kind=nps&by=orgs")).json()["errors"][0]
    assert error["message"] == "there is no dimension 'orgs'"
    assert error["expected"] == "one of: employee, org, product"


async def test_too_many_groups_are_refused_with_advice(
    told: Scoring, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routes, "MAX_GROUPS", 5)
    answer = await told.get("/v1/scores?kind=nps&by=org&by=day")
    assert answer.status_code == 422
    assert "month for day" in answer.json()["errors"][0]["expected"]
    monkeypatch.setattr(routes, "MAX_ROWS", 3)
    assert (await told.get("/v1/scores?kind=nps")).status_code == 422


async def test_nothing_is_read_without_the_scope(told: Scoring) -> None:
    assert (await told.client.get("/v1/scores?kind=nps")).status_code == 401
    wrong = httpx.Headers({"authorization": "Bearer awk_key-acme_wrong"})
    assert (await told.client.get("/v1/scores?kind=nps", headers=wrong)).status_code == 401
