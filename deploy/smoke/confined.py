"""What a container may do, as the kernel says of its first process and the engine of the container."""

import re

from deploy.claims import Failed
from deploy.cluster.kubectl import Object
from deploy.smoke.engine import Engine

CONFINED = (
    "user 10001, no capability, no new privileges, seccomp, a root that is read-only, 512 MiB"
)
_MEBIBYTE = 1 << 20


def must_be_confined(engine: Engine, container: Object) -> None:
    """`Failed` with what this running container may do beyond `CONFINED`."""
    status = engine.read(container["Id"], "/proc/1/status")
    held = {
        "user 10001": field(status, "Uid").split() == ["10001"] * 4,
        "no capability": not int(field(status, "CapBnd"), 16),
        "no new privileges": field(status, "NoNewPrivs") == "1",
        "a seccomp filter": field(status, "Seccomp") == "2",
        "a root that is read-only": container["HostConfig"]["ReadonlyRootfs"] is True,
        "512 MiB of memory": container["HostConfig"]["Memory"] == 512 * _MEBIBYTE,
    }
    if wrong := [what for what, so in held.items() if not so]:
        raise Failed(f"{container['Name']} has not: {', '.join(wrong)}")


def field(status: str, name: str) -> str:
    """A line of /proc/PID/status."""
    found = re.search(rf"^{name}:\s+(.*)$", status, re.MULTILINE)
    if found is None:
        raise Failed(f"/proc/1/status says no {name}")
    return found[1]
