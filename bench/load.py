"""Posts events over and over on many connections: `python -m bench.load PORT KEY CONNECTIONS BATCH WARM SECONDS`."""

import sys

from bench.driving import Ask, drive
from bench.events import encoded, purchase

_DIFFERENT_EVENTS = 2_000
_ACCEPTED = b"HTTP/1.1 202"


def asks_of(key: str, batch: int) -> list[Ask]:
    """Requests with different events of different customers, of one event each or of a batch."""
    events = [purchase(n, customer=f"customer-{n}") for n in range(_DIFFERENT_EVENTS)]
    if batch == 1:
        return [_ask(key, "application/cloudevents+json", encoded(event)) for event in events]
    chunks = (events[n : n + batch] for n in range(0, len(events), batch))
    return [_ask(key, "application/cloudevents-batch+json", encoded(chunk)) for chunk in chunks]


def _ask(key: str, content_type: str, body: bytes) -> Ask:
    lines = [
        "POST /v1/events HTTP/1.1",
        "host: 127.0.0.1",
        f"authorization: Bearer {key}",
        f"content-type: {content_type}",
        f"content-length: {len(body)}",
    ]
    return Ask("\r\n".join([*lines, "", ""]).encode() + body, _ACCEPTED)


if __name__ == "__main__":
    port, key, connections, batch, warm, seconds = sys.argv[1:]
    asks = asks_of(key, int(batch))
    drive(int(port), asks, int(connections), float(warm), float(seconds))
