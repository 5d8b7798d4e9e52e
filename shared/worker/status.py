"""What the watchdog, `status` and `doctor` see of a consumer loop."""

import time
from dataclasses import dataclass, field

from shared.log import TopicPartition


@dataclass
class LoopStatus:
    """When it last got something done, what it waits for, and which partitions stand still on purpose."""

    last_progress: float = field(default_factory=time.monotonic)
    waiting: dict[TopicPartition | None, str] = field(default_factory=dict)
    """What each partition waits for, and under None what the fetch does."""
    stopped: dict[TopicPartition, str] = field(default_factory=dict)

    @property
    def waiting_for(self) -> str | None:
        return next(iter(self.waiting.values()), None)
