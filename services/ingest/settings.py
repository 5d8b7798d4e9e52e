"""What the ingest service is told by its environment, beside what every process is."""

from datetime import timedelta

from pydantic import Field, model_validator

import shared.settings
from shared.kept_days import COMES_BACK_DAYS, KeptDays


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
    retain_answers_days: KeptDays = Field(
        0,
        description="How long answers are kept, with whom and what they are about; 0 is for ever, and no less than"
        f" {COMES_BACK_DAYS} and than edit_window else. Scores stay as they are. Set the same for scoring and alerting",
    )
    retain_invitations_days: KeptDays = Field(
        400,
        description="How long the copies of invitations are kept after these were made, and in any case until their"
        f" links have expired; 0 is for ever, and no less than {COMES_BACK_DAYS} else. Set the same for trigger",
    )

    @model_validator(mode="after")
    def _answers_outlive_edits(self) -> "Settings":
        """What may still be edited must be there."""
        if self.retain_answers_days and timedelta(self.retain_answers_days) < self.edit_window:
            raise ValueError(
                f"AFTERWORD_RETAIN_ANSWERS_DAYS={self.retain_answers_days} would let go of answers that"
                f" AFTERWORD_EDIT_WINDOW lets be edited for {self.edit_window.days} days"
            )
        return self
