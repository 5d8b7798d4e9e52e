"""What a batch says last of each thing: the order in which revisions come says nothing, for messages are read again."""

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from shared.contracts.envelope import Received

K = TypeVar("K", bound=tuple[str, ...])


def newest(
    batch: Iterable[Received[Any]], key: Callable[[Received[Any]], K]
) -> dict[K, Received[Any]]:
    """The highest revision of each thing, in key order, which is the order that rows are locked in. Of equal ones the
    first."""
    found: dict[K, Received[Any]] = {}
    for received in batch:
        of = key(received)
        known = found.get(of)
        if known is None or known.message.revision < received.message.revision:
            found[of] = received
    return {of: found[of] for of in sorted(found)}


def by_id(received: Received[Any]) -> tuple[str, str]:
    """The key of what has an id of its own in its workspace."""
    return received.workspace, received.message.id
