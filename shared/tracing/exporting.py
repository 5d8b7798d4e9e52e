"""Records spans with OpenTelemetry's SDK and sends them to a collector, in a thread that nobody waits for.

The only module that imports the SDK, which the extra `traces` brings: it is imported when a collector is set.
"""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from importlib.metadata import version
from typing import Final

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)
from opentelemetry.trace import Span as SdkSpan
from opentelemetry.trace import Tracer as SdkTracer

from shared.telemetry import log
from shared.tracing import Attributes, Beginning, Kind, Span, record_by

_PATH: Final = "/v1/traces"
_TIMEOUT_SECONDS: Final = 5.0
"""Of one attempt to send a batch of spans, with what the exporter tries again in it."""
_FLUSH_SECONDS: Final = 3.0
_KINDS: Final[Mapping[Kind, SpanKind]] = {
    "server": SpanKind.SERVER,
    "client": SpanKind.CLIENT,
    "producer": SpanKind.PRODUCER,
    "consumer": SpanKind.CONSUMER,
}


class _Recorded(Span):
    """A span of the SDK's."""

    __slots__ = ("_span",)
    recorded = True

    def __init__(self, span: SdkSpan) -> None:
        context = span.get_span_context()
        super().__init__(f"00-{context.trace_id:032x}-{context.span_id:016x}-01")
        self._span = span

    def tell(self, attributes: Attributes, *, name: str | None = None) -> None:
        self._span.set_attributes(attributes)
        if name is not None:
            self._span.update_name(name)

    def link(self, other: Span) -> None:
        if other.traceparent is not None:
            self._span.add_link(_context(other.traceparent))

    def fail(self, kind: str) -> None:
        self._span.set_attribute("error.type", kind)
        self._span.set_status(Status(StatusCode.ERROR))

    def end(self) -> None:
        self._span.end()


class _Tracer:
    """One tracer for each service of this process, and one way out for all of them. What is sampled was decided
    before: here every span is recorded."""

    def __init__(self, processor: BatchSpanProcessor, ratio: float, log_system: str) -> None:
        self.ratio = ratio
        self._processor = processor
        self._of_messages = {"messaging.system": log_system}
        self._tracers: dict[str, SdkTracer] = {}

    def start(self, span: Beginning) -> Span:
        tracer = self._tracers.get(span.service) or self._tracer(span.service)
        above = None
        if span.parent is not None:
            above = set_span_in_context(NonRecordingSpan(_context(span.parent)))
        attributes = span.attributes
        if span.kind in ("producer", "consumer"):
            attributes = {**self._of_messages, **attributes}
        links = [Link(_context(one)) for one in span.links]
        return _Recorded(tracer.start_span(span.name, above, _KINDS[span.kind], attributes, links))

    def _tracer(self, service: str) -> SdkTracer:
        made = version("afterword")
        resource = Resource.create(
            {"service.name": f"afterword-{service}", "service.version": made}
        )
        provider = TracerProvider(ALWAYS_ON, resource, shutdown_on_exit=False)
        provider.add_span_processor(self._processor)
        self._tracers[service] = provider.get_tracer("afterword", made)
        return self._tracers[service]


class _Sender(SpanExporter):
    """Sends a batch or drops it, and says so once until the collector takes one again."""

    def __init__(self, exporter: SpanExporter, where: str) -> None:
        self._exporter = exporter
        self._where = where
        self._dropping = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._exporter.export(spans)
        failed = result is not SpanExportResult.SUCCESS
        if failed and not self._dropping:
            log.warning("traces_dropped", collector=self._where, reason="it does not take them")
        elif self._dropping and not failed:
            log.info("traces_taken_again", collector=self._where)
        self._dropping = failed
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()


@asynccontextmanager
async def exporting(url: str, ratio: float, log_system: str) -> AsyncIterator[None]:
    """Record from now on, and send what is left at the end: for as long as that may take, and no longer."""
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)  # the warning above is enough
    sender = _Sender(OTLPSpanExporter(url.rstrip("/") + _PATH, timeout=_TIMEOUT_SECONDS), url)
    processor = BatchSpanProcessor(sender)
    record_by(_Tracer(processor, ratio, log_system))
    try:
        yield
    finally:
        record_by(None)
        await _end(processor, _FLUSH_SECONDS)


async def _end(processor: BatchSpanProcessor, seconds: float) -> None:
    """Let the last spans leave. A collector that hangs holds a thread that does not hold the process."""
    loop, ended = asyncio.get_running_loop(), asyncio.Event()

    def end() -> None:
        processor.shutdown()  # type: ignore[no-untyped-call]  # it says what it takes nowhere
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(ended.set)

    threading.Thread(target=end, name="last spans", daemon=True).start()
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await ended.wait()


def _context(traceparent: str) -> SpanContext:
    _, trace, span, flags = traceparent.split("-")
    return SpanContext(
        int(trace, 16), int(span, 16), is_remote=True, trace_flags=TraceFlags(int(flags, 16))
    )
