"""The failures that the consumer loop, the outbox and the HTTP ground tell apart."""


class AfterwordError(Exception):
    """Root of every error raised on purpose."""


class Unavailable(AfterwordError):
    """A dependency (log, database) cannot be reached or asks to try again; the effect is *unknown*.

    Consumers retry the same batch for ever, HTTP answers 503 with Retry-After.
    """


class GroupInUse(Unavailable):
    """A consumer group has members, who would not notice that it was moved."""


class TurnedAway(Unavailable):
    """The dependency answers and does not know us or what we ask for: at a start the settings are wrong."""


class Undecodable(AfterwordError):
    """Bytes that can never become a message; they go to the dead-letter topic."""


class UnknownMajor(AfterwordError):
    """A message of a newer major version; its partition stops until this code is upgraded."""


class Refused(AfterwordError):
    """The log will never take this record (too large, invalid); `index` is its place in the send."""

    def __init__(self, reason: str, index: int) -> None:
        super().__init__(reason)
        self.index = index


class OffsetLost(AfterwordError):
    """A committed offset lies below the log's start: records were deleted before they were read."""


class StartupError(AfterwordError):
    """One sentence for the operator; the process ends with a non-zero exit."""


def leaves(error: BaseException) -> list[BaseException]:
    """What a group of exceptions is made of, however deep; an exception that is no group itself."""
    if not isinstance(error, BaseExceptionGroup):
        return [error]
    return [leaf for one in error.exceptions for leaf in leaves(one)]
