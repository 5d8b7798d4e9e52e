"""The overlays, built as `kubectl apply -k` would."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

K8S = Path(__file__).parents[3] / "k8s"
OVERLAYS = sorted(path.name for path in (K8S / "overlays").iterdir())
Object = dict[str, Any]


class Built:
    """The objects of one overlay."""

    def __init__(self, objects: list[Object]) -> None:
        self.objects = objects

    def of(self, kind: str) -> list[Object]:
        return [each for each in self.objects if each["kind"] == kind]

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


@pytest.fixture(scope="session", params=OVERLAYS)
def built(request: pytest.FixtureRequest) -> Built:
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        if os.environ.get("AFTERWORD_NO_SKIPS"):
            pytest.fail("kubectl is not installed")
        pytest.skip("kubectl is not installed: it builds the overlays")
    answer = subprocess.run(
        [kubectl, "kustomize", str(K8S / "overlays" / request.param)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    return Built([each for each in yaml.safe_load_all(answer.stdout) if each])
