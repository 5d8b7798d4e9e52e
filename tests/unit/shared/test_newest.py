"""Of the revisions in a batch the highest counts, whatever came last, and rows come in the order of their locks."""

from datetime import UTC, datetime
from typing import Any

from shared.contracts.envelope import Received
from shared.contracts.messages import CustomerChanged
from shared.contracts.newest import by_id, newest
from shared.contracts.topics import Topic
from shared.log import Record


def received(workspace: str, id: str, revision: int, offset: int = 0) -> Received[Any]:
    at = datetime(2026, 11, 25, tzinfo=UTC)
    record = Record(Topic.CUSTOMERS, 0, offset, b"", b"", (), 0)
    message = CustomerChanged(id=id, revision=revision, changed_at=at)
    return Received(workspace, id, message, record, None)


def test_the_highest_revision_counts_in_whatever_order_they_come() -> None:
    batch = [received("acme", "ann", revision) for revision in (2, 3, 1)]
    assert newest(batch, by_id) == {("acme", "ann"): batch[1]}


def test_of_equal_revisions_the_first_counts() -> None:
    batch = [received("acme", "ann", 1, offset) for offset in (7, 8)]
    assert newest(batch, by_id)["acme", "ann"].record.offset == 7


def test_keys_come_sorted_and_workspaces_apart() -> None:
    batch = [received("b", "ann", 1), received("a", "bob", 1), received("a", "ann", 1)]
    assert list(newest(batch, by_id)) == [("a", "ann"), ("a", "bob"), ("b", "ann")]
