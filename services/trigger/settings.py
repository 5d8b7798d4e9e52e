"""What a process of trigger is told by its environment."""

from pydantic import Field

import shared.settings


class Settings(shared.settings.Settings):
    """The settings of every service, and the pace of this one's due-time work."""

    poll_seconds: float = Field(
        0.5, description="How often to look for what a clock made due", gt=0
    )
    send_timeout_seconds: float = Field(
        15.0,
        description="How long a business system may take to answer a channel's webhook",
        gt=0,
        le=60,
    )
    send_concurrency: int = Field(
        50, description="Channel webhooks under way at once", ge=1, le=200
    )
