"""One request and its answer on a connection: as uvicorn has them, but an answer that is here whole is one write."""

import asyncio
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from starlette.types import Message
from uvicorn.protocols.http.httptools_impl import (
    HEADER_RE,
    HEADER_VALUE_RE,
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

_LENGTH = b"content-length: "
_FRAMING = frozenset({b"connection: ", b"transfer-encoding: "})
"""Headers that change how an answer is sent: uvicorn sends those that have one."""


class Exchange(RequestResponseCycle):
    """What most requests never change is said once, for the class."""

    disconnected = False
    response_started = False
    response_complete = False
    chunked_encoding = None
    expected_content_length = 0
    more_body = True
    access_log = False
    _head: Message | None = None

    def __init__(
        self, connection: HttpToolsProtocol, *, keep_alive: bool, on_response: Callable[[], None]
    ) -> None:
        self.scope = connection.scope
        self.transport = connection.transport
        self.flow = connection.flow
        self.logger = connection.logger
        self.default_headers = connection.server_state.default_headers
        self.message_event = asyncio.Event()
        self.on_response = on_response
        self.keep_alive = keep_alive
        self.waiting_for_100_continue = connection.expect_100_continue
        self.body = bytearray()

    def take(self) -> bytes:
        """The whole body, which must be here; instead of `receive`, for those who need not wait."""
        self.flow.resume_reading()
        self.message_event.clear()
        body, self.body = bytes(self.body), bytearray()
        return body

    async def send(self, message: Any) -> None:
        """The head of an answer waits for the first of its body, so that both are one system call and one packet."""
        head = self._head
        if head is None:
            if self.response_started or message["type"] != "http.response.start":
                await super().send(message)
            else:
                self._head = message
            return
        if message["type"] != "http.response.body":
            raise RuntimeError(f"Expected the body of an answer, but got {message['type']!r}.")
        self._head = None
        if self.flow.write_paused or (whole := self._whole(head, message)) is None:
            await super().send(head)  # type: ignore[arg-type]
            await super().send(message)
        elif not self.disconnected:
            self._finish(whole)

    async def send_500_response(self) -> None:
        """For an application that failed: nothing of its own answer has left while its head waits."""
        self._head = None
        await super().send_500_response()

    def _whole(self, head: Message, body: Message) -> bytes | None:
        """The bytes of an answer that needs nothing but to be written; None for any other."""
        if body.get("more_body") or self.scope["method"] == "HEAD":
            return None
        content: bytes = body.get("body", b"")
        length = None
        values = []
        lines = [STATUS_LINE[head["status"]]]
        for name, value in (*self.default_headers, *head["headers"]):
            begins = _beginning(name)
            if begins == _LENGTH:
                length = value
            elif begins in _FRAMING:
                return None
            values.append(value)
            lines += (begins, value, b"\r\n")
        if length != b"%d" % len(content) or HEADER_VALUE_RE.search(b"".join(values)):
            return None
        lines.append(b"\r\n" if self.keep_alive else b"connection: close\r\n\r\n")
        lines.append(content)
        return b"".join(lines)

    def _finish(self, whole: bytes) -> None:
        self.response_started = self.response_complete = True
        self.waiting_for_100_continue = False
        self.transport.write(whole)
        self.message_event.set()
        if not self.keep_alive:
            self.transport.close()
        self.on_response()


@lru_cache(maxsize=256)
def _beginning(name: bytes) -> bytes:
    """How the line of a header begins. Few names are ever answered, so each is looked at once."""
    if HEADER_RE.search(name):
        raise RuntimeError("Invalid HTTP header name.")
    return name.lower() + b": "
