"""For how long a class of data is kept, as a setting says it: for ever, or longer than anything about it can come back."""

from typing import Annotated, Final

from pydantic import AfterValidator, Field

COMES_BACK_DAYS: Final = 40
"""Within so many days a message can come again: the log keeps it for 7 days, the dead letters for 30."""


def _long_enough(days: int) -> int:
    if 0 < days < COMES_BACK_DAYS:
        raise ValueError(
            f"it must be kept for {COMES_BACK_DAYS} days or more, because for so long a message about it may come"
            " again, from the log or as a dead letter; 0 keeps it for ever"
        )
    return days


KeptDays = Annotated[int, Field(ge=0, le=36_500), AfterValidator(_long_enough)]
"""A number of days; 0 is for ever."""
