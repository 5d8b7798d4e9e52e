"""Logs: structured lines with ids, JSON for machines or coloured for people."""

import logging
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, TextIO, cast

import structlog
from structlog.contextvars import bound_contextvars, get_contextvars
from structlog.typing import EventDict

log: structlog.stdlib.BoundLogger = structlog.get_logger()

_json = structlog.processors.JSONRenderer(ensure_ascii=False)
_FIRST = {"timestamp": "time", "level": "level", "event": "message", "service": "service"}
"""What a line of JSON begins with, by structlog's names. `event` would be taken for one of a customer's."""
_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""Characters that end a line, steer a terminal or turn the direction of reading."""


def configure_logging(
    level: str = "info", *, json: bool = True, service: str | None = None
) -> None:
    """Set up structlog for this process; library loggers go the same way. Each line of JSON has `time`, `level`,
    `message` and, for a process that is one service, `service`; then whatever ids it is about."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if service is not None:
        shared.append(partial(_of, service))
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
        structlog.stdlib.ProcessorFormatter(
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *([structlog.processors.format_exc_info] if json else []),
                renderer,
            ],
            foreign_pre_chain=shared,
        )
    )
    logging.captureWarnings(True)
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


def _of(service: str, logger: Any, method: str, event: EventDict) -> EventDict:
    """Which service says it, unless the line says so itself."""
    event.setdefault("service", service)
    return event


def _json_line(logger: Any, method: str, event: EventDict) -> str:
    """JSON on one line for whoever splits lines, and inert for whoever looks at it."""
    first = {name: event.pop(key) for key, name in _FIRST.items() if key in event}
    return _escaped(str(_json(logger, method, {**first, **event})))


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
