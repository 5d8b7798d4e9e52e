"""Keeps the Kafka client's own log readable: during an outage it repeats itself ten times a second."""

import logging
import time

AGAIN_SECONDS = 30.0


class _OncePerPeriod(logging.Filter):
    """Lets the same sentence (before its values are filled in) through once per period."""

    def __init__(self) -> None:
        super().__init__()
        self._said: dict[tuple[str, str], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        now = time.monotonic()
        sentence = (record.name, str(record.msg))
        if now < self._said.get(sentence, 0.0):
            return False
        self._said[sentence] = now + AGAIN_SECONDS
        return True


_filter = _OncePerPeriod()


def quieten() -> None:
    """Filter every logger of the client; idempotent. A filter does not reach child loggers by itself."""
    for name in logging.root.manager.loggerDict:
        if name.partition(".")[0] == "aiokafka":
            logging.getLogger(name).addFilter(_filter)
