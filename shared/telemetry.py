"""Logs: structured lines with ids, JSON for machines or coloured for people."""

import logging
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO, cast

import structlog
from structlog.contextvars import bound_contextvars, get_contextvars
from structlog.typing import EventDict

log: structlog.stdlib.BoundLogger = structlog.get_logger()

_json = structlog.processors.JSONRenderer(ensure_ascii=False)
_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""Characters that end a line, steer a terminal or turn the direction of reading."""


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
