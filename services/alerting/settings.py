"""The settings of alerting: how patient it is with receivers, and how much it does at once."""

from pydantic import Field

import shared.settings
from shared.kept_days import COMES_BACK_DAYS, KeptDays


class Settings(shared.settings.Settings):
    """Those of every service, and how deliveries are made."""

    delivery_timeout_seconds: float = Field(
        15.0, description="How long one webhook attempt may take in all", gt=0, le=30
    )
    delivery_lease_seconds: float = Field(
        60.0,
        description="How long a claimed delivery is one worker's; must exceed twice the timeout",
        gt=0,
    )
    deliveries_in_flight: int = Field(
        180, description="Webhook attempts under way at once in one process", ge=1, le=190
    )
    retain_deliveries_days: int = Field(
        90,
        description="How long deliveries are kept after their last change, with bodies and attempts; 0 is for ever",
        ge=0,
        le=36_500,
    )
    retain_answers_days: KeptDays = Field(
        0,
        description="How long alerts are kept, with the answers they are about, after their last change; 0 is for ever,"
        f" and no less than {COMES_BACK_DAYS} else. Set the same for ingest",
    )
