"""Who sends traces may reach a collector; nobody else may, and nobody does without the component."""

from urllib.parse import urlsplit

import pytest

from services.cli.paths import SERVICES
from shared.settings import Settings
from tests.integration.k8s.conftest import Build, Built, compose
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
