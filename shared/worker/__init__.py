"""The consumer loop of every service: fetch, decode, handle in one database transaction, commit the offsets."""

from shared.worker.loop import Worker
from shared.worker.status import LoopStatus
from shared.worker.subscription import Bury, Handle, Subscription

__all__ = ["Bury", "Handle", "LoopStatus", "Subscription", "Worker"]
