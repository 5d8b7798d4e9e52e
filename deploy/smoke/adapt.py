"""Makes of an overlay's objects what podman plays on this machine's own network, and says what it changed and left out.

What podman 4.3 of Debian 12 does with Kubernetes' YAML, and what is done about it here:

- It knows no Job: its pod is played as one that is never started again, and waited for.
- It knows no Service and no cluster's names, and a pod of its own network does not reach a server of this machine's
  loopback: pods have this machine's network, each service a port of its own.
- What `envFrom` brings comes before `env`: what differs here is written into a ConfigMap for each workload.
- It writes a Secret that is mounted as its base64 says, not decoded: a directory of this machine is mounted instead.
- Volumes of one name are one volume, in whichever pod: they are named after the workload.
- It runs probes as a shell's command inside of the container, and only beside systemd: who plays the pods asks them from
  outside, as a kubelet does, at the paths that `probes` finds.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

from deploy.cluster.kubectl import Object

DROPPED_OF_A_POD = ("topologySpreadConstraints",)
DROPPED_OF_A_CONTAINER = ("ports", "startupProbe", "livenessProbe", "readinessProbe", "lifecycle")
_KEEPS_ITS_FIRST_CONTAINERS = {"io.podman.annotations.init.container.type": "always"}
_PROBES = ("startupProbe", "livenessProbe", "readinessProbe")


@dataclass(frozen=True)
class Place:
    """Where a service listens on this machine."""

    http: int
    metrics: int


@dataclass(frozen=True)
class Here:
    """What pods find on this machine instead of a cluster: the directory of the access file and the token keys, settings
    that differ from the overlay's, and a place for each service."""

    files: Path
    settings: Mapping[str, str]
    places: Mapping[str, Place]


@dataclass(frozen=True)
class Played:
    """What podman is given, first what must end before the rest begins; and how many of which kinds it is not given."""

    first: list[Object]
    then: list[Object]
    left_out: Counter[str]


def adapted(objects: Iterable[Object], here: Here) -> Played:
    """Each Job and each Deployment with the ConfigMaps that it reads. Raises `KeyError` for a Deployment without a place."""
    objects = list(objects)
    configs = {each["metadata"]["name"]: each for each in objects if each["kind"] == "ConfigMap"}
    played = Played([], [], Counter())
    for each in objects:
        name = each["metadata"]["name"]
        if each["kind"] == "Job":
            pod = _template(each, name, here)
            played.first.extend(_own_configs(pod, name, configs, here.settings))
            played.first.append(_pod(name, pod))
        elif each["kind"] == "Deployment":
            pod = _template(each, name, here)
            settings = {**here.settings, **_listening(here.places[name])}
            played.then.extend(_own_configs(pod, name, configs, settings))
            spec = each["spec"] | {"template": pod}
            played.then.append(each | {"spec": spec})
        elif each["kind"] != "ConfigMap":
            played.left_out[each["kind"]] += 1
    return played


def probes(deployment: Object) -> dict[str, str]:
    """The path that each probe of a Deployment's container asks for."""
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    return {probe: container[probe]["httpGet"]["path"] for probe in _PROBES}


def _listening(place: Place) -> dict[str, str]:
    return {
        "AFTERWORD_HOST": "127.0.0.1",
        "AFTERWORD_PORT": str(place.http),
        "AFTERWORD_METRICS_PORT": str(place.metrics),
    }


def _pod(name: str, template: Object) -> Object:
    metadata = template["metadata"] | {"name": name, "annotations": _KEEPS_ITS_FIRST_CONTAINERS}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}


def _template(workload: Object, name: str, here: Here) -> Object:
    template: Object = deepcopy(workload["spec"]["template"])
    spec = template["spec"]
    spec["hostNetwork"] = True
    for dropped in DROPPED_OF_A_POD:
        spec.pop(dropped, None)
    spec["volumes"] = [_volume(each, name, here.files) for each in spec.get("volumes", ())]
    for container in _containers(template):
        for dropped in DROPPED_OF_A_CONTAINER:
            container.pop(dropped, None)
        for mount in container.get("volumeMounts", ()):
            mount["name"] = f"{name}-{mount['name']}"
    return template


def _volume(volume: Object, name: str, files: Path) -> Object:
    named = volume | {"name": f"{name}-{volume['name']}"}
    if named.pop("secret", None):
        named["hostPath"] = {"path": str(files), "type": "Directory"}
    return named


def _own_configs(
    template: Object, name: str, configs: Mapping[str, Object], settings: Mapping[str, str]
) -> list[Object]:
    """The ConfigMaps that the pod reads, as the workload's own and with these settings; it is made to read them."""
    own: dict[str, Object] = {}
    for container in _containers(template):
        for source in container.get("envFrom", ()):
            if reference := source.get("configMapRef"):
                config = configs[reference["name"]]
                reference["name"] = f"{config['metadata']['name']}-{name}"
                own[reference["name"]] = config | {
                    "metadata": config["metadata"] | {"name": reference["name"]},
                    "data": config["data"] | settings,
                }
    return list(own.values())


def _containers(template: Object) -> list[Object]:
    spec = template["spec"]
    return [*spec.get("initContainers", ()), *spec["containers"]]
