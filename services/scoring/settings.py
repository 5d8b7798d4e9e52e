"""What the scoring service is told by its environment, beside what every service is told."""

from pydantic import Field

import shared.settings


class Settings(shared.settings.Settings):
    """Read once, in `main`, and passed down; never changed."""

    rollup: tuple[str, ...] = Field(
        ("org", "product"),
        description="Dimensions that the histograms of a new workspace keep apart; `rebuild` changes them later",
        max_length=8,
    )
