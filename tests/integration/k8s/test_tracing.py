"""Who sends traces may reach a collector; nobody else may, and nobody does without the component."""

import re
from urllib.parse import urlsplit

import pytest
import yaml

from services.cli.paths import SERVICES
from shared.settings import Settings
from tests.integration.k8s.conftest import K8S, Build, Built, compose
from tests.integration.k8s.flows import Party, may, workload

COLLECTOR = Party("collector", namespace={"afterword.dev/tracing": "true"})
PORT = 4318


@pytest.fixture(scope="module")
def traced(build: Build, tmp_path_factory: pytest.TempPathFactory) -> Built:
    return compose(build, tmp_path_factory.mktemp("tracing"), "tracing")


def test_services_reach_the_collector_where_its_component_is(traced: Built, built: Built) -> None:
    for service in SERVICES:
        assert may(traced.of("NetworkPolicy"), workload(traced, service), COLLECTOR, PORT)
        assert not may(traced.of("NetworkPolicy"), workload(traced, service), COLLECTOR, 443)
        assert not may(built.of("NetworkPolicy"), workload(built, service), COLLECTOR, PORT)
    assert not may(traced.of("NetworkPolicy"), workload(traced, "migrate"), COLLECTOR, PORT)


def test_its_settings_are_settings_and_name_the_port_that_is_open(traced: Built) -> None:
    data = traced.settings()["data"]
    said = {name for name in data if "TRACES" in name}
    assert said == {"AFTERWORD_TRACES_URL", "AFTERWORD_TRACES_RATIO"}
    assert {
        name.removeprefix("AFTERWORD_").lower() for name in said
    } <= Settings.model_fields.keys()
    assert urlsplit(data["AFTERWORD_TRACES_URL"]).port == PORT
    assert "AFTERWORD_GRACE_SECONDS" in data, "the others are still there"


def test_spans_say_which_pod_they_are_of(traced: Built) -> None:
    for service in SERVICES:
        (container,) = traced.pods()[service]["spec"]["containers"]
        *before, told = [
            each for each in container["env"] if each["name"].startswith(("POD_", "OTEL_"))
        ]
        # Kubernetes puts in only what is said before.
        assert {each["name"] for each in before} == {"POD_NAME", "POD_NAMESPACE"}
        assert told["name"] == "OTEL_RESOURCE_ATTRIBUTES"
        assert told["value"] == "k8s.namespace.name=$(POD_NAMESPACE),k8s.pod.name=$(POD_NAME)"


def test_an_overlay_says_where_its_collector_is_as_the_page_has_it(
    build: Build, traced: Built, tmp_path_factory: pytest.TempPathFactory
) -> None:
    page = (K8S.parent / "docs" / "operate" / "tracing.md").read_text(encoding="utf-8")
    (shown,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    patches = yaml.safe_load(shown)["patches"]
    directory = tmp_path_factory.mktemp("patched")
    patched = compose(build, directory, "monitoring", "tracing", patches=patches).settings()
    assert patched["data"]["AFTERWORD_TRACES_URL"] == "http://otel-collector.observability:4318"
    assert patched["data"]["AFTERWORD_TRACES_RATIO"] == "0.05"
    assert patched["metadata"]["name"] != traced.settings()["metadata"]["name"]
