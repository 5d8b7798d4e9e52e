"""The system as it stands in the namespace: its Deployments and their pods."""

import json
from collections import Counter
from dataclasses import dataclass

from deploy.claims import Failed
from deploy.cluster.kubectl import Object, items, must, text_of, warnings_in
from deploy.programs import wait_for

NAMESPACE = "afterword"
PODS = "app.kubernetes.io/name=afterword,app.kubernetes.io/component!=migrate"
NOWHERE = "afterword.invalid/none:none"
"""An image that no registry can have."""

_ZONE = "topology.kubernetes.io/zone"


@dataclass(frozen=True)
class System:
    """What was applied, and how long a change of it may take."""

    objects: list[Object]
    patience_seconds: float

    @property
    def deployments(self) -> list[str]:
        return [each["metadata"]["name"] for each in self.objects if each["kind"] == "Deployment"]

    def apply(self) -> list[str]:
        """Apply everything; the warnings of the API server."""
        given = text_of(self.objects)
        return warnings_in(
            must("apply", "--server-side", "--force-conflicts", "-f", "-", given=given)
        )

    def would_change(self) -> list[str]:
        """What another apply would change, their state aside, which changes by itself."""
        given = text_of(self.objects)
        dry = ("apply", "--server-side", "--force-conflicts", "--dry-run=server")
        there = _wishes("get", given)
        return [name for name, wish in _wishes(*dry, given).items() if wish != there[name]]

    def remove_migration(self) -> None:
        """Take the Job away, done or not: it cannot be changed, and to run again is harmless."""
        label = "app.kubernetes.io/component=migrate"
        must("delete", "job", "-n", NAMESPACE, "-l", label, "--ignore-not-found", "--wait")

    def until_migrated(self) -> None:
        """Wait until the migration is done."""
        patience = f"--timeout={self.patience_seconds:.0f}s"
        must("wait", "job", "--all", "-n", NAMESPACE, "--for=condition=complete", patience)

    def until_available(self) -> dict[str, int]:
        """Wait until each Deployment has all its pods, of its newest kind and available; how many, by name."""
        return wait_for(self._available, "every Deployment to be available", self.patience_seconds)

    def _available(self) -> dict[str, int] | None:
        there = {each["metadata"]["name"]: each for each in items("deployments", "-n", NAMESPACE)}
        fewest = self._fewest()
        if there.keys() != fewest.keys():
            return None
        for name, each in there.items():
            status, wanted = each["status"], each["spec"]["replicas"]
            settled = status.get("observedGeneration") == each["metadata"]["generation"]
            counts = {
                status.get(key, 0) for key in ("replicas", "updatedReplicas", "availableReplicas")
            }
            if not settled or counts != {wanted} or wanted < fewest[name]:
                return None
        return {name: each["spec"]["replicas"] for name, each in there.items()}

    def _fewest(self) -> dict[str, int]:
        """How many pods each must have at least, by its own word or its autoscaler's."""
        fewest = {
            each["metadata"]["name"]: each["spec"].get("replicas", 1)
            for each in self.objects
            if each["kind"] == "Deployment"
        }
        for each in self.objects:
            if each["kind"] == "HorizontalPodAutoscaler":
                fewest[each["spec"]["scaleTargetRef"]["name"]] = each["spec"]["minReplicas"]
        return fewest


def _wishes(*command: str) -> dict[str, Object]:
    """What a command says of the objects it is given last: all that somebody wished, by kind and name."""
    *arguments, given = command
    found: list[Object] = json.loads(must(*arguments, "-f", "-", "-o", "json", given=given).out)[
        "items"
    ]
    for each in found:
        each.pop("status", None)
        each["metadata"].pop("managedFields", None)
        each["metadata"].pop("resourceVersion", None)
    return {f"{each['kind']} {each['metadata']['name']}": each for each in found}


def pods_of(service: str | None = None) -> list[Object]:
    """The pods that run, of one service or of all."""
    selector = PODS if service is None else f"{PODS},app.kubernetes.io/component={service}"
    return [
        pod
        for pod in items("pods", "-n", NAMESPACE, "-l", selector)
        if "deletionTimestamp" not in pod["metadata"]
    ]


def is_ready(pod: Object) -> bool:
    return any(
        each["type"] == "Ready" and each["status"] == "True"
        for each in pod["status"].get("conditions", ())
    )


def zones() -> dict[str, str]:
    """The zone of each node that takes pods."""
    return {
        node["metadata"]["name"]: node["metadata"]["labels"].get(_ZONE, "")
        for node in items("nodes")
        if not node["spec"].get("unschedulable")
    }


def by_zone(service: str, zone_of: dict[str, str]) -> Counter[str]:
    """How many pods of a service each zone has."""
    counted = Counter(dict.fromkeys(zone_of.values(), 0))
    for pod in pods_of(service):
        node = pod["spec"].get("nodeName")
        if node is None:
            raise Failed(f"pod {pod['metadata']['name']} has no node")
        counted[zone_of[node]] += 1
    return counted
