"""What the scoring service is told by its environment, beside what every service is told."""

from pydantic import Field

import shared.settings
from shared.kept_days import COMES_BACK_DAYS, KeptDays


class Settings(shared.settings.Settings):
    """Read once, in `main`, and passed down; never changed."""

    rollup: tuple[str, ...] = Field(
        ("org", "product"),
        description="Dimensions that the histograms of a new workspace keep apart; `rebuild` changes them later",
        max_length=8,
    )
    retain_answers_days: KeptDays = Field(
        0,
        description=f"How long single answers are kept, and {COMES_BACK_DAYS} days on top, for what is said about them"
        f" last; 0 is for ever, and no less than {COMES_BACK_DAYS} else. Scores stay. Set the same for ingest",
    )
