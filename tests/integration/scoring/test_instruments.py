"""What scoring is measured by: each revision that counts, and how soon after it was stored."""

from datetime import UTC, datetime, timedelta

from tests.integration.scoring.conftest import Scoring
from tests.support import Told
from tests.unit.scoring.responses import nps, received, response


async def test_a_revision_is_as_late_as_it_is_old_and_counts_once(scoring: Scoring) -> None:
    told = Told()
    now = datetime.now(UTC)
    first = received(response("r1", nps(9), changed_at=now - timedelta(seconds=8)))
    other = received(response("r2", nps(3), changed_at=now))
    await scoring.counting.handle([first, other, first])
    edit = received(response("r1", nps(2), revision=2, changed_at=now))
    await scoring.counting.handle([edit, first, other])  # the others are replays

    assert told("responses_counted_total") == 3
    assert told("answered_to_scored_seconds_count") == 3
    assert told("answered_to_scored_seconds_bucket", le="5.0") == 2
    assert 8 <= told("answered_to_scored_seconds_sum") < 20
