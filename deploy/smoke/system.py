"""The system of pods on this machine: what is played, where each service listens, and what is claimed of its containers."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import httpx

from deploy.claims import Failed
from deploy.cluster.kubectl import Object
from deploy.programs import wait_for
from deploy.smoke.adapt import Place, Played, probes
from deploy.smoke.confined import CONFINED, field, must_be_confined
from deploy.smoke.podman import Podman

PATIENCE_SECONDS = 90.0
OURS = "app.kubernetes.io/name=afterword"
_COMPONENT = "app.kubernetes.io/component"


@dataclass
class System:
    """What is played of an overlay."""

    podman: Podman
    objects: list[Object]
    played: Played
    places: Mapping[str, Place]

    @property
    def deployments(self) -> dict[str, Object]:
        return {
            each["metadata"]["name"]: each for each in self.objects if each["kind"] == "Deployment"
        }

    def containers(self, component: str | None = None) -> list[Object]:
        """Those that podman has of one component, or of all."""
        label = f"{_COMPONENT}={component}" if component else OURS
        return self.podman.containers(label)

    def take_down(self) -> None:
        """Remove all pods, whatever has become of them."""
        for objects in (self.played.then, self.played.first):
            self.podman.take_down(objects)


def the_migration_makes_topics_and_schemas(system: System) -> str:
    """The Job's pod ends, each of its containers with 0."""
    said = system.podman.play(system.played.first)
    ended = wait_for(lambda: _ended(system, "migrate"), "the migration to end", PATIENCE_SECONDS)
    for container in ended:
        if _code(container):
            said = system.podman.logs(container["Id"])
            raise Failed(f"{container['Name']} ended with {_code(container)}: {said[-1500:]}")
    if not ended:
        raise Failed(f"podman played nothing: {said}")
    return ", ".join(f"{each['Name']} ended with {_code(each)}" for each in ended)


def pods_answer_their_probes(system: System) -> str:
    """Every path that a probe of the manifests names answers 200 in time."""
    started = time.monotonic()
    if said := system.podman.play(system.played.then):
        raise Failed(said)
    paths: set[str] = set()
    for service, deployment in system.deployments.items():
        for path in dict.fromkeys(probes(deployment).values()):
            url = f"http://127.0.0.1:{system.places[service].http}{path}"
            _until_well(system, service, url)
            paths.add(path)
    seconds = time.monotonic() - started
    return f"{' and '.join(sorted(paths))} of {len(system.deployments)} pods, in {seconds:.1f} s"


def containers_may_do_nothing(system: System) -> str:
    """What the kernel says of each first process, and podman of its container, is what the manifests ask for."""
    for container in system.containers():
        if container["State"]["Running"]:
            must_be_confined(system.podman, container)
    return CONFINED


def pods_are_small(system: System) -> str:
    """What each process has resident."""
    told = []
    for service in system.deployments:
        (container,) = system.containers(service)
        status = system.podman.read(container["Id"], "/proc/1/status")
        resident = int(field(status, "VmRSS").split()[0]) * 1024 / 1e6
        told.append(f"{service} {resident:.0f} MB")
    return ", ".join(told)


def pods_end_in_order(system: System) -> str:
    """SIGTERM ends each service by itself, within the time that its manifest gives it, and nothing is tried again."""
    told = []
    for service, deployment in system.deployments.items():
        (container,) = system.containers(service)
        spec = deployment["spec"]["template"]["spec"]
        patience = str(spec["terminationGracePeriodSeconds"])
        started = time.monotonic()
        system.podman.must("stop", "--time", patience, container["Id"])
        seconds = time.monotonic() - started
        (container,) = system.containers(service)
        if container["State"]["ExitCode"]:
            raise Failed(f"{service} ended with {_code(container)}")
        told.append(f"{service} {seconds:.1f} s")
    return f"exit code 0, after {', '.join(told)}"


def _ended(system: System, component: str) -> list[Object] | None:
    found = system.containers(component)
    return None if any(each["State"]["Running"] for each in found) else found


def _code(container: Object) -> int:
    code: int = container["State"]["ExitCode"]
    return code


def _until_well(system: System, service: str, url: str) -> None:
    def well() -> bool | None:
        try:
            return httpx.get(url, timeout=5, trust_env=False).status_code == 200 or None
        except httpx.TransportError:
            return None

    try:
        wait_for(well, f"{url} of {service}", PATIENCE_SECONDS)
    except Failed as failed:
        said = "".join(system.podman.logs(each["Id"]) for each in system.containers(service))
        raise Failed(f"{failed}; it said: {said.strip()[-1500:]}") from failed


CLAIMS_AT_START: tuple[Callable[[System], str], ...] = (
    the_migration_makes_topics_and_schemas,
    pods_answer_their_probes,
    containers_may_do_nothing,
    pods_are_small,
)
CLAIMS_AT_END: tuple[Callable[[System], str], ...] = (pods_end_in_order,)
