"""What pods stand on here: a real broker, a real database, the access file and the token keys, and one origin in front."""

import base64
import json
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from deploy.claims import Failed
from deploy.cluster.kubectl import overlay
from deploy.local.kafka import KafkaBroker
from deploy.local.ports import free_port
from deploy.local.postgres import PostgresServer
from deploy.local.process import ServerProcess
from deploy.smoke.adapt import Here, Place, adapted
from deploy.smoke.journey import AFTERWORD
from deploy.smoke.podman import Podman
from deploy.smoke.system import OURS, System
from services.cli.dev import prepare
from services.cli.paths import SERVICES

SECRET = "afterword"  # noqa: S105 - its name
WORKSPACE = "smoke"


@dataclass(frozen=True)
class Ground:
    """Where everything is, and the key that may do everything there."""

    directory: Path
    log_url: str
    database_url: str
    origin_port: int
    key: str

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.origin_port}"


@contextmanager
def open_ground(directory: Path) -> Iterator[Ground]:
    """Broker and database run, and the files lie in `files`; nothing of it afterwards."""
    key = make_files(directory)
    with KafkaBroker() as broker, PostgresServer() as server:
        yield Ground(directory, broker.url, server.create_database(), free_port(), key)


@contextmanager
def system_on(ground: Ground, podman: Podman, name: str, image: str) -> Iterator[System]:
    """The overlay as it is played on this ground; its pods and its Secret are gone afterwards."""
    objects = overlay(name, image)
    places = {service: Place(free_port(), free_port()) for service in SERVICES}
    settings = {
        "AFTERWORD_PUBLIC_URL": ground.origin,
        "AFTERWORD_ALLOW_LOOPBACK": "true",  # the receiver of webhooks is on this machine
    }
    played = adapted(objects, Here(files_of(ground.directory), settings, places))
    system = System(podman, objects, played, places)
    podman.keep_secret(SECRET, _secret(ground))
    try:
        yield system
    finally:
        system.take_down()
        podman.run("secret", "rm", SECRET)


@contextmanager
def origin_of(ground: Ground, places: Mapping[str, Place]) -> Iterator[None]:
    """`afterword origin`, in place of the route that a cluster's gateway has."""
    upstreams = [f"--upstream={name}=http://127.0.0.1:{at.http}" for name, at in places.items()]
    process = ServerProcess(
        [*AFTERWORD, "origin", "--port", str(ground.origin_port), *upstreams],
        output=ground.directory / "origin.log",
    )
    try:
        process.wait_until(lambda: _is_ready(ground.origin))
        yield
    finally:
        process.end(signal.SIGTERM)


def make_files(directory: Path) -> str:
    """The access file and the token keys, in `files`, as the user of the containers may read them; what lies above is
    closed to everybody else. Returns the key."""
    key = prepare(files_of(directory), {WORKSPACE: {}})[WORKSPACE]
    for file in files_of(directory).iterdir():
        file.chmod(0o644)
    return key


def refuse_to_lose_anything(podman: Podman) -> None:
    """`Failed` where podman has pods of ours already, or the Secret."""
    if podman.containers(OURS) or podman.run("secret", "inspect", SECRET).code == 0:
        raise Failed("podman has pods or a secret of ours already: remove them first")


def files_of(directory: Path) -> Path:
    """What is mounted at /etc/afterword."""
    return directory / "files"


def _secret(ground: Ground) -> str:
    values = {
        "AFTERWORD_LOG_URL": ground.log_url,
        "AFTERWORD_DATABASE_URL": ground.database_url,
    }
    return json.dumps({n: base64.b64encode(v.encode()).decode() for n, v in values.items()})


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health/ready", timeout=5, trust_env=False).status_code == 200
    except httpx.TransportError:
        return False
