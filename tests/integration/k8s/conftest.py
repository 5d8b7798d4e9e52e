"""The overlays and the components, built as `kubectl apply -k` would."""

import os
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

K8S = Path(__file__).parents[3] / "k8s"
OVERLAYS = sorted(path.name for path in (K8S / "overlays").iterdir())
COMPONENTS = sorted(
    str(path.parent.relative_to(K8S / "components"))
    for path in (K8S / "components").rglob("kustomization.yaml")
)
Object = dict[str, Any]
Build = Callable[[Path], "Built"]


class Built:
    """The objects of one overlay."""

    def __init__(self, objects: list[Object]) -> None:
        self.objects = objects

    def of(self, kind: str) -> list[Object]:
        return [each for each in self.objects if each["kind"] == kind]

    def settings(self) -> Object:
        """The ConfigMap that tells every process what it is told."""
        (found,) = (
            each
            for each in self.of("ConfigMap")
            if "grafana_dashboard" not in each["metadata"].get("labels", {})
        )
        return found

    def named(self, kind: str) -> dict[str, Object]:
        return {each["metadata"]["name"]: each for each in self.of(kind)}

    def pods(self) -> dict[str, Object]:
        """What every workload makes its pods of, by the workload's name."""
        return {
            each["metadata"]["name"]: each["spec"]["template"]
            for each in (*self.of("Deployment"), *self.of("Job"))
        }

    def containers(self) -> dict[str, Object]:
        """Every container, by workload and name."""
        return {
            f"{name}/{each['name']}": each
            for name, pod in self.pods().items()
            for each in (*pod["spec"].get("initContainers", ()), *pod["spec"]["containers"])
        }


@pytest.fixture(scope="session")
def build(kubectl: str) -> Build:
    """What makes objects of a directory with a kustomization."""

    def run(directory: Path) -> Built:
        answer = subprocess.run(
            [kubectl, "kustomize", str(directory)], capture_output=True, text=True, check=False
        )
        assert answer.returncode == 0, answer.stderr
        return Built([each for each in yaml.safe_load_all(answer.stdout) if each])

    return run


@pytest.fixture(scope="session", params=OVERLAYS)
def built(request: pytest.FixtureRequest, build: Build) -> Built:
    """Each overlay."""
    return build(K8S / "overlays" / request.param)


@pytest.fixture(scope="session", params=COMPONENTS)
def composed(
    request: pytest.FixtureRequest, build: Build, tmp_path_factory: pytest.TempPathFactory
) -> Built:
    """Each component, alone on the base."""
    return compose(build, tmp_path_factory.mktemp("composed"), request.param)


def compose(
    build: Build, directory: Path, *components: str, patches: Sequence[Object] = ()
) -> Built:
    """The base with these components and patches, as an overlay in this directory."""
    up = Path(os.path.relpath(K8S.resolve(), directory.resolve()))
    kustomization = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [str(up / "base")],
        "components": [str(up / "components" / name) for name in components],
        "patches": list(patches),
    }
    (directory / "kustomization.yaml").write_text(yaml.safe_dump(kustomization), encoding="utf-8")
    return build(directory)
