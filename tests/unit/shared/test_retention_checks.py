"""What `doctor` is told of partitions."""

from dataclasses import replace
from datetime import date

import pytest

from shared.outlook import Outlook, RangeOutlook
from shared.retention_routes import checks_of

DAY = date(2026, 1, 2)
OLD = RangeOutlook("decisions_20250101", None, DAY, rows=1, bytes=8_192, waits=False)
WELL = Outlook("decisions", ["decisions"], 400, DAY, None, rows=0, days_ahead=8, partitions=[OLD])


@pytest.mark.parametrize(
    ("outlook", "states"),
    [
        (WELL, ["ok"]),
        (replace(WELL, days_ahead=None), []),
        (replace(WELL, days_ahead=0), ["warn"]),
        (replace(WELL, partitions=[OLD, replace(OLD, waits=True)]), ["warn"]),
    ],
)
def test_partitions_that_are_missing_or_cannot_go_are_told(
    outlook: Outlook, states: list[str]
) -> None:
    assert [check.state for check in checks_of(outlook)] == states
