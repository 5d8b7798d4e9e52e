"""`listen` against a running system: it finds the secrets by itself and prints what is proven."""

import json
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from deploy.local.ports import free_port
from shared.webhook import new_secret, sign
from tests.integration.cli.conftest import System

BODY = json.dumps({"type": "alert.raised", "data": {"customer": {"id": "c-1"}}}).encode()


def make_endpoint(system: System, id: str, port: int) -> str:
    with system.client() as client:
        made = client.put(f"/v1/endpoints/{id}", json={"url": f"http://127.0.0.1:{port}/hook"})
        made.raise_for_status()
        secret: str = client.get(f"/v1/endpoints/{id}/secret").json()["secret"]
        return secret


def post(port: int, secret: str, id: str) -> int:
    headers = sign([secret], id, int(time.time()), BODY)
    return httpx.post(f"http://127.0.0.1:{port}/hook", content=BODY, headers=headers).status_code


@contextmanager
def listening(system: System, port: int, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    process = system.started("listen", "--port", str(port), *arguments)
    try:
        deadline = time.monotonic() + 30
        while True:
            try:
                httpx.get(f"http://127.0.0.1:{port}/")
            except httpx.TransportError:
                assert process.poll() is None, process.communicate()[0]
                assert time.monotonic() < deadline
                time.sleep(0.05)
            else:
                break
        yield process
    finally:
        process.terminate()
        process.wait(20)


def test_deliveries_of_endpoints_that_point_here_are_verified(system: System) -> None:
    port = free_port()
    before = make_endpoint(system, "before", port)
    elsewhere = make_endpoint(system, "elsewhere", free_port())
    with listening(system, port) as process:
        assert post(port, before, "a-1") == 204
        assert post(port, before, "a-1") == 204
        later = make_endpoint(system, "later", port)
        assert post(port, later, "a-2") == 204
        time.sleep(1.1)  # it asks for secrets once a second at the most
        assert post(port, elsewhere, "a-3") == 401
    out = process.communicate()[0].splitlines()
    assert out[0] == f"listening on http://127.0.0.1:{port}/ for before"
    assert [line.split("  ")[1:] for line in out[1:]] == [
        ["alert.raised", "customer=c-1", "verified"],
        ["alert.raised", "customer=c-1", "verified"],
        ["alert.raised", "customer=c-1", "NOT VERIFIED: no signature matches the body and any known secret"],
    ]  # fmt: skip


def test_a_secret_given_by_hand_needs_no_system(system: System) -> None:
    port, secret = free_port(), new_secret()
    alone = System("", "", system.environment | {"AFTERWORD_CONTEXT": "/nowhere"})
    with listening(alone, port, "--secret", secret, "--json") as process:
        assert post(port, secret, "a-1") == 204
    [line] = process.communicate()[0].splitlines()
    assert json.loads(line) == {"id": "a-1", "refused": None, "body": json.loads(BODY)}


def test_a_secret_that_is_none_and_a_port_that_is_taken_are_one_sentence(system: System) -> None:
    no_secret = system.afterword("listen", "--secret", "whsec_?")
    assert no_secret.err == "afterword: --secret: a webhook secret is whsec_ followed by base64\n"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        no_port = system.afterword("listen", "--port", port, "--secret", new_secret())
    assert no_port.err.startswith(f"afterword: cannot listen on 127.0.0.1:{port}: ")
    assert (no_secret.code, no_port.code) == (1, 1)
