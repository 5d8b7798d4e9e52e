"""What is kept of records that cannot be read: nothing, once nobody holds them."""

import gc
from collections.abc import Sequence
from typing import Any
from weakref import ref

from shared.contracts.envelope import Received
from shared.errors import Undecodable
from shared.log import Record
from shared.worker import Subscription
from shared.worker.handling import Read, read
from tests.fakes import record


def refuse(record: Record) -> Received[Any]:
    raise Undecodable(f"not {record.offset}")


async def handle(batch: Sequence[Received[Any]]) -> None:
    raise AssertionError


def broken_batch() -> "ref[Exception]":
    """A batch as the loop holds it: its errors lead back to it, by the frames that they were raised in."""
    found: dict[str, list[Read]] = {}
    found["events"] = [read(record("events", n), Subscription(handle, refuse)) for n in range(3)]
    error = found["events"][0].error
    assert error is not None
    return ref(error)


def test_a_batch_that_cannot_be_read_is_let_go_of() -> None:
    error = broken_batch()
    gc.collect()
    assert error() is None
