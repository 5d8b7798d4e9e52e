"""What taking events costs at least: an ASGI application that decodes them and sends them through our producer.

It knows nobody, bounds nothing, looks at nothing that the decoder does not, names no request and counts none. What the
intake costs beyond it is what its promises cost.
"""

import os

import msgspec
import uvicorn
import uvloop
from starlette.types import Receive, Scope, Send

from services.cli.dev import WORKSPACE
from shared.contracts.events import Event
from shared.contracts.keys import Key
from shared.contracts.topics import Topic
from shared.log import Outgoing, Producer
from shared.log.kafka import KafkaLog

_KEY = Key(WORKSPACE, "").encode()
_one = msgspec.json.Decoder(Event).decode
_many = msgspec.json.Decoder(list[msgspec.Raw]).decode
_encode = msgspec.json.Encoder().encode


def records(body: bytes) -> list[Outgoing]:
    """A record for each event of a list, or for the one."""
    values = [bytes(item) for item in _many(body)] if body[:1] == b"[" else [body]
    return [Outgoing(Topic.EVENTS, _KEY + _one(value).subject.encode(), value) for value in values]


class Bare:
    """Takes every POST for one of events; what else is asked gets an empty answer, which will do as health."""

    def __init__(self, producer: Producer) -> None:
        self._producer = producer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        status, answer = 200, b"{}"
        if scope["method"] == "POST":
            body, more = b"", True
            while more:
                message = await receive()
                body += message["body"]
                more = message["more_body"]
            events = records(body)
            await self._producer.send(events)
            status, answer = 202, _encode({"accepted": len(events)})
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(answer)),
        ]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": answer})


async def main() -> None:
    """Serve until SIGTERM, with uvicorn as it is and all in it turned off that can be."""
    async with (
        KafkaLog.open(os.environ["AFTERWORD_LOG_URL"]) as log,
        log.producer() as producer,
    ):
        config = uvicorn.Config(
            Bare(producer),
            port=int(os.environ["AFTERWORD_PORT"]),
            http=os.environ.get("BARE_HTTP", "httptools"),
            ws="none",
            lifespan="off",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,
            log_level="warning",
        )
        await uvicorn.Server(config).serve()


if __name__ == "__main__":
    uvloop.run(main())
