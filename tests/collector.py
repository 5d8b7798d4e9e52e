"""An OpenTelemetry collector of the tests: a real HTTP server that keeps the spans it is sent, and their bytes."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.listening import listening
from tests.support import eventually


class Seen(NamedTuple):
    """A span as it arrived."""

    service: str
    name: str
    kind: int
    trace: str
    id: str
    parent: str
    attributes: Mapping[str, str | int]
    links: tuple[str, ...]
    failed: bool


@dataclass
class Collector:
    """Takes what is exported; answers `status`, after `seconds`."""

    url: str = ""
    status: int = 200
    seconds: float = 0.0
    asked: int = 0
    bodies: list[bytes] = field(default_factory=list)

    async def take(self, request: web.Request) -> web.Response:
        self.asked += 1
        body = await request.read()
        await asyncio.sleep(self.seconds)
        if self.status == 200:
            self.bodies.append(body)
        return web.Response(status=self.status)

    def spans(self, trace: str | None = None) -> list[Seen]:
        """All spans, or those of one trace."""
        found = [span for body in self.bodies for span in _read(body)]
        return [span for span in found if trace in (None, span.trace)]

    async def chain(self, service: str, name: str, trace: str | None = None) -> list[Seen]:
        """Wait for a span and those above it; from the first to this one."""

        async def look() -> list[Seen] | None:
            spans = {span.id: span for span in self.spans(trace)}
            ends = [span for span in spans.values() if (span.service, span.name) == (service, name)]
            for span in ends:
                found = [span]
                while found[0].parent in spans:
                    found.insert(0, spans[found[0].parent])
                if not found[0].parent or found[0].name.startswith(("POST /", "GET /")):
                    return found
            return None

        return await eventually(look, seconds=30, what=f"the span {name} of {service}")


@asynccontextmanager
async def open_collector() -> AsyncIterator[Collector]:
    """Listen on a free port of this machine."""
    collector = Collector()
    app = web.Application()
    app.router.add_post("/v1/traces", collector.take)
    async with listening(app) as collector.url:
        yield collector


def _read(body: bytes) -> list[Seen]:
    request = ExportTraceServiceRequest.FromString(body)
    return [
        Seen(
            service=str(_attributes(group.resource.attributes)["service.name"]),
            name=span.name,
            kind=span.kind,
            trace=span.trace_id.hex(),
            id=span.span_id.hex(),
            parent=span.parent_span_id.hex(),
            attributes=_attributes(span.attributes),
            links=tuple(link.span_id.hex() for link in span.links),
            failed=span.status.code == span.status.STATUS_CODE_ERROR,
        )
        for group in request.resource_spans
        for scope in group.scope_spans
        for span in scope.spans
    ]


def _attributes(found: Any) -> dict[str, str | int]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in found}
