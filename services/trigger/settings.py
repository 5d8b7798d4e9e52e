"""What a process of trigger is told by its environment."""

from pydantic import Field

import shared.settings
from shared.kept_days import COMES_BACK_DAYS, KeptDays

EVENTS_KEPT_DAYS = COMES_BACK_DAYS
"""So that nothing that comes back is new."""


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
    retain_decisions_days: KeptDays = Field(
        400,
        description=f"How long decisions are kept; 0 is for ever, and no less than {EVENTS_KEPT_DAYS} else: an event"
        " that is still known must be able to say what was decided about it",
    )
    retain_invitations_days: KeptDays = Field(
        400,
        description="How long invitations that have ended are kept after they were made, and in any case until their"
        f" links have expired; 0 is for ever, and no less than {COMES_BACK_DAYS} else. Set the same for ingest",
    )
