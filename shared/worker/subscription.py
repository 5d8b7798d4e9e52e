"""What a service does with the records of one topic."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from shared.contracts.envelope import Received, decode_record
from shared.log import Record

Handle = Callable[[Sequence[Received[Any]]], Awaitable[None]]
"""Applies a batch of one topic in one transaction, in log order for each partition. Replaying it must be harmless."""

Bury = Callable[[Received[Any], str], Awaitable[None]]
"""Tells the service that a decodable record was given up, so that its fate can be seen."""


@dataclass(frozen=True)
class Subscription:
    """How the records of a topic are read, handled, and noted when they are given up."""

    handle: Handle
    decode: Callable[[Record], Received[Any] | None] = decode_record
    bury: Bury | None = None
