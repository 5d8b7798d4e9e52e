"""One HTTP connection, as uvicorn has it, with what uvicorn leaves unbounded bounded: waiting, headers, connections."""

import asyncio
from typing import Any, ClassVar, Final

import msgspec
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from shared.http.problems import MEDIA_TYPE, Problem, unavailable
from shared.telemetry import CONNECTIONS_REFUSED

HEADER_SECONDS = 20.0
"""How long a client may take from the first byte of a request, or from connecting, to the end of its headers."""

MAX_CONNECTIONS = 10_000
_MAX_HEAD_BYTES = 64 * 1024
_NOT_HTTP = Problem(400, "not-http", "This is not an HTTP request that can be read in one way.")
_TOO_LONG = Problem(
    431, "headers-too-large", f"Address and headers have more than {_MAX_HEAD_BYTES} bytes."
)
_TOO_SLOW = Problem(
    408, "slow-headers", f"The headers did not arrive within {HEADER_SECONDS:.0f} s."
)
_TOO_MANY = unavailable("Too many connections are open; try again.")


WHOLE = "afterword.whole_message"
"""The ASGI extension of a request whose body is all here before its application runs: no need to wait for it."""

_WHOLE: Final[dict[str, Any]] = {WHOLE: {}}


class _OneWrite:
    """A transport that gathers what is written in one turn of the loop: uvicorn writes the head of an answer and its
    body apart, and each would be a system call and wake the client."""

    def __init__(self, transport: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._soon = loop.call_soon
        self._gathered: list[bytes] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        if not self._gathered:
            self._soon(self._flush)
        self._gathered.append(data)

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        gathered, self._gathered = self._gathered, []
        if gathered:
            self._transport.write(b"".join(gathered))


class _Trailers(list[tuple[bytes, bytes]]):
    """Where fields after a chunked body go: nowhere. Nothing here asks for them, and none may act as a header."""

    def append(self, item: tuple[bytes, bytes]) -> None:
        """Keep nothing."""


class _Refused(Exception):
    """Makes the parser stop; the answer has been chosen."""


class Connection(HttpToolsProtocol):
    """What is refused here is a problem like any other, and ends the connection."""

    max_connections: ClassVar[int] = MAX_CONNECTIONS
    _trailers: ClassVar = _Trailers()
    _answer = _NOT_HTTP
    _framing = 0
    """How many bytes came of this message beside its body; some of a pipelined one before may be counted too."""

    _waits_since: float | None = None
    _waits_after: Any = None

    def connection_made(self, transport: Any) -> None:
        gathering: Any = _OneWrite(transport, self.loop)
        super().connection_made(gathering)
        if len(self.connections) > self.max_connections:
            self._refuse(_TOO_MANY)

    def data_received(self, data: bytes) -> None:
        self._framing += len(data)
        super().data_received(data)
        if self._framing > _MAX_HEAD_BYTES and not self.transport.is_closing():
            self._refuse(_TOO_LONG)

    def on_headers_complete(self) -> None:
        if self._framing > _MAX_HEAD_BYTES and self._head_bytes() > _MAX_HEAD_BYTES:
            self._answer = _TOO_LONG
            raise _Refused
        super().on_headers_complete()
        self.headers = self._trailers

    def on_body(self, body: bytes) -> None:
        self._framing -= len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._framing = 0
        self.scope["extensions"] = _WHOLE
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """What uvicorn calls when the parser has stopped, whoever stopped it."""
        self._refuse(self._answer)

    def hang_up_if_slow(self, at: float, seconds: float) -> None:
        """To be called every now and then: end a connection that has owed a request for longer than this.

        It owes one from its beginning, and again from the first byte after an answer (until then uvicorn's
        keep-alive timer runs). Each look compares with the look before, so a request costs nothing for it.
        """
        last = self.cycle
        owes = last is None or (last.response_complete and self.timeout_keep_alive_task is None)
        if not owes or self._waits_after is not last or self._waits_since is None:
            self._waits_after = last
            self._waits_since = at if owes else None
        elif at - self._waits_since > seconds:
            if self.transport.is_closing():
                self.transport.abort()  # it does not take its last answer either
            else:
                self._refuse(_TOO_SLOW)

    def _head_bytes(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)

    def _refuse(self, problem: Problem) -> None:
        CONNECTIONS_REFUSED.labels(problem.kind).inc()
        if self._owes_answer():
            self.transport.write(_response(problem))
        elif not self.cycle.response_complete:  # to a request that came whole before this
            self.cycle.keep_alive = False
            self.transport.pause_reading()
            return
        self.transport.close()

    def _owes_answer(self) -> bool:
        """Whether what is refused is a request of its own, and no answer to another would be mixed with this one."""
        last = self.cycle
        if last is not None and last.response_complete:
            return self.scope is not last.scope
        return last is None or (last.more_body and not last.response_started and not self.pipeline)


def _response(problem: Problem) -> bytes:
    body = msgspec.json.encode(problem.body(None))
    headers = {
        "content-type": MEDIA_TYPE,
        "content-length": str(len(body)),
        "connection": "close",
        **problem.headers(),
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return STATUS_LINE[problem.status] + lines.encode() + b"\r\n" + body
