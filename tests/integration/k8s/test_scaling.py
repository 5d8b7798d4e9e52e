"""What scales itself does so by what the code consumes, within what partitions and the database take."""

from dataclasses import dataclass

import pytest

from services.cli.paths import SERVICES
from shared.contracts.topics import READERS, topic_specs
from shared.db.postgresql import CONNECTIONS
from tests.integration.k8s.conftest import Build, Built, Object, compose

CONSUMERS = ("trigger", "scoring", "alerting")
RESERVED_CONNECTIONS = 20
"""For the superuser, the operator and whoever looks."""


@dataclass(frozen=True)
class Scale:
    """How many pods of a service there may be."""

    fewest: int
    most: int


@pytest.fixture(scope="module")
def keda(build: Build, tmp_path_factory: pytest.TempPathFactory) -> Built:
    return compose(build, tmp_path_factory.mktemp("keda"), "keda")


def test_each_consumer_is_scaled_by_its_own_lag(keda: Built) -> None:
    assert keda.named("ScaledObject").keys() == set(CONSUMERS)
    for service, scaled in keda.named("ScaledObject").items():
        assert scaled["spec"]["scaleTargetRef"] == {"name": service}
        metadata = [trigger["metadata"] for trigger in scaled["spec"]["triggers"]]
        assert {each["type"] for each in scaled["spec"]["triggers"]} == {"kafka"}
        assert {each["consumerGroup"] for each in metadata} == {service}
        assert [each["topic"] for each in metadata] == [str(topic) for topic in READERS[service]]
        assert all(isinstance(value, str) for each in metadata for value in each.values())


def test_lag_is_counted_from_where_a_group_without_offsets_begins(keda: Built) -> None:
    for trigger in triggers(keda):
        assert trigger["metadata"]["offsetResetPolicy"] == "earliest"


def test_keda_proves_who_it_is(keda: Built) -> None:
    for trigger in triggers(keda):
        assert trigger["authenticationRef"]["name"] in keda.named("TriggerAuthentication")
        assert trigger["metadata"]["tls"] == "enable"
        assert trigger["metadata"]["sasl"] == "scram_sha512"


def test_keda_asks_the_kafka_of_the_cluster(
    build: Build, tmp_path_factory: pytest.TempPathFactory
) -> None:
    both = compose(build, tmp_path_factory.mktemp("both"), "strimzi", "keda")
    (cluster,) = both.of("Kafka")
    (listener,) = cluster["spec"]["kafka"]["listeners"]
    place = f"{cluster['metadata']['name']}-kafka-bootstrap.{cluster['metadata']['namespace']}"
    for trigger in triggers(both):
        assert trigger["metadata"]["bootstrapServers"] == f"{place}:{listener['port']}"
    (authentication,) = both.of("TriggerAuthentication")
    (authority,) = authentication["spec"]["secretTargetRef"]
    assert authority["name"] == f"{cluster['metadata']['name']}-cluster-ca-cert"


def test_pods_go_seldom_and_one_at_a_time(built: Built) -> None:
    behaviors = [each["spec"]["behavior"] for each in built.of("HorizontalPodAutoscaler")]
    behaviors += [
        each["spec"]["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
        for each in built.of("ScaledObject")
    ]
    for behavior in behaviors:
        down = behavior["scaleDown"]
        assert down["stabilizationWindowSeconds"] == 300
        assert down["policies"] == [{"type": "Pods", "value": 1, "periodSeconds": 60}]


def test_a_kafka_that_cannot_be_asked_takes_no_pods_away(keda: Built) -> None:
    for scaled in keda.of("ScaledObject"):
        fallback = scaled["spec"]["fallback"]
        assert fallback["behavior"] == "currentReplicasIfHigher"
        assert fallback["replicas"] >= scaled["spec"]["minReplicaCount"]


def test_there_are_never_more_pods_than_partitions(built: Built) -> None:
    partitions = {spec.name: spec.partitions for spec in topic_specs()}
    for service, scale in scales(built).items():
        assert scale.most <= max(partitions[topic] for topic in READERS[service]), service


def test_one_thing_says_how_many_pods(built: Built) -> None:
    deployments = built.named("Deployment")
    targets = [
        each["spec"]["scaleTargetRef"]["name"]
        for kind in ("HorizontalPodAutoscaler", "ScaledObject")
        for each in built.of(kind)
    ]
    assert len(targets) == len(set(targets)), "an autoscaler and a ScaledObject on one target"
    for name, deployment in deployments.items():
        assert ("replicas" in deployment["spec"]) == (name not in targets), name


def test_a_budget_leaves_one_pod_where_there_are_two(built: Built) -> None:
    budgets = built.named("PodDisruptionBudget")
    for service, scale in scales(built).items():
        if scale.fewest > 1:
            assert scale.fewest - budgets[service]["spec"]["maxUnavailable"] >= 1


def test_the_database_has_a_connection_for_each_that_may_be_opened(
    build: Build, built: Built, tmp_path_factory: pytest.TempPathFactory
) -> None:
    (cluster,) = compose(build, tmp_path_factory.mktemp("cnpg"), "cnpg").of("Cluster")
    room = int(cluster["spec"]["postgresql"]["parameters"]["max_connections"])
    surge = 1
    pods = sum(scale.most + surge for scale in scales(built).values())
    assert pods * CONNECTIONS <= room - RESERVED_CONNECTIONS


def triggers(built: Built) -> list[Object]:
    return [trigger for each in built.of("ScaledObject") for trigger in each["spec"]["triggers"]]


def scales(built: Built) -> dict[str, Scale]:
    """How many pods of each service there may be, whoever says so."""
    found = {
        name: Scale(deployment["spec"]["replicas"], deployment["spec"]["replicas"])
        for name, deployment in built.named("Deployment").items()
        if "replicas" in deployment["spec"]
    }
    for each in built.of("HorizontalPodAutoscaler"):
        spec = each["spec"]
        found[spec["scaleTargetRef"]["name"]] = Scale(spec["minReplicas"], spec["maxReplicas"])
    for each in built.of("ScaledObject"):
        spec = each["spec"]
        scale = Scale(spec["minReplicaCount"], spec["maxReplicaCount"])
        found[spec["scaleTargetRef"]["name"]] = scale
    assert found.keys() == set(SERVICES)
    return found
