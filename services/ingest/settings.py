"""What the ingest service is told by its environment, beside what every process is."""

from datetime import timedelta

from pydantic import Field

import shared.settings


class Settings(shared.settings.Settings):
    """Inlets are taken from the access file when the process starts: one that is added later needs a restart."""

    in_flight_bytes: int = Field(
        64 * 1024 * 1024,
        description="Bytes of events that may wait for the log's acknowledgement; beyond it events are answered 503",
        ge=2 * 1024 * 1024,
    )
    edit_window: timedelta = Field(
        timedelta(days=30),
        description="How long after it was taken in a response may be edited, e.g. P30D",
        ge=timedelta(0),
    )
    wrong_tokens_per_minute: int = Field(
        30,
        description="Wrong survey links that one client address may open in a minute; beyond it they are answered 429."
        " A right link always opens. See trusted_proxies for a deployment behind a proxy",
        ge=1,
    )
