"""Moves a group back once it has no members: those of killed processes count as members for a while."""

import asyncio
import time
from collections.abc import Mapping

from shared.errors import GroupInUse, Unavailable
from shared.leases import Lease
from shared.log import Log, TopicPartition
from shared.progress import Tell
from shared.telemetry import log as telemetry

_RETRY_SECONDS = 0.2


async def go_back(
    log: Log, group: str, back: Mapping[TopicPartition, int], lease: Lease, tell: Tell
) -> None:
    """Have the group go on from there; not at all when living members remain. Only how long a member stays tells a
    living one from one whose process was killed. Raises `Unavailable` when the lease is another's."""
    began, waiting = time.monotonic(), False
    while await lease.hold():
        try:
            await log.move(group, back)
        except GroupInUse as error:
            if time.monotonic() - began > log.lingering_seconds:
                telemetry.error("database_is_in_use", service=group, reason=str(error))
                return
            if not waiting:
                waiting = True
                _say_that_it_waits(group, error, log.lingering_seconds, tell)
            await asyncio.sleep(_RETRY_SECONDS)
        else:
            return
    raise Unavailable("another replica goes on with the recovery")


def _say_that_it_waits(group: str, error: GroupInUse, at_most: float, tell: Tell) -> None:
    telemetry.warning(
        "waits_for_old_members", service=group, reason=str(error), at_most_seconds=at_most
    )
    tell(
        f"the group goes back once its old members are gone, which is waited for {at_most:g} s at most"
    )
