"""What podman is given of an overlay: pods that listen where this machine has room, and nothing that it would misread."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from deploy.cluster.kubectl import Object
from deploy.smoke.adapt import Here, Place, adapted, probes

HERE = Here(
    Path("/files"),
    {"AFTERWORD_PUBLIC_URL": "http://127.0.0.1:1"},
    {"ingest": Place(15001, 15002), "scoring": Place(15003, 15004)},
)
ALONE = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}


def container(name: str, **more: Any) -> Object:
    return {
        "name": name,
        "image": "localhost/afterword:dev",
        "envFrom": [
            {"configMapRef": {"name": "settings-abc"}},
            {"secretRef": {"name": "afterword", "optional": True}},
        ],
        "securityContext": deepcopy(ALONE),
        "volumeMounts": [
            {"name": "access", "mountPath": "/etc/afterword", "readOnly": True},
            {"name": "tmp", "mountPath": "/tmp"},
        ],
    } | more


def workload(kind: str, name: str, **spec: Any) -> Object:
    volumes = [
        {"name": "access", "secret": {"secretName": "afterword-access"}},
        {"name": "tmp", "emptyDir": {"sizeLimit": "64Mi"}},
    ]
    template = {"metadata": {"labels": {"of": name}}, "spec": spec | {"volumes": volumes}}
    return {"kind": kind, "metadata": {"name": name}, "spec": {"template": template}}


def deployment(name: str) -> Object:
    asked = {"httpGet": {"path": "/health/live", "port": "http"}}
    more = {
        "ports": [{"name": "http", "containerPort": 8000}],
        "startupProbe": asked,
        "livenessProbe": asked,
        "readinessProbe": {"httpGet": {"path": "/health/ready", "port": "http"}},
        "lifecycle": {"preStop": {"sleep": {"seconds": 5}}},
    }
    spread = [{"topologyKey": "zone"}]
    containers = [container("afterword", **more)]
    return workload("Deployment", name, containers=containers, topologySpreadConstraints=spread)


@pytest.fixture
def objects() -> list[Object]:
    settings = {"AFTERWORD_PUBLIC_URL": "http://elsewhere", "AFTERWORD_PORT": "8000"}
    job = workload(
        "Job",
        "migrate-1",
        initContainers=[container("topics")],
        containers=[container("schemas")],
    )
    return [
        {"kind": "Namespace", "metadata": {"name": "afterword"}},
        {"kind": "ConfigMap", "metadata": {"name": "settings-abc"}, "data": settings},
        {"kind": "Service", "metadata": {"name": "ingest"}},
        {"kind": "Service", "metadata": {"name": "scoring"}},
        job,
        deployment("ingest"),
        deployment("scoring"),
    ]


def of(kind: str, played: list[Object]) -> list[Object]:
    return [each for each in played if each["kind"] == kind]


def test_each_service_listens_at_its_own_place(objects: list[Object]) -> None:
    configs = {
        each["metadata"]["name"]: each["data"]
        for each in of("ConfigMap", adapted(objects, HERE).then)
    }
    assert configs == {
        f"settings-abc-{name}": {
            "AFTERWORD_PUBLIC_URL": "http://127.0.0.1:1",
            "AFTERWORD_HOST": "127.0.0.1",
            "AFTERWORD_PORT": str(place.http),
            "AFTERWORD_METRICS_PORT": str(place.metrics),
        }
        for name, place in HERE.places.items()
    }


def test_every_config_that_a_pod_reads_is_there(objects: list[Object]) -> None:
    played = adapted(objects, HERE)
    for part in (played.first, played.then):
        there = {each["metadata"]["name"] for each in of("ConfigMap", part)}
        read = {
            source["configMapRef"]["name"]
            for spec in specs(part)
            for each in (*spec.get("initContainers", ()), *spec["containers"])
            for source in each["envFrom"]
            if "configMapRef" in source
        }
        assert read == there


def test_the_job_is_a_pod_that_is_played_first(objects: list[Object]) -> None:
    (pod,) = of("Pod", adapted(objects, HERE).first)
    assert pod["metadata"]["name"] == "migrate-1"
    assert pod["metadata"]["labels"] == {"of": "migrate-1"}
    assert [each["name"] for each in pod["spec"]["initContainers"]] == ["topics"]


def test_what_a_container_may_do_is_as_it_was(objects: list[Object]) -> None:
    played = adapted(objects, HERE)
    for spec in specs([*played.first, *played.then]):
        for each in (*spec.get("initContainers", ()), *spec["containers"]):
            assert each["securityContext"] == ALONE


def test_a_directory_stands_for_the_files_and_no_volume_is_shared(objects: list[Object]) -> None:
    played = adapted(objects, HERE)
    names = []
    for spec in specs([*played.first, *played.then]):
        files, tmp = spec["volumes"]
        assert files["hostPath"] == {"path": "/files", "type": "Directory"}
        assert "secret" not in files
        assert tmp["emptyDir"] == {"sizeLimit": "64Mi"}
        for each in (*spec.get("initContainers", ()), *spec["containers"]):
            assert [mount["name"] for mount in each["volumeMounts"]] == [files["name"], tmp["name"]]
        names += [files["name"], tmp["name"]]
    assert len(set(names)) == len(names)


def test_what_podman_would_misread_is_left_out_and_asked_for_from_outside(
    objects: list[Object],
) -> None:
    before = deepcopy(objects)
    played = adapted(objects, HERE)
    for spec in specs(played.then):
        assert spec["hostNetwork"] is True
        assert "topologySpreadConstraints" not in spec
        assert not [key for key in spec["containers"][0] if key.endswith("Probe")]
        assert not {"ports", "lifecycle"} & spec["containers"][0].keys()
    assert probes(objects[-1]) == {
        "startupProbe": "/health/live",
        "livenessProbe": "/health/live",
        "readinessProbe": "/health/ready",
    }
    assert played.left_out == {"Namespace": 1, "Service": 2}
    assert objects == before, "what was given is not touched"


def specs(played: list[Object]) -> list[Object]:
    """What every pod is made of."""
    pods = [each["spec"] for each in of("Pod", played)]
    return pods + [each["spec"]["template"]["spec"] for each in of("Deployment", played)]
