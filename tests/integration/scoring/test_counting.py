"""Responses in, scores out, on both databases: counted once, whatever happens on the way."""



from tests.integration.scoring.conftest import Scoring
from tests.unit.scoring.responses import chose, deleted, nps, paths, rated, received, response


async def test_a_response_becomes_a_score(scoring: Scoring) -> None:
    batch = [received(response(f"r{i}", nps(value))) for i, value in enumerate([10, 9, 8, 3])]
    await scoring.counting.handle(batch)

    [item] = await scoring.scores(metric="buy.recommend")

    assert item["metric"] == "buy.recommend"
    assert (item["kind"], item["scale"]) == ("nps", "0-10")
    assert (item["value"], item["n"], item["small_n"]) == (25.0, 4, True)
    assert item["interval"]["level"] == 0.95
    assert item["interval"]["low"] < 25 < item["interval"]["high"]
    assert item["counts"] == {"promoters": 2, "passives": 1, "detractors": 1}
    assert (item["from"], item["to"]) == ("2026-11-23", "2026-11-23")
    assert item["group"] == {}
