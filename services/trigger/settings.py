"""What a process of trigger is told by its environment."""

from pydantic import Field, field_validator

import shared.settings

EVENTS_KEPT_DAYS = 40
"""Longer than the log and the dead letters keep them, so that nothing that comes back is new."""


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
    retain_decisions_days: int = Field(
        400,
        description=f"How long decisions are kept; 0 is for ever, and no less than {EVENTS_KEPT_DAYS} else",
        ge=0,
        le=36_500,
    )

    @field_validator("retain_decisions_days")
    @classmethod
    def _longer_than_events(cls, days: int) -> int:
        """An event that is still known must be able to say what was decided about it."""
        if 0 < days < EVENTS_KEPT_DAYS:
            raise ValueError(
                f"decisions must be kept for {EVENTS_KEPT_DAYS} days or more, as the events they are about are;"
                " 0 keeps them for ever"
            )
        return days
