"""Logs and instruments: structured lines with ids, and every Prometheus metric declared once."""

import logging
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO, cast

import structlog
from prometheus_client import Counter, Gauge
from structlog.contextvars import bound_contextvars, get_contextvars
from structlog.typing import EventDict

from shared.histograms import Histogram

log: structlog.stdlib.BoundLogger = structlog.get_logger()

_json = structlog.processors.JSONRenderer(ensure_ascii=False)
_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""Characters that end a line, steer a terminal or turn the direction of reading."""

_SECONDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)

HTTP_SECONDS = Histogram(
    "afterword_http_request_seconds",
    "Time to answer a request",
    ["service", "route", "status"],
    buckets=_SECONDS,
)
CONNECTIONS_REFUSED = Counter(
    "afterword_connections_refused_total",
    "Connections ended for what came, or did not come, before a request was whole",
    ["reason"],
)
EVENTS_ACCEPTED = Counter(
    "afterword_events_accepted_total", "Events that got a 202 or came by an inlet", ["door"]
)
EVENTS_REFUSED = Counter(
    "afterword_events_refused_total", "Events that were refused at the door", ["door"]
)
BATCH_SECONDS = Histogram(
    "afterword_batch_seconds",
    "Time to handle one batch of records",
    ["service", "topic"],
    buckets=_SECONDS,
)
RECORDS_HANDLED = Counter(
    "afterword_records_handled_total", "Records whose effect is committed", ["service", "topic"]
)
RECORDS_SKIPPED = Counter(
    "afterword_records_skipped_total", "Records of an unknown type", ["service", "topic"]
)
RECORDS_DEAD = Counter(
    "afterword_records_dead_lettered_total", "Records given up", ["service", "topic"]
)
PARTITIONS_STOPPED = Gauge(
    "afterword_partitions_stopped", "Partitions that wait for an operator", ["service"]
)
RETRIES = Counter(
    "afterword_dependency_retries_total",
    "Batches tried again because a dependency was away",
    ["service"],
)
OUTBOX_PUBLISHED = Counter("afterword_outbox_published_total", "Outbox rows published", ["service"])
OUTBOX_WAITING = Gauge("afterword_outbox_waiting", "Outbox rows not published yet", ["service"])
OUTBOX_OLDEST_SECONDS = Gauge(
    "afterword_outbox_oldest_seconds", "Age of the oldest unpublished row", ["service"]
)
OUTBOX_BLOCKED = Gauge(
    "afterword_outbox_blocked", "Outbox rows the log refused for good", ["service"]
)
DECISIONS = Counter("afterword_decisions_total", "Decisions about events", ["outcome", "reason"])
INVITATIONS = Counter("afterword_invitations_total", "Invitations by the state reached", ["state"])
RESPONSES = Counter("afterword_responses_total", "Responses by door", ["door"])
WRONG_TOKENS = Counter(
    "afterword_wrong_tokens_total",
    "Survey links that are none of ours: answered as missing, or limited once their address tried too many",
    ["answer"],
)
ALERTS = Counter("afterword_alerts_total", "Alerts by what was announced", ["type"])
DELIVERY_ATTEMPTS = Counter(
    "afterword_delivery_attempts_total", "Webhook attempts by outcome", ["service", "outcome"]
)
DELIVERY_SECONDS = Histogram(
    "afterword_delivery_attempt_seconds",
    "Time of one webhook attempt",
    ["service"],
    buckets=_SECONDS,
)
RETENTION_ROWS_DELETED = Counter(
    "afterword_retention_rows_deleted_total",
    "Rows deleted one by one because they had been kept for long enough",
    ["service", "data"],
)
RETENTION_RANGES_DROPPED = Counter(
    "afterword_retention_ranges_dropped_total",
    "Ranges of days dropped whole because they had been kept for long enough",
    ["service", "data"],
)
RETENTION_OLDEST_DAY = Gauge(
    "afterword_retention_oldest_day_timestamp_seconds",
    "When the oldest day began of which something is kept, in seconds since 1970",
    ["service", "data"],
)


def configure_logging(level: str = "info", *, json: bool = True) -> None:
    """Set up structlog for this process; library loggers go the same way."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer: structlog.typing.Processor = (
        _json_line
        if json
        else structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(),
            exception_formatter=structlog.dev.plain_traceback,  # never the values of local variables
        )
    )
    if not json:
        shared.append(_visible)
    structlog.configure(
        processors=[*shared, structlog.processors.format_exc_info, renderer]
        if json
        else [*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level.upper())),
        logger_factory=structlog.WriteLoggerFactory(file=cast("TextIO", _Lines(sys.stderr))),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(processor=renderer, foreign_pre_chain=shared)
    )
    logging.basicConfig(
        handlers=[handler],
        level=max(logging.WARNING, logging.getLevelName(level.upper())),
        force=True,
    )


class _Lines:
    """Where log lines go. One that cannot be written, as on a full disk, is given up: it must end nothing else."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, line: str) -> None:
        with suppress(OSError):
            self._file.write(line)

    def flush(self) -> None:
        with suppress(OSError):
            self._file.flush()


def _visible(logger: Any, method: str, event: EventDict) -> EventDict:
    """What a client wrote must not act on the terminal that shows it."""
    return {
        name: _escaped(value) if isinstance(value, str) else value for name, value in event.items()
    }


def _json_line(logger: Any, method: str, event: EventDict) -> str:
    """JSON on one line for whoever splits lines, and inert for whoever looks at it."""
    return _escaped(str(_json(logger, method, event)))


def _escaped(text: str) -> str:
    return _UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


@contextmanager
def traced(traceparent: str | None) -> Iterator[None]:
    """Carry a W3C traceparent through what is done here: logs show it and announcements take it along."""
    if traceparent is None:
        yield
        return
    with bound_contextvars(traceparent=traceparent):
        yield


def current_traceparent() -> str | None:
    """The traceparent of the work at hand, if it came with one."""
    return get_contextvars().get("traceparent")
