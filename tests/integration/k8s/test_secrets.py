"""What pods name is there once it is made, by hand or by the operators; each service is told settings that it takes, and
to be its own user."""

import copy
from importlib import import_module

import pytest

from deploy.cluster import operators
from deploy.cluster.references import (
    Holdings,
    containers,
    environment,
    holdings,
    missing,
    pods_in,
)
from services.cli.paths import SERVICES
from shared.log.kafka.settings import KafkaSettings
from shared.settings import Settings
from tests.integration.k8s.conftest import K8S, Build, Built
from tests.integration.k8s.flows import OURS


def held_by(built: Built) -> Holdings:
    """What there is once an overlay is applied: by operators where it has their objects, else by hand."""
    return holdings([*built.objects, *operators.standing_in(built.objects, OURS)])


def test_every_pod_finds_what_it_names(built: Built) -> None:
    held = held_by(built)
    for name, pod in pods_in(built.objects).items():
        assert missing(pod, held) == [], name


def test_every_pod_is_told_settings_that_its_service_takes(
    built: Built, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = held_by(built)
    for name, pod in pods_in(built.objects).items():
        for container in containers(pod):
            settings = settings_from(environment(container, held), container, monkeypatch)
            assert settings.log_url.startswith("kafka"), name
            assert settings.database_url.startswith("postgresql://afterword:"), name
            if not settings.log_login().tls.named:  # else its files would be read
                KafkaSettings.parse(settings.log_url, settings.log_login())


def settings_from(
    told: dict[str, str], container: dict[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> Settings:
    """What a container's process would read of these variables."""
    service = container["args"][-1] if container["args"][-1] in SERVICES else "ingest"
    made: type[Settings] = import_module(f"services.{service}.settings").Settings
    with monkeypatch.context() as within:
        for variable, value in told.items():
            within.setenv(variable, value)
        return made()


@pytest.fixture(scope="module")
def full(build: Build) -> Built:
    return build(K8S / "overlays" / "full")


def test_keda_finds_the_authority_of_kafka(full: Built) -> None:
    held = held_by(full)
    (authentication,) = full.of("TriggerAuthentication")
    for each in authentication["spec"]["secretTargetRef"]:
        assert each["key"] in held["Secret", each["name"]]


@pytest.mark.parametrize(
    ("name", "key", "said"),
    [
        ("kafka-scoring", "password", "afterword: Secret kafka-scoring has no password"),
        ("database-app", "uri", "afterword: Secret database-app has no uri"),
        ("log-cluster-ca-cert", "ca.crt", "volume kafka: Secret log-cluster-ca-cert has no ca.crt"),
        ("afterword-access", "token-keys", "no file is"),
    ],
)
def test_a_key_that_is_not_made_is_found(full: Built, name: str, key: str, said: str) -> None:
    held = copy.deepcopy(dict(held_by(full)))
    content = dict(held["Secret", name])
    del content[key]
    found = missing(pods_in(full.objects)["scoring"], held | {("Secret", name): content})
    assert said in " ".join(found)
    del held["Secret", name]
    assert f"no Secret {name}" in " ".join(missing(pods_in(full.objects)["scoring"], held))
