"""podman with settings that any machine allows; it plays Kubernetes' YAML."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from deploy.claims import Failed
from deploy.cluster.kubectl import Object, text_of
from deploy.local.process import MissingPart
from deploy.smoke.engine import Engine

_SETTINGS = """\
[containers]
# Raising a limit may be denied to whoever starts a container; lowering it never is.
default_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]
[engine]
# Without systemd, and on whatever version of cgroups there is.
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "{runtime}"
"""
_RUNTIMES = ("runc", "crun")


class Podman(Engine):
    """podman and buildah with one set of settings, kept in a directory."""

    def __init__(self, directory: Path) -> None:
        """Raises `MissingPart` for what is not installed."""
        for program in ("podman", "buildah"):
            if shutil.which(program) is None:
                raise MissingPart(f"{program}: install podman, buildah and runc")
        settings = directory / "containers.conf"
        settings.write_text(_SETTINGS.format(runtime=_runtime()))
        environment = {
            # Where a container may not be nested in what this machine is.
            "BUILDAH_ISOLATION": "chroot",
            **os.environ,
            "CONTAINERS_CONF": str(settings),
        }
        super().__init__("podman", environment)

    def play(self, objects: Sequence[Object]) -> str:
        """Start the pods; what podman says when a container cannot be started, or a first one ends badly."""
        answer = self.run("kube", "play", "-", given=text_of(objects))
        return answer.err.strip() if answer.code else ""

    def take_down(self, objects: Sequence[Object]) -> None:
        """Remove the pods; those that are not there are fine."""
        self.run("kube", "down", "-", given=text_of(objects))

    def keep_secret(self, name: str, document: str) -> None:
        """What `secretRef` reads: a JSON object of base64 values, for that is what podman 4.3 reads there, while it
        stores a Secret that it is given as YAML."""
        self.must("secret", "create", name, "-", given=document)


def _runtime() -> str:
    for name in _RUNTIMES:
        if shutil.which(name):
            return name
    raise Failed("no container runtime is there: install runc")
