"""What pods name of Secrets and ConfigMaps, and what of it is not there: a pod that names such a thing never starts."""

import base64
from collections.abc import Iterable, Iterator, Mapping
from pathlib import PurePosixPath

from deploy.cluster.kubectl import Object

Holdings = Mapping[tuple[str, str], Mapping[str, str]]
"""What Secrets and ConfigMaps hold, by kind and name."""

_VOLUMES = {"secret": ("Secret", "secretName"), "configMap": ("ConfigMap", "name")}
_PROJECTED = {"secret": "Secret", "configMap": "ConfigMap"}
_WHOLE = {"secretRef": "Secret", "configMapRef": "ConfigMap"}
_ONE = {"secretKeyRef": "Secret", "configMapKeyRef": "ConfigMap"}


def holdings(objects: Iterable[Object]) -> Holdings:
    """What the Secrets and ConfigMaps among these objects hold."""
    return {
        (each["kind"], each["metadata"]["name"]): _content(each)
        for each in objects
        if each["kind"] in ("Secret", "ConfigMap")
    }


def pods_in(objects: Iterable[Object]) -> dict[str, Object]:
    """What every workload among these objects makes its pods of, by the workload's name."""
    return {
        each["metadata"]["name"]: each["spec"]["template"]["spec"]
        for each in objects
        if each["kind"] in ("Deployment", "Job")
    }


def missing(pod: Object, held: Holdings) -> list[str]:
    """What a pod names and does not find, in words: Secrets and ConfigMaps, keys in them, and files of settings."""
    found = [words for volume in pod.get("volumes", ()) for words in _of_volume(volume, held)]
    for container in containers(pod):
        found += _of_container(container, held)
        there = files(pod, container, held)
        found += [
            f"{container['name']}: {name} is {value}, where no file is"
            for name, value in environment(container, held).items()
            if name.endswith("_FILE") and value not in there
        ]
    return found


def containers(pod: Object) -> list[Object]:
    """All that a pod runs, one after the other or together."""
    return [*pod.get("initContainers", ()), *pod["containers"]]


def environment(container: Object, held: Holdings) -> dict[str, str]:
    """The variables that a container is told, as far as what it names is there."""
    told: dict[str, str] = {}
    for kind, reference in _wholes(container):
        told |= held.get((kind, reference["name"]), {})
    for each in container.get("env", ()):
        if "value" in each:
            told[each["name"]] = each["value"]
    for each, kind, reference in _ones(container):
        content = held.get((kind, reference["name"]), {})
        if reference["key"] in content:
            told[each["name"]] = content[reference["key"]]
    return told


def files(pod: Object, container: Object, held: Holdings) -> set[str]:
    """The paths of what a container finds of Secrets and ConfigMaps."""
    volumes = {each["name"]: each for each in pod.get("volumes", ())}
    return {
        str(PurePosixPath(mount["mountPath"], path))
        for mount in container.get("volumeMounts", ())
        for kind, name, source in _sources(volumes[mount["name"]])
        for path in _paths(source, held.get((kind, name), {}))
    }


def _content(each: Object) -> dict[str, str]:
    if each["kind"] == "ConfigMap":
        return dict(each.get("data", {}))
    told = {
        key: base64.b64decode(value).decode(errors="replace")
        for key, value in each.get("data", {}).items()
    }
    return {**told, **each.get("stringData", {})}


def _of_volume(volume: Object, held: Holdings) -> Iterator[str]:
    for kind, name, source in _sources(volume):
        items = [item["key"] for item in source.get("items", ())]
        yield from _lacking(f"volume {volume['name']}", kind, name, items, source, held)


def _of_container(container: Object, held: Holdings) -> Iterator[str]:
    name = container["name"]
    for kind, reference in _wholes(container):
        yield from _lacking(name, kind, reference["name"], [], reference, held)
    for _, kind, reference in _ones(container):
        yield from _lacking(name, kind, reference["name"], [reference["key"]], reference, held)


def _lacking(
    who: str, kind: str, name: str, keys: Iterable[str], reference: Object, held: Holdings
) -> Iterator[str]:
    if reference.get("optional"):
        return
    content = held.get((kind, name))
    if content is None:
        yield f"{who}: no {kind} {name}"
        return
    yield from (f"{who}: {kind} {name} has no {key}" for key in keys if key not in content)


def _sources(volume: Object) -> Iterator[tuple[str, str, Object]]:
    """Kind, name and what is said of each Secret and ConfigMap in a volume."""
    for field, (kind, called) in _VOLUMES.items():
        if field in volume:
            yield kind, volume[field][called], volume[field]
    for source in volume.get("projected", {}).get("sources", ()):
        for field, kind in _PROJECTED.items():
            if field in source:
                yield kind, source[field]["name"], source[field]


def _paths(source: Object, content: Mapping[str, str]) -> Iterator[str]:
    items = source.get("items")
    if items is None:
        yield from content
    else:
        yield from (item["path"] for item in items if item["key"] in content)


def _wholes(container: Object) -> Iterator[tuple[str, Object]]:
    for each in container.get("envFrom", ()):
        for field, kind in _WHOLE.items():
            if field in each:
                yield kind, each[field]


def _ones(container: Object) -> Iterator[tuple[Object, str, Object]]:
    for each in container.get("env", ()):
        for field, kind in _ONE.items():
            if field in each.get("valueFrom", {}):
                yield each, kind, each["valueFrom"][field]
