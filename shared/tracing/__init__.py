"""Spans of what is done, each continuing the W3C traceparent that requests, messages and rows carry.

Nothing is recorded unless a collector is set (AFTERWORD_TRACES_URL). What is written down is what kind of thing was
done and how it ended, by OpenTelemetry's names: never a path, a URL, an id, a value or an error's text, for any of them
may be a customer's or a key.
"""

import random
import re
from collections.abc import Mapping, Sequence
from typing import Final, Literal, NamedTuple, Protocol, Self

Kind = Literal["server", "client", "producer", "consumer"]
Attributes = Mapping[str, str | int]

_FORM = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_NOTHING: Final[Attributes] = {}


class Span:
    """A piece of work under way. This one is not recorded; it passes on the traceparent that it was given."""

    __slots__ = ("traceparent",)
    recorded = False

    def __init__(self, traceparent: str | None) -> None:
        self.traceparent = traceparent
        """What goes along with all that the work sends, so that the trace goes on there."""

    def tell(self, attributes: Attributes, *, name: str | None = None) -> None:
        """What is known only now; a name replaces the one given at the start."""

    def link(self, other: "Span") -> None:
        """That it has to do with a span of another trace."""

    def fail(self, kind: str) -> None:
        """That it failed, by the kind of error."""

    def end(self) -> None:
        """It is over now. One that is never ended is never seen."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *raised: object) -> None:
        """It is over, and failed if it ends with an exception."""
        if kind is not None:
            self.fail(kind.__qualname__)
        self.end()


UNTRACED: Final = Span(None)
"""The span of all work that is not recorded and came with no traceparent."""


class Beginning(NamedTuple):
    """What a span that is recorded begins with: whose and what it is, and the traceparents that it has to do with."""

    service: str
    name: str
    kind: Kind
    parent: str | None
    attributes: Attributes
    links: Sequence[str]


class Tracer(Protocol):
    """What records spans, and how many of the traces that begin here."""

    ratio: float

    def start(self, span: Beginning) -> Span: ...


class _Recording:
    """Whether this process records, and by what; told once when it starts."""

    tracer: Tracer | None = None


def record_by(tracer: Tracer | None) -> None:
    """Record all spans of this process by it from now on, or none."""
    _Recording.tracer = tracer


def recording() -> bool:
    """Whether any span is recorded at all; asked first, so that nothing is put together for nobody."""
    return _Recording.tracer is not None


def unrecorded(traceparent: str | None) -> Span:
    """A span that only passes this on."""
    return UNTRACED if traceparent is None else Span(traceparent)


def well_formed(traceparent: str) -> bool:
    """Whether it is a traceparent of the version that everybody speaks."""
    return _FORM.fullmatch(traceparent) is not None


def start(
    service: str,
    name: str,
    kind: Kind,
    parent: str | None,
    attributes: Attributes = _NOTHING,
    links: Sequence[str] = (),
) -> Span:
    """Begin a span under a traceparent, which says whether it is recorded. Without one a trace begins, recorded at
    the ratio of the settings, or because of those that it links to."""
    tracer = _Recording.tracer
    if tracer is None:
        return unrecorded(parent)
    if parent is not None and well_formed(parent):
        if not is_sampled(parent):
            return Span(parent)
    else:
        parent = None
        if not links and random.random() >= tracer.ratio:  # noqa: S311 - a sample, no secret
            return Span(_passed_by())
    return tracer.start(Beginning(service, name, kind, parent, attributes, links))


def is_sampled(traceparent: str) -> bool:
    """Whether who began the trace has it recorded."""
    return int(traceparent[-2:], 16) & 1 == 1


def _passed_by() -> str:
    """The traceparent of a trace that nobody records: without one the next service would draw lots again."""
    return f"00-{random.getrandbits(128) | 1:032x}-{random.getrandbits(64) | 1:016x}-00"
