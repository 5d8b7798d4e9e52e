"""What an ops team may rely on in every overlay: strict schemas, no rights, probes, budgets, and names that meet."""

from importlib import import_module

from services.cli.paths import PREFIXES, SERVICES
from shared.http.app import VERSION
from shared.settings import Settings
from tests.integration.k8s.conftest import Built, Object

SECRET = {"AFTERWORD_LOG_URL", "AFTERWORD_DATABASE_URL"}
"""What the Secret `afterword` holds, as pods.yaml and docs/operate/install.md say."""

AUTHORITIES = {"log-cluster-ca-cert", "database-ca"}
"""Where Strimzi and CloudNativePG keep the certificates of those who sign their servers'."""


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
    said = {each["name"] for one in built.containers().values() for each in one.get("env", ())}
    assert given | said <= known
    assert required <= given
    assert len(given & {"AFTERWORD_TOKEN_KEYS", "AFTERWORD_TOKEN_KEYS_FILE"}) == 1


def test_settings_and_secrets_are_those_that_pods_name(built: Built) -> None:
    settings = built.settings()
    for name, container in built.containers().items():
        assert container["envFrom"] == [
            {"configMapRef": {"name": settings["metadata"]["name"]}},
            {"secretRef": {"name": "afterword", "optional": True}},
        ], name
    for name, pod in built.pods().items():
        secrets = [each["secret"] for each in pod["spec"]["volumes"] if "secret" in each]
        assert {"secretName": "afterword-access"} in secrets, name
        assert {each["secretName"] for each in secrets} <= {"afterword-access", *AUTHORITIES}, name


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


def settings_of(built: Built) -> dict[str, str]:
    settings = built.settings()
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
