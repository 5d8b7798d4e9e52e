"""What a row needs to be there: rows with the same setup share one laboratory."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Setup:
    """Kafka, PostgreSQL and a process per service, or one embedded process."""

    embedded: bool = False
    replicas: int = 1
    """Of each service."""
    brokers: int = 1
    side_door: bool = False
    """The second replica of each service reaches the broker through a proxy of its own."""
    clocks_apart: bool = False
    """The first replica's clock is slow by ten minutes, the second's fast."""
    disk_mb: int | None = None
    """The data lies on a small disk of its own, which can be filled."""
    previous: bool = False
    """The previous release is there too, and begins; each workspace is a system of its own."""
    sabotage: str | None = None
    """The build that is broken on purpose: the laws must be seen not to hold."""
