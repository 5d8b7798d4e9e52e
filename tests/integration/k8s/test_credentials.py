"""With Kafka and PostgreSQL beside them, pods are told by name where these are, who they are, and whom to trust."""

from pathlib import PurePosixPath
from typing import Any

import pytest

from services.cli.paths import SERVICES
from tests.integration.k8s.conftest import K8S, Build, Built, Object

FILES = {
    "AFTERWORD_KAFKA_CA_FILE": "log-cluster-ca-cert",
    "AFTERWORD_DATABASE_CA_FILE": "database-ca",
}


@pytest.fixture(scope="module")
def full(build: Build) -> Built:
    return build(K8S / "overlays" / "full")


def test_each_pod_comes_to_kafka_as_its_own_user(full: Built) -> None:
    (cluster,) = full.of("Kafka")
    prefix = cluster["spec"]["entityOperator"]["userOperator"]["secretPrefix"]
    for name, container in full.containers().items():
        user = name.partition("/")[0].partition("-")[0]
        assert user in full.named("KafkaUser")
        told = variables(container)
        assert told["AFTERWORD_KAFKA_USERNAME"] == user
        assert told["AFTERWORD_KAFKA_PASSWORD"] == {"name": f"{prefix}{user}", "key": "password"}


def test_each_pod_is_told_where_kafka_and_postgresql_are(full: Built) -> None:
    (cluster,) = full.of("Kafka")
    (listener,) = cluster["spec"]["kafka"]["listeners"]
    (database,) = full.of("Cluster")
    place = f"{cluster['metadata']['name']}-kafka-bootstrap:{listener['port']}"
    for container in full.containers().values():
        told = variables(container)
        assert told["AFTERWORD_LOG_URL"] == f"kafka+ssl://{place}"
        app = {"name": f"{database['metadata']['name']}-app", "key": "uri"}
        assert told["AFTERWORD_DATABASE_URL"] == app


def test_each_pod_has_the_certificates_that_it_is_told_to_trust_and_no_keys(full: Built) -> None:
    for name, container in full.containers().items():
        told = variables(container)
        volumes = full.pods()[name.partition("/")[0]]["spec"]["volumes"]
        for variable, secret in FILES.items():
            path = PurePosixPath(told[variable])
            (mount,) = (m for m in container["volumeMounts"] if m["mountPath"] == str(path.parent))
            (volume,) = (v for v in volumes if v["name"] == mount["name"])
            assert mount["readOnly"] is True
            assert volume["secret"]["secretName"] == secret
            assert volume["secret"]["items"] == [{"key": path.name, "path": path.name}]


def test_the_migration_compares_the_topics_that_strimzi_makes(full: Built) -> None:
    assert [each["args"] for name, each in full.containers().items() if "/topics" in name] == [
        ["topics", "verify"]
    ]


def test_keda_comes_to_kafka_as_the_service_that_it_scales(full: Built) -> None:
    (authentication,) = full.of("TriggerAuthentication")
    for service in SERVICES:
        told = variables(full.containers()[f"{service}/afterword"])
        for each in authentication["spec"]["env"]:
            assert each["name"] in told
            assert each["containerName"] == "afterword"


def variables(container: Object) -> dict[str, Any]:
    """A container's own variables: the value, or where in which Secret it is."""
    return {
        each["name"]: each.get("value") or each["valueFrom"]["secretKeyRef"]
        for each in container["env"]
    }
