"""Nobody talks to anybody but where it is wanted: who reaches whom, in every overlay and with the components."""

from ipaddress import IPv4Network, IPv6Network

import pytest

from services.cli.paths import SERVICES
from shared.webhook.addresses import FORBIDDEN_V4, FORBIDDEN_V6
from tests.integration.k8s.conftest import K8S, Build, Built
from tests.integration.k8s.flows import Party, may, of_strimzi, ours, workload

WORLD = ("93.184.216.34", "2606:2800:220:1::1")
API_SERVER = Party("API server", address="10.96.0.1")
GATEWAY = Party("gateway", namespace={"afterword.dev/gateway": "true"})
PROMETHEUS = Party("Prometheus", namespace={"afterword.dev/monitoring": "true"})
KEDA = Party("KEDA", namespace={"afterword.dev/kafka-clients": "true"})
CNPG = Party("CloudNativePG", namespace={"kubernetes.io/metadata.name": "cnpg-system"})
STRANGER = Party("stranger", namespace={"kubernetes.io/metadata.name": "default"})
NAMES = Party("names", namespace={"kubernetes.io/metadata.name": "kube-system"})
KAFKA = Party("a Kafka elsewhere", namespace={"afterword.dev/kafka": "true"})
POSTGRESQL = Party("a PostgreSQL elsewhere", namespace={"afterword.dev/postgresql": "true"})
HTTP, METRICS, WEBHOOK = 8000, 9000, 443


@pytest.mark.parametrize("service", SERVICES)
def test_requests_and_scrapes_come_from_where_they_should(built: Built, service: str) -> None:
    policies = built.of("NetworkPolicy")
    pod = workload(built, service)
    assert may(policies, GATEWAY, pod, HTTP)
    assert may(policies, PROMETHEUS, pod, METRICS)
    for other in (STRANGER, KEDA, CNPG, *(workload(built, each) for each in SERVICES)):
        assert not may(policies, other, pod, HTTP), other.name
        assert not may(policies, other, pod, METRICS), other.name
    assert not may(policies, GATEWAY, pod, METRICS)
    assert not may(policies, PROMETHEUS, pod, HTTP)


@pytest.mark.parametrize("name", [*SERVICES, "migrate"])
def test_services_reach_names_kafka_and_postgresql(built: Built, name: str) -> None:
    policies = built.of("NetworkPolicy")
    pod = workload(built, name)
    assert may(policies, pod, NAMES, 53)
    assert may(policies, pod, KAFKA, 9092)
    assert may(policies, pod, KAFKA, 9093)
    assert may(policies, pod, POSTGRESQL, 5432)
    assert not may(policies, pod, API_SERVER, 443)
    for other in (STRANGER, GATEWAY, KAFKA, POSTGRESQL):
        assert not may(policies, pod, other, HTTP), other.name


@pytest.mark.parametrize("component", ["alerting", "trigger"])
def test_webhooks_reach_the_world(built: Built, component: str) -> None:
    for address in WORLD:
        assert reaches(built, component, address)


@pytest.mark.parametrize("network", [*FORBIDDEN_V4, *FORBIDDEN_V6], ids=lambda each: str(each[0]))
def test_webhooks_never_reach_what_the_client_refuses(
    built: Built, network: tuple[IPv4Network | IPv6Network, str]
) -> None:
    for component in SERVICES:
        for address in (network[0][0], network[0][-1]):
            assert not reaches(built, component, str(address))


@pytest.mark.parametrize("component", ["ingest", "scoring", "migrate"])
def test_who_sends_no_webhooks_reaches_nobody_outside(built: Built, component: str) -> None:
    assert not any(reaches(built, component, address) for address in WORLD)


def test_nobody_else_may_come_in_or_go_out(built: Built) -> None:
    closed = built.named("NetworkPolicy")["deny-all"]["spec"]
    assert set(closed["policyTypes"]) == {"Ingress", "Egress"}
    assert "ingress" not in closed
    assert "egress" not in closed
    for policy in built.of("NetworkPolicy"):
        for rule in policy["spec"].get("ingress", ()):
            assert rule["from"], policy["metadata"]["name"]
            assert rule["ports"], policy["metadata"]["name"]


@pytest.fixture(scope="module")
def full(build: Build) -> Built:
    return build(K8S / "overlays" / "full")


def parties(full: Built) -> dict[str, Party]:
    """Everybody there is, with the labels that the operators give to their pods."""
    kafka = {"strimzi.io/cluster": "log"}
    postgresql = {"cnpg.io/cluster": "database"}
    everybody = (
        *(GATEWAY, PROMETHEUS, KEDA, CNPG, STRANGER, NAMES, API_SERVER),
        *(workload(full, name) for name in (*SERVICES, "migrate")),
        ours(full, "broker", kafka | {"strimzi.io/name": "log-kafka"}),
        ours(full, "entity operator", kafka | {"strimzi.io/name": "log-entity-operator"}),
        ours(full, "instance", postgresql | {"cnpg.io/podRole": "instance"}, {"metrics": 9187}),
        ours(full, "initdb", postgresql | {"cnpg.io/jobRole": "initdb"}),
    )
    return {party.name: party for party in everybody}


WANTED = {
    **{(name, "broker"): {9093} for name in (*SERVICES, "migrate", "KEDA")},
    **{(name, "instance"): {5432} for name in (*SERVICES, "migrate")},
    ("broker", "broker"): {9090, 9091},
    ("entity operator", "broker"): {9090, 9091},
    ("broker", "API server"): {443, 6443},
    ("entity operator", "API server"): {443, 6443},
    ("instance", "instance"): {5432, 8000},
    ("initdb", "instance"): {5432, 8000},
    ("instance", "API server"): {443, 6443},
    ("initdb", "API server"): {443, 6443},
    ("CloudNativePG", "instance"): {5432, 8000},
    ("Prometheus", "instance"): {9187},
    **{
        (name, "names"): {53}
        for name in (*SERVICES, "migrate", "broker", "entity operator", "instance", "initdb")
    },
}
"""Which ports of Kafka's, PostgreSQL's and the cluster's own pods are reached, by whom; no others, and by nobody else."""

PORTS = (53, 443, 5432, 6443, 8000, 9090, 9091, 9093, 9187)


def test_operators_and_their_pods_reach_what_they_need_and_nothing_else(full: Built) -> None:
    policies = [*full.of("NetworkPolicy"), *of_strimzi(full)]
    everybody = parties(full)
    wrong = []
    for source in everybody.values():
        for target in ("broker", "instance", "API server", "names"):
            wanted = WANTED.get((source.name, target), set())
            for port in PORTS:
                answer = may(policies, source, everybody[target], port)
                if answer != (port in wanted) and governed(source, everybody[target]):
                    wrong.append(f"{source.name} -> {target}:{port} is {answer}")
    assert not wrong


def governed(source: Party, target: Party) -> bool:
    """Whether any policy of ours has a say."""
    return source.ours or target.ours


def reaches(built: Built, component: str, address: str) -> bool:
    """Whether the pods of a component may call an address as webhooks are called."""
    target = Party(address, address=address)
    return may(built.of("NetworkPolicy"), workload(built, component), target, WEBHOOK)
