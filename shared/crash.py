"""Named crash points: inert unless AFTERWORD_CRASH_AT names one, then the process kills itself."""

import os
import signal
from enum import StrEnum


class Point(StrEnum):
    """Every place where a kill is known to bite, one per step of a hop."""

    INTAKE_AFTER_APPEND = "intake.after_append"
    WORKER_BEFORE_COMMIT = "worker.before_commit"
    WORKER_AFTER_COMMIT = "worker.after_commit"
    RELAY_AFTER_PUBLISH = "relay.after_publish"
    SENDER_AFTER_CLAIM = "sender.after_claim"
    SENDER_AFTER_SEND = "sender.after_send"
    DISPATCH_AFTER_CLAIM = "dispatch.after_claim"
    DISPATCH_AFTER_SEND = "dispatch.after_send"
    RETENTION_BEFORE_COMMIT = "retention.before_commit"


_NAME, _, _COUNT = os.environ.get("AFTERWORD_CRASH_AT", "").partition(":")
_remaining = int(_COUNT or 1)


def point(name: Point) -> None:
    """Kill this process with SIGKILL at the nth passing of the point AFTERWORD_CRASH_AT=name:n."""
    global _remaining
    if name != _NAME:
        return
    _remaining -= 1
    if _remaining == 0:
        os.kill(os.getpid(), signal.SIGKILL)
