"""Kafka in the cluster has the topics that the code creates elsewhere, and its users may do what the code does."""

import re
from typing import Any

import pytest

from services.cli import strimzi
from services.cli.paths import SERVICES
from shared.contracts.topics import READERS, SAID_AGAIN, WRITERS, dead_letter_topic, topic_specs
from tests.integration.k8s.conftest import K8S, Build, Built, compose

NAME = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")


@pytest.fixture(scope="module")
def kafka(build: Build, tmp_path_factory: pytest.TempPathFactory) -> Built:
    return compose(build, tmp_path_factory.mktemp("kafka"), "strimzi")


def test_topics_and_users_are_fresh() -> None:
    directory = K8S / "components" / "strimzi"
    stale = [
        name
        for name, text in strimzi.manifests().items()
        if (directory / name).read_text(encoding="utf-8") != text
    ]
    assert not stale, f"run `make docs`: {stale} differ from the code"


def test_topics_are_those_of_the_registry(kafka: Built) -> None:
    topics = kafka.named("KafkaTopic")
    specs = {str(spec.name): spec for spec in topic_specs()}
    assert topics.keys() == specs.keys()
    for name, spec in specs.items():
        there = topics[name]["spec"]
        assert NAME.fullmatch(name)
        assert there["partitions"] == spec.partitions
        assert there["config"]["cleanup.policy"] == ("compact" if spec.compacted else "delete")
        if spec.retention_ms is not None:
            assert there["config"]["retention.ms"] == str(spec.retention_ms)


def test_what_is_acknowledged_is_on_two_brokers_of_three(kafka: Built) -> None:
    (cluster,) = kafka.of("Kafka")
    config = cluster["spec"]["kafka"]["config"]
    assert (config["default.replication.factor"], config["min.insync.replicas"]) == (3, 2)
    assert config["auto.create.topics.enable"] is False
    for topic in kafka.of("KafkaTopic"):
        assert topic["spec"]["replicas"] == 3
        assert topic["spec"]["config"]["min.insync.replicas"] == "2"
    for pool in kafka.of("KafkaNodePool"):
        assert pool["spec"]["replicas"] == 3
        assert all(not volume["deleteClaim"] for volume in pool["spec"]["storage"]["volumes"])


def test_nobody_comes_in_unknown_or_in_the_clear(kafka: Built) -> None:
    (cluster,) = kafka.of("Kafka")
    (listener,) = cluster["spec"]["kafka"]["listeners"]
    assert listener["tls"] is True
    assert listener["port"] == 9093
    assert cluster["spec"]["kafka"]["authorization"] == {"type": "simple"}
    for user in kafka.of("KafkaUser"):
        assert user["spec"]["authentication"]["type"] == listener["authentication"]["type"]


def test_everything_belongs_to_the_cluster(kafka: Built) -> None:
    (cluster,) = kafka.of("Kafka")
    for kind in ("KafkaTopic", "KafkaUser", "KafkaNodePool"):
        for each in kafka.of(kind):
            assert each["metadata"]["labels"]["strimzi.io/cluster"] == cluster["metadata"]["name"]


def test_what_holds_data_is_never_pruned(kafka: Built) -> None:
    for kind in ("Kafka", "KafkaTopic", "KafkaNodePool"):
        for each in kafka.of(kind):
            options = each["metadata"]["annotations"]["argocd.argoproj.io/sync-options"]
            assert options == "Prune=false,Delete=false"


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_may_do_what_it_does_and_no_more(kafka: Built, service: str) -> None:
    dead = {dead_letter_topic(topic, service) for topic in READERS[service]}
    expected: dict[tuple[str, str], set[str]] = {("group", service): {"Read"}}
    read = {*READERS[service], *SAID_AGAIN[service], *dead}
    for topic in {*read, *WRITERS[service]}:
        operations = expected.setdefault(("topic", str(topic)), set())
        if topic in read:
            operations.add("Read")
        if topic in WRITERS[service] or topic in dead:
            operations.add("Write")
    assert allowed(kafka, service) == expected


def test_the_migration_looks_and_changes_nothing(kafka: Built) -> None:
    assert allowed(kafka, strimzi.MIGRATION) == {
        ("topic", str(spec.name)): {"Describe", "DescribeConfigs"} for spec in topic_specs()
    }


def test_an_inlet_is_read_by_ingest_alone() -> None:
    granted = strimzi.grants(["acme-in"])
    assert granted["ingest"]["topic", "acme-in"] == ("Read",)
    assert granted["ingest"]["topic", "acme-in.ingest.dlq"] == ("Read", "Write")
    readers = {user for user, may in granted.items() if ("topic", "acme-in") in may}
    assert readers == {"ingest", strimzi.MIGRATION}


def allowed(kafka: Built, user: str) -> dict[tuple[str, str], set[str]]:
    """The operations of a user, by kind and name of what they are done with."""
    acls: list[dict[str, Any]] = kafka.named("KafkaUser")[user]["spec"]["authorization"]["acls"]
    assert all(acl["resource"]["patternType"] == "literal" for acl in acls)
    assert all(acl.get("type", "allow") == "allow" for acl in acls)
    return {
        (acl["resource"]["type"], acl["resource"]["name"]): set(acl["operations"]) for acl in acls
    }
