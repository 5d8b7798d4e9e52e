"""podman as an engine that Docker Compose speaks to: its socket, and its health checks where no systemd asks for them."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deploy.local.process import ServerProcess
from deploy.smoke.podman import Podman

_SECONDS_BETWEEN = 3.0
_SYSTEMD = Path("/run/systemd/private")


@contextmanager
def served(podman: Podman, directory: Path, label: str) -> Iterator[Podman]:
    """podman whose environment names its socket to Docker Compose; containers with the label are asked how they are."""
    socket = directory / "podman.sock"
    service = ServerProcess(
        ["podman", "system", "service", "--time=0", f"unix://{socket}"],
        output=directory / "podman.log",
        env=podman.environment,
    )
    podman.environment["DOCKER_HOST"] = f"unix://{socket}"
    enough = threading.Event()
    asking = threading.Thread(target=_ask, args=(podman, label, enough))
    try:
        service.wait_until(socket.exists)
        if not _SYSTEMD.exists():
            asking.start()
        yield podman
    finally:
        enough.set()
        if asking.is_alive():
            asking.join()
        service.end(signal.SIGTERM)


def _ask(podman: Podman, label: str, enough: threading.Event) -> None:
    """What systemd's timers do otherwise, for whatever runs."""
    while not enough.wait(_SECONDS_BETWEEN):
        for name in podman.run("ps", "--quiet", f"--filter=label={label}").out.split():
            podman.run("healthcheck", "run", name)
