"""One HTTP connection, as uvicorn has it, with what uvicorn leaves unbounded bounded: waiting, headers, connections."""

from functools import partial
from typing import Any, ClassVar, Final
from urllib.parse import unquote

import httptools
import msgspec
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from shared.http.exchanges import Exchange
from shared.http.problems import MEDIA_TYPE, Problem, unavailable
from shared.instruments import CONNECTIONS_REFUSED

HEADER_SECONDS = 20.0
"""How long a client may take from the first byte of a request, or from connecting, to the end of its headers."""

KEEP_ALIVE_SECONDS = 75
"""How long a connection may be idle between an answer and the first byte of the next request."""

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
for _problem in (_NOT_HTTP, _TOO_LONG, _TOO_SLOW, _TOO_MANY):
    CONNECTIONS_REFUSED.labels(_problem.kind)


WHOLE: Final = "afterword.whole_body"
"""The ASGI extension of a request whose body is all here: its `take` is a function that returns the body, once."""


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
    cycle: Exchange
    _answer = _NOT_HTTP
    _framing = 0
    """How many bytes came of this message beside its body; some of a pipelined one before may be counted too."""

    _idle = False
    """Whether the last request has its answer and nothing of another has come."""

    _leaving = False
    """Whether the next answer is the last."""

    _waits_since: float | None = None
    _waits_after: Any = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        if len(self.connections) > self.max_connections:
            self._refuse(_TOO_MANY)

    def data_received(self, data: bytes) -> None:
        self._framing += len(data)
        self._idle = False
        super().data_received(data)
        if self._framing > _MAX_HEAD_BYTES and not self.transport.is_closing():
            self._refuse(_TOO_LONG)

    def on_headers_complete(self) -> None:
        if self._framing > _MAX_HEAD_BYTES and self._head_bytes() > _MAX_HEAD_BYTES:
            self._answer = _TOO_LONG
            raise _Refused
        self._read_head()
        parser, before = self.parser, self.cycle
        keep_alive = (
            self.scope["http_version"] != "1.0" and parser.should_keep_alive() and not self._leaving
        )
        done = partial(self.on_response_complete, self.scope)
        self.cycle = exchange = Exchange(self, keep_alive=keep_alive, on_response=done)
        if before is None or before.response_complete:
            self._start_asgi_task(exchange, self.app)
        else:  # a pipelined one
            self.flow.pause_reading()
            self.pipeline.appendleft((exchange, self.app))
        self.headers = self._trailers

    def _read_head(self) -> None:
        scope, url = self.scope, httptools.parse_url(self.url)
        version = self.parser.get_http_version()
        if version != "1.1":
            scope["http_version"] = version
        scope["method"] = self.parser.get_method().decode("ascii")
        path = url.path.decode("ascii")
        scope["path"] = unquote(path) if "%" in path else path
        scope["raw_path"] = url.path
        scope["query_string"] = url.query or b""

    def on_body(self, body: bytes) -> None:
        self._framing -= len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._framing = 0
        super().on_message_complete()
        if not self.cycle.response_complete:
            self.scope["extensions"] = {WHOLE: {"take": self.cycle.take}}

    def send_400_response(self, msg: str) -> None:
        """What uvicorn calls when the parser has stopped, whoever stopped it."""
        self._refuse(self._answer)

    def on_response_complete(self, scope: Any = None) -> None:
        """As uvicorn has it, without a timer for each answer: who is idle for too long is seen by the looks below."""
        if scope is not None:
            scope.pop("extensions", None)  # it refers to the exchange, which refers to it
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        else:
            self._idle = True

    def leave(self) -> None:
        """Make the next answer, or the one that is under way, the last, and say so in it."""
        self._leaving = True
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.keep_alive = False

    def hang_up_if_slow(self, at: float, seconds: float) -> None:
        """To be called every now and then: end a connection that has owed a request for longer than this, or has
        been idle for longer than connections are kept.

        It owes one from its beginning, and again from the first byte after an answer. Each look compares with the
        look before, so a request costs nothing for it.
        """
        last = self.cycle
        waits = self._idle or last is None or last.response_complete
        after = (last, self._idle)
        if not waits or self._waits_after != after or self._waits_since is None:
            self._waits_after = after
            self._waits_since = at if waits else None
        elif at - self._waits_since > (self.timeout_keep_alive if self._idle else seconds):
            if self.transport.is_closing():
                self.transport.abort()  # it does not take its last answer either
            elif self._idle:
                self.transport.close()
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
