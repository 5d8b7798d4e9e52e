"""What may be relied on in deploy/compose.yaml: no rights, no default secrets, one open port, and names that meet."""

import os
import re
import subprocess
import sys
from importlib import import_module
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.local.ports import free_port
from deploy.local.process import until
from deploy.smoke.standing_in import dockerfile
from services.cli.paths import SERVICES
from tests.e2e.system import Process
from tests.integration.cli.conftest import running_system

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "deploy" / "compose.yaml").read_text(encoding="utf-8")
PAGE = (ROOT / "docs" / "operate" / "compose.md").read_text(encoding="utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
CONTAINERS: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: each for name, each in CONTAINERS.items() if "AFTERWORD_IMAGE" in each["image"]}
LIVING = [name for name in CONTAINERS if name not in ("topics", "schemas")]


def test_every_service_and_what_prepares_them_is_there() -> None:
    commands = {" ".join(each["command"]) for each in OURS.values()}
    serving = {f"serve {name}" for name in SERVICES}
    assert commands == serving | {"origin", "topics create", "migrate"}


@pytest.mark.parametrize("name", OURS)
def test_our_containers_may_do_nothing(name: str) -> None:
    container = OURS[name]
    assert container["user"] == "10001:10001"
    assert container["read_only"] is True
    assert container["cap_drop"] == ["ALL"]
    assert container["security_opt"] == ["no-new-privileges:true"]
    assert "mem_limit" in container
    for mount in container.get("volumes", ()):
        assert mount["read_only"] is True
        assert mount["bind"] == {"create_host_path": False}, "a wrong path is no empty directory"


@pytest.mark.parametrize("name", CONTAINERS)
def test_what_a_container_says_does_not_fill_the_disk(name: str) -> None:
    assert {"max-size", "max-file"} <= CONTAINERS[name]["logging"]["options"].keys()


def test_images_of_others_are_named_to_the_patch() -> None:
    for name in CONTAINERS.keys() - OURS.keys():
        assert re.search(r":\d+\.\d+(\.\d+)?(-\w+)?$", CONTAINERS[name]["image"]), name


def test_nothing_secret_has_a_default() -> None:
    """Only where the origin listens, and whom it believes, may be left unsaid."""
    optional = set(re.findall(r"\$\{(\w+):-", TEXT))
    assert optional == {"AFTERWORD_BIND", "AFTERWORD_PORT", "AFTERWORD_TRUSTED_PROXIES"}
    needed = set(re.findall(r"\$\{(\w+):\?", TEXT))
    assert set(re.findall(r"\$\{?(\w+)", TEXT)) == optional | needed
    assert "POSTGRES_PASSWORD" in needed
    assert not re.search(r"(?i)(password|secret|token_keys):\s*[\"']?[a-z0-9]", TEXT)


def test_the_settings_on_the_page_are_those_that_are_needed_and_hold_no_comment() -> None:
    """Compose takes a comment behind an empty value for the value: everybody's password would be on the page."""
    (block,) = (each for each in PAGE.split("```") if "POSTGRES_PASSWORD=" in each)
    settings = dict(line.split("=", 1) for line in block.strip().splitlines())
    assert settings.keys() == set(re.findall(r"\$\{(\w+):\?", TEXT))
    assert settings["POSTGRES_PASSWORD"] == ""
    assert not any("#" in value or " " in value for value in settings.values())


def test_the_key_that_the_page_gives_the_doctor_may_see_operations() -> None:
    (id,) = re.findall(r"AFTERWORD_API_KEY=awk_(\w+?)_\S* afterword doctor", PAGE)
    (scopes,) = re.findall(rf"^afterword access key {id} --workspace \w+(.*?)(?:#|$)", PAGE, re.M)
    assert not scopes.strip() or "operations:read" in scopes


def test_variables_are_settings_and_every_needed_one_is_there() -> None:
    for name in SERVICES:
        fields = import_module(f"services.{name}.settings").Settings.model_fields
        known = {f"AFTERWORD_{field.upper()}" for field in fields}
        required = {f"AFTERWORD_{n.upper()}" for n, field in fields.items() if field.is_required()}
        given = CONTAINERS[name]["environment"].keys()
        assert required <= given <= known


def test_only_the_origin_has_a_port_and_kafka_is_not_reached_from_outside() -> None:
    assert [name for name, each in CONTAINERS.items() if "ports" in each] == ["origin"]
    assert CONTAINERS["origin"]["ports"] == [
        "${AFTERWORD_BIND:-127.0.0.1}:${AFTERWORD_PORT:-8000}:8000"
    ]
    assert COMPOSE["networks"]["inside"]["internal"] is True
    reaching = {name for name, each in CONTAINERS.items() if "outside" in each["networks"]}
    assert reaching == {"origin", "trigger", "alerting"}


def test_services_believe_the_network_that_the_origin_is_in() -> None:
    (config,) = COMPOSE["networks"]["inside"]["ipam"]["config"]
    for name in SERVICES:
        trusted = CONTAINERS[name]["environment"]["AFTERWORD_TRUSTED_PROXIES"]
        assert ip_network(trusted) == ip_network(config["subnet"])


def test_a_proxy_on_this_machine_has_the_address_that_the_page_names() -> None:
    """Whoever connects through the origin's port is seen as the gateway of the network that reaches outside."""
    (config,) = COMPOSE["networks"]["outside"]["ipam"]["config"]
    subnet = ip_network(config["subnet"])
    assert f"`{next(subnet.hosts())}`" in PAGE
    (inside,) = COMPOSE["networks"]["inside"]["ipam"]["config"]
    assert not subnet.overlaps(ip_network(inside["subnet"]))


def test_the_origin_starts_when_the_services_do() -> None:
    """Else its time to become ready would run out while Kafka starts, and `up --wait` would fail."""
    wanted = {name: {"condition": "service_started"} for name in SERVICES}
    assert CONTAINERS["origin"]["depends_on"] == wanted


@pytest.mark.parametrize("name", ["topics", "schemas"])
def test_what_prepares_is_not_tried_for_ever(name: str) -> None:
    """`up` waits for its end, and says nothing until then."""
    assert re.fullmatch(r"on-failure:\d", CONTAINERS[name]["restart"])


def test_what_holds_data_has_a_volume_and_what_is_waited_for_a_check() -> None:
    for name in ("kafka", "postgres"):
        (mount,) = CONTAINERS[name]["volumes"]
        assert mount.partition(":")[0] in COMPOSE["volumes"]
    for name in LIVING:
        command = CONTAINERS[name]["healthcheck"]["test"]
        assert command[0] == "CMD", f"{name}: without the image's shell"
        assert not any(" " in word for word in command), "podman's API takes it apart there"
    for name in CONTAINERS.keys() - {"origin"}:
        for other, wanted in CONTAINERS[name].get("depends_on", {}).items():
            healthy = wanted["condition"] == "service_healthy"
            assert healthy == (other in LIVING)


def test_each_image_of_others_has_one_that_can_stand_in() -> None:
    for name in CONTAINERS.keys() - OURS.keys():
        assert dockerfile(CONTAINERS[name]["image"]).is_file()


def test_the_origin_sends_requests_on_and_its_check_tells_whether_it_can(tmp_path: Path) -> None:
    """`afterword origin` in front of a running system, asked by the very command of the health check."""
    with running_system(tmp_path) as system:
        url = f"http://127.0.0.1:{(port := free_port())}"
        places = [part for name in SERVICES for part in ("--upstream", f"{name}={system.url}")]
        command = ["origin", "--port", str(port), *places]
        process = Process(url, command, system.environment, tmp_path / "origin.log")
        process.start()
        try:
            assert any(well(port) for _ in until(30))
            with system.client() as client:
                for path in ("/v1/surveys", "/v1/triggers", "/v1/alert-rules"):
                    assert client.get(url + path).status_code == 200, path
                assert client.get(f"{url}/nowhere").status_code == 404
        finally:
            assert process.end() == 0
        assert not well(port)


def well(port: int) -> bool:
    """What the health check says, whose first word is the image's Python; no proxy stands in between."""
    command = [sys.executable, *CONTAINERS["origin"]["healthcheck"]["test"][2:]]
    environment = os.environ | {"AFTERWORD_PORT": str(port), "http_proxy": "http://127.0.0.1:1"}
    answer = subprocess.run(command, capture_output=True, check=False, env=environment)
    return answer.returncode == 0
