"""kubectl as functions: run it, read its JSON, build what an overlay says."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from deploy import programs
from deploy.programs import Answer

Object = dict[str, Any]
K8S = Path(__file__).parents[2] / "k8s"


def run(*arguments: str, given: str | None = None) -> Answer:
    """Run kubectl, whatever comes of it."""
    return programs.run("kubectl", *arguments, given=given)


def must(*arguments: str, given: str | None = None) -> Answer:
    """Run kubectl; `Failed` with its words when it does not succeed."""
    return programs.must("kubectl", *arguments, given=given)


def items(*arguments: str) -> list[Object]:
    """The objects that `kubectl get` lists."""
    found: list[Object] = json.loads(must("get", *arguments, "-o", "json").out)["items"]
    return found


def kinds() -> set[str]:
    """The kinds that the cluster knows, each behind its version."""
    rows = [line.split() for line in must("api-resources", "--no-headers").out.splitlines()]
    return {f"{row[-3]} {row[-1]}" for row in rows}


def kind_of(each: Object) -> str:
    """An object's kind behind its version."""
    return f"{each['apiVersion']} {each['kind']}"


def overlay(name: str, image: str | None = None) -> list[Object]:
    """The objects of an overlay, with another image than its own where one is given."""
    built = must("kustomize", str(K8S / "overlays" / name)).out
    objects = [each for each in yaml.safe_load_all(built) if each]
    for each in objects:
        if image and each["kind"] in ("Deployment", "Job"):
            spec = each["spec"]["template"]["spec"]
            for container in (*spec.get("initContainers", ()), *spec["containers"]):
                container["image"] = image
    return objects


def warnings_in(answer: Answer) -> list[str]:
    """What the API server warned of."""
    return [line for line in answer.err.splitlines() if line.startswith("Warning:")]


def text_of(objects: Sequence[Object]) -> str:
    """Objects as kubectl reads them from its input."""
    return yaml.safe_dump_all(objects)
