"""Decisions as they are stored, of any day."""

from typing import Any

from tests.support import days_ago, id_of


def row(days: float, outcome: str = "suppressed", **fields: Any) -> dict[str, Any]:
    """A decision that was made so many days ago."""
    at = days_ago(days)
    made: dict[str, Any] = {
        "workspace": "acme",
        "id": id_of(at),
        "source": "/shop",
        "event": f"e-{at.timestamp()}",
        "trigger": "after",
        "outcome": outcome,
        "reason": None,
        "customer": "ann",
        "transaction_key": None,
        "type": "paid",
        "event_time": at,
        "arrived_at": at,
        "decided_at": at,
        "trace": [],
        "snapshot": None,
        "invitation": None,
        "traceparent": None,
        "priority": 0,
        "due_at": at if outcome == "pending" else None,
    }
    return made | fields
