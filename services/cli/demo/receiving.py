"""Takes the demo's webhooks with the same receiver as `listen` and remembers which alerts were proven genuine."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from services.cli.receiver import Delivery, Receiver


@dataclass
class Received:
    """The alerts that arrived, and how many deliveries did not prove where they came from."""

    secrets: list[str] = field(default_factory=list)
    alerts: set[str] = field(default_factory=set)
    forged: int = 0

    def receiver(self) -> Receiver:
        """The application that webhooks are sent to."""
        return Receiver(self._known, self._take)

    async def _known(self, again: bool) -> Sequence[str]:
        return self.secrets

    def _take(self, delivery: Delivery) -> None:
        if delivery.refused is not None:
            self.forged += 1
        elif delivery.body["type"] == "alert.raised":
            self.alerts.add(delivery.body["data"]["alert"]["id"])
