"""What an ops team may rely on in every overlay: strict schemas, no rights, probes, budgets, and names that meet."""

from importlib import import_module
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any

import kubernetes_validate
import pytest

from services.cli.paths import PREFIXES, SERVICES
from shared.contracts.topics import PARTITIONS
from shared.http.app import VERSION
from shared.settings import Settings
from shared.webhook.addresses import FORBIDDEN_V4, FORBIDDEN_V6
from tests.integration.k8s.conftest import Built, Object

KUBERNETES = "1.37"
CUSTOM = {"HTTPRoute"}
SECRET = {"AFTERWORD_LOG_URL", "AFTERWORD_DATABASE_URL"}
"""What the Secret `afterword` holds, as pods.yaml and docs/operate/install.md say."""


def test_every_object_is_what_kubernetes_has(built: Built) -> None:
    for each in built.objects:
        if each["kind"] not in CUSTOM:
            kubernetes_validate.validate(each, KUBERNETES, strict=True)


def test_every_object_stands_in_the_namespace(built: Built) -> None:
    for each in built.objects:
        if each["kind"] != "Namespace":
            assert each["metadata"]["namespace"] == "afterword", each["metadata"]["name"]


def test_the_namespace_admits_restricted_pods_only(built: Built) -> None:
    (namespace,) = built.of("Namespace")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def test_no_secret_is_in_an_overlay(built: Built) -> None:
    assert not built.of("Secret")
    secrets = {
        name for name, field in Settings.model_fields.items() if "Secret" in str(field.annotation)
    }
    assert {"kafka_password", "token_keys"} <= secrets
    hidden = {f"AFTERWORD_{name.upper()}" for name in secrets} | SECRET
    assert not hidden & settings_of(built).keys()
    text = str(built.objects)
    assert "awk_" not in text
    assert "@" not in text, "a URL with a password"


def test_containers_may_do_nothing(built: Built) -> None:
    for name, pod in built.pods().items():
        spec = pod["spec"]
        assert spec["automountServiceAccountToken"] is False, name
        assert spec["enableServiceLinks"] is False, name
        assert spec["securityContext"]["runAsNonRoot"] is True, name
        assert spec["securityContext"]["runAsUser"] == 10001, name
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
    for name, container in built.containers().items():
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }, name
        assert "memory" in container["resources"]["limits"], name
        assert set(container["resources"]["requests"]) == {"cpu", "memory"}, name


def test_each_service_is_a_deployment_with_its_own_argument(built: Built) -> None:
    deployments = built.named("Deployment")
    assert set(deployments) == set(SERVICES)
    for service, deployment in deployments.items():
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        assert container["args"] == ["serve", service]


def test_probes_ask_the_process_and_never_its_dependencies(built: Built) -> None:
    for deployment in built.of("Deployment"):
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        paths = {
            name: container[f"{name}Probe"]["httpGet"]["path"]
            for name in ("startup", "liveness", "readiness")
        }
        assert paths == {
            "startup": "/health/live",
            "liveness": "/health/live",
            "readiness": "/health/ready",
        }


def test_a_pod_has_time_to_drain(built: Built) -> None:
    grace = float(settings_of(built)["AFTERWORD_GRACE_SECONDS"])
    for deployment in built.of("Deployment"):
        spec = deployment["spec"]["template"]["spec"]
        (container,) = spec["containers"]
        pause = container["lifecycle"]["preStop"]["sleep"]["seconds"]
        assert spec["terminationGracePeriodSeconds"] > pause + grace


def test_every_selector_finds_its_pods_and_no_others(built: Built) -> None:
    pods = built.pods()
    selectors = {
        f"{each['kind']}/{each['metadata']['name']}": (each["metadata"]["name"], selector)
        for each in built.objects
        if (selector := selector_of(each)) is not None
    }
    assert len(selectors) == 3 * len(SERVICES)
    for where, (name, selector) in selectors.items():
        found = {pod for pod, template in pods.items() if matches(selector, template)}
        assert found == {name}, where


def test_pods_spread_over_zones_and_hosts(built: Built) -> None:
    for name, deployment in built.named("Deployment").items():
        template = deployment["spec"]["template"]
        constraints = template["spec"]["topologySpreadConstraints"]
        assert {each["topologyKey"] for each in constraints} == {
            "topology.kubernetes.io/zone",
            "kubernetes.io/hostname",
        }
        for each in constraints:
            assert matches(each["labelSelector"]["matchLabels"], template), name


def test_services_reach_a_port_that_their_pods_have(built: Built) -> None:
    for name, service in built.named("Service").items():
        (container,) = built.pods()[name]["spec"]["containers"]
        ports = {each["name"]: each["containerPort"] for each in container["ports"]}
        assert {each["targetPort"] for each in service["spec"]["ports"]} <= ports.keys()
        settings = settings_of(built)
        assert ports == {
            "http": int(settings["AFTERWORD_PORT"]),
            "metrics": int(settings["AFTERWORD_METRICS_PORT"]),
        }


def test_a_budget_never_forbids_every_eviction(built: Built) -> None:
    for name, budget in built.named("PodDisruptionBudget").items():
        assert budget["spec"]["maxUnavailable"] == 1, name
        assert budget["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow", name


def test_what_scales_itself_has_no_fixed_count_and_never_more_pods_than_partitions(
    built: Built,
) -> None:
    for scaler in built.of("HorizontalPodAutoscaler"):
        target = built.named("Deployment")[scaler["spec"]["scaleTargetRef"]["name"]]
        assert "replicas" not in target["spec"]
        assert scaler["spec"]["maxReplicas"] <= PARTITIONS


def test_every_variable_is_a_setting_and_every_needed_one_is_there(built: Built) -> None:
    known: set[str] = set()
    required: set[str] = set()
    for service in SERVICES:
        fields = import_module(f"services.{service}.settings").Settings.model_fields
        known |= {f"AFTERWORD_{name.upper()}" for name in fields}
        required |= {
            f"AFTERWORD_{name.upper()}" for name, field in fields.items() if field.is_required()
        }
    given = settings_of(built).keys() | SECRET
    assert given <= known
    assert required <= given
    assert len(given & {"AFTERWORD_TOKEN_KEYS", "AFTERWORD_TOKEN_KEYS_FILE"}) == 1


def test_settings_and_secrets_are_those_that_pods_name(built: Built) -> None:
    (settings,) = built.of("ConfigMap")
    for name, container in built.containers().items():
        assert container["envFrom"] == [
            {"configMapRef": {"name": settings["metadata"]["name"]}},
            {"secretRef": {"name": "afterword"}},
        ], name
    for name, pod in built.pods().items():
        secrets = [each["secret"] for each in pod["spec"]["volumes"] if "secret" in each]
        assert secrets == [{"secretName": "afterword-access"}], name


def test_the_migration_carries_this_version_in_its_name(built: Built) -> None:
    (job,) = built.of("Job")
    assert job["metadata"]["name"] == f"migrate-{VERSION.replace('.', '-')}"


def test_the_gateway_sends_each_path_where_it_is_answered(built: Built) -> None:
    for route in built.of("HTTPRoute"):
        sent = {
            match["path"]["value"]: rule["backendRefs"][0]["name"]
            for rule in route["spec"]["rules"]
            for match in rule["matches"]
        }
        assert sent == PREFIXES
        assert all(len(rule["matches"]) <= 64 for rule in route["spec"]["rules"])


@pytest.mark.parametrize(
    ("component", "port", "address"),
    [
        ("alerting", 443, "93.184.216.34"),
        ("trigger", 443, "93.184.216.34"),
        ("alerting", 443, "2606:2800:220:1::1"),
    ],
)
def test_webhooks_reach_the_world(built: Built, component: str, port: int, address: str) -> None:
    assert reaches(built, component, port, address)


@pytest.mark.parametrize("network", [*FORBIDDEN_V4, *FORBIDDEN_V6], ids=lambda each: str(each[0]))
def test_webhooks_never_reach_what_the_client_refuses(
    built: Built, network: tuple[IPv4Network | IPv6Network, str]
) -> None:
    for component in SERVICES:
        for address in (network[0][0], network[0][-1]):
            assert not reaches(built, component, 443, str(address))


@pytest.mark.parametrize("component", ["ingest", "scoring", "migrate"])
def test_who_sends_no_webhooks_reaches_nobody_outside(built: Built, component: str) -> None:
    assert not reaches(built, component, 443, "93.184.216.34")


def test_nobody_else_may_come_in_or_go_out(built: Built) -> None:
    closed = built.named("NetworkPolicy")["deny-all"]["spec"]
    assert set(closed["policyTypes"]) == {"Ingress", "Egress"}
    assert "ingress" not in closed
    assert "egress" not in closed
    for policy in built.of("NetworkPolicy"):
        for rule in policy["spec"].get("ingress", ()):
            assert rule["from"], policy["metadata"]["name"]
            assert rule["ports"], policy["metadata"]["name"]


def settings_of(built: Built) -> dict[str, str]:
    (settings,) = built.of("ConfigMap")
    data: dict[str, str] = settings["data"]
    return data


def selector_of(each: Object) -> dict[str, str] | None:
    if each["kind"] == "Service":
        return dict(each["spec"]["selector"])
    if each["kind"] in ("Deployment", "PodDisruptionBudget"):
        return dict(each["spec"]["selector"]["matchLabels"])
    return None


def matches(selector: dict[str, str], template: Object) -> bool:
    labels: dict[str, str] = template["metadata"]["labels"]
    return selector.items() <= labels.items()


def reaches(built: Built, component: str, port: int, address: str) -> bool:
    """Whether any policy lets the pods of a component connect there by address."""
    (name,) = (name for name in built.pods() if name.startswith(component))
    labels = built.pods()[name]["metadata"]["labels"]
    return any(
        port in {each["port"] for each in rule["ports"]} and lets(rule["to"], address)
        for policy in built.of("NetworkPolicy")
        if chosen(policy["spec"]["podSelector"], labels)
        for rule in policy["spec"].get("egress", ())
    )


def chosen(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    wanted: dict[str, str] = selector.get("matchLabels", {})
    among = selector.get("matchExpressions", ())
    return wanted.items() <= labels.items() and all(
        labels.get(each["key"]) in each["values"] for each in among
    )


def lets(peers: list[Object], address: str) -> bool:
    return any(inside(address, peer["ipBlock"]) for peer in peers if "ipBlock" in peer)


def inside(address: str, block: dict[str, Any]) -> bool:
    place = ip_address(address)
    excepted = any(place in ip_network(each) for each in block.get("except", ()))
    return not excepted and place in ip_network(str(block["cidr"]))
