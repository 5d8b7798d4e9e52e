"""Says how far a service is with what it does before it is ready: in its log, its metrics, and its readiness."""

import time
from collections.abc import Callable

from shared.instruments import RECOVERY_LEFT
from shared.telemetry import log

Tell = Callable[[str | None], None]
"""Takes one sentence about what keeps the service from being ready, None when nothing does."""


def tell_nobody(detail: str | None) -> None:
    """For who has no readiness to explain."""


class Reading:
    """How far the records of one topic are read, said at once and then every few seconds."""

    def __init__(
        self, service: str, topic: str, total: int, tell: Tell, *, every_seconds: float
    ) -> None:
        """`total` may be more than there are: a compacted topic has gaps."""
        self._service = service
        self._topic = topic
        self._total = total
        self._done = 0
        self._tell = tell
        self._every_seconds = every_seconds
        self._began = self._said = time.monotonic()
        self._left = RECOVERY_LEFT.labels(service, topic)
        self._show()

    def advance(self, records: int) -> None:
        """So many more are done with."""
        self._done += records
        self._show()
        at = time.monotonic()
        if at - self._said < self._every_seconds:
            return
        self._said = at
        left = self._total - self._done
        log.info(
            "recovering",
            service=self._service,
            topic=self._topic,
            done=self._done,
            total=self._total,
            seconds_left=round((at - self._began) * left / max(1, self._done)),
        )

    def _show(self) -> None:
        self._left.set(self._total - self._done)
        self._tell(
            f"{self._done:,} of {self._total:,} records of {self._topic} are compared with the database"
            if self._done < self._total
            else None
        )
