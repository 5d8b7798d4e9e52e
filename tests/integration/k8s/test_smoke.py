"""What `make k8s-smoke` gives podman of the dev overlay: every pod of it, with all that it reads, and as little rights."""

from pathlib import Path

from deploy.smoke.adapt import Here, Place, adapted, probes
from deploy.smoke.image import IMAGE
from services.cli.paths import SERVICES
from tests.integration.k8s.conftest import K8S, Build, Built

PLACES = {name: Place(15_001 + 2 * n, 15_002 + 2 * n) for n, name in enumerate(SERVICES)}


def test_podman_plays_every_pod_of_the_dev_overlay(build: Build) -> None:
    dev = build(K8S / "overlays" / "dev")
    played = adapted(dev.objects, Here(Path("/files"), {}, PLACES))
    first, then = Built(played.first), Built(played.then)
    assert {each["kind"] for each in (*played.first, *played.then)} == {
        "ConfigMap",
        "Deployment",
        "Pod",
    }
    assert [each["metadata"]["name"] for each in first.of("Pod")] == list(dev.named("Job"))
    assert then.named("Deployment").keys() == set(SERVICES)
    for name, container in then.containers().items():
        own = dev.containers()[name]
        assert container["image"] == IMAGE
        for key in ("args", "securityContext", "resources"):
            assert container[key] == own[key], f"{name}: {key}"


def test_each_probe_has_a_path_that_can_be_asked_for(build: Build) -> None:
    for deployment in build(K8S / "overlays" / "dev").of("Deployment"):
        assert probes(deployment) == {
            "startupProbe": "/health/live",
            "livenessProbe": "/health/live",
            "readinessProbe": "/health/ready",
        }


def test_settings_of_each_service_are_the_overlays_but_for_where_it_listens(build: Build) -> None:
    dev = build(K8S / "overlays" / "dev")
    wanted = dev.settings()["data"]
    played = adapted(dev.objects, Here(Path("/files"), {}, PLACES))
    configs = Built(played.then).of("ConfigMap")
    assert len(configs) == len(SERVICES)
    for config in configs:
        changed = {name for name, value in config["data"].items() if wanted.get(name) != value}
        assert changed == {"AFTERWORD_HOST", "AFTERWORD_PORT", "AFTERWORD_METRICS_PORT"}
