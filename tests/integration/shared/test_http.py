"""The HTTP ground: problems for everything that is wrong, clean bodies, ids, health, and a graceful end."""

import asyncio
import socket
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import httpx
import pytest
from fastapi import APIRouter, Depends
from pydantic import StrictInt

from deploy.local.ports import free_port
from shared.auth import Access, Principal, Scope, requires
from shared.errors import StartupError, Unavailable
from shared.http.app import Health, create_app
from shared.http.bodies import Body
from shared.http.pages import decode_cursor, encode_cursor
from shared.http.problems import FieldError, Problem, invalid, not_found
from shared.http.serve import Service, run
from tests.support import eventually, write_access

router = APIRouter()


class Thing(Body):
    score: StrictInt
    note: str = ""


@router.put("/v1/things/{id}")
async def put_thing(
    id: str, thing: Thing, principal: Annotated[Principal, Depends(requires(Scope.SCORES_READ))]
) -> dict[str, Any]:
    if id == "missing":
        raise not_found("thing", id)
    if id == "away":
        raise Unavailable("postgresql://user:secret@host is down")
    if id == "bug":
        raise RuntimeError("a secret")
    if thing.score > 10:
        raise invalid([FieldError("score", "is 11", "0 to 10")])
    return {"workspace": principal.workspace, **thing.model_dump()}


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    keys = write_access(tmp_path / "access.yaml")
    app = create_app(
        "probe",
        access=Access.load(tmp_path / "access.yaml"),
        context=None,
        routers=[router],
        health=Health(),
    )
    headers = {"authorization": f"Bearer {keys['acme']}"}
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx.AsyncClient(
        transport=transport, base_url="http://test", headers=headers
    ) as opened:
        yield opened


async def put(
    client: httpx.AsyncClient, content: bytes | str, id: str = "a", **headers: str
) -> httpx.Response:
    return await client.put(
        f"/v1/things/{id}", content=content, headers={"content-type": "application/json", **headers}
    )


async def test_a_good_request(client: httpx.AsyncClient) -> None:
    answer = await put(client, '{"score": 9, "note": "好"}')
    assert (answer.status_code, answer.json()) == (
        200,
        {"workspace": "acme", "score": 9, "note": "好"},
    )
    assert answer.headers["x-request-id"]


BAD_BODIES: list[tuple[bytes | str, dict[str, str], int, str]] = [
    ("", {}, 422, "body"),
    ("{", {}, 400, "not-json"),
    ("[" * 100_000, {}, 400, "not-json"),
    ('{"score": NaN}', {}, 400, "not-json"),
    ('{"score": 1e999}', {}, 400, "not-json"),
    (b'{"score": 1, "note": "\xff"}', {}, 400, "not-json"),
    ('{"score": 1, "note": "\\ud800"}', {}, 400, "not-json"),
    ('{"score": 1, "note": "\\u0000"}', {}, 422, "nul-character"),
    ('{"score": 1}'.encode("utf-16"), {}, 400, "not-json"),
    ('{"score": 1}', {"content-type": "text/plain"}, 415, "content-type"),
    ('{"score": 1}', {"content-encoding": "gzip"}, 415, "content-encoding"),
    (b'{"score": 1, "note": "' + b"x" * 1_100_000 + b'"}', {}, 413, "too-large"),
    ('{"score": true}', {}, 422, "invalid"),
    ('{"score": "9"}', {}, 422, "invalid"),
    ('{"score": 9.0}', {}, 422, "invalid"),
    ('{"score": 9, "workspace": "other"}', {}, 422, "invalid"),
    ('{"score": 11}', {}, 422, "invalid"),
]


@pytest.mark.parametrize(("content", "headers", "status", "kind"), BAD_BODIES)
async def test_a_bad_body_is_a_problem(
    client: httpx.AsyncClient, content: bytes | str, headers: dict[str, str], status: int, kind: str
) -> None:
    answer = await put(client, content, **headers)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert kind in answer.text
    assert answer.json()["detail"]


async def test_a_problem_names_every_field_and_what_would_be_right(
    client: httpx.AsyncClient,
) -> None:
    problem = (await put(client, '{"score": "9", "typo": 1}')).json()
    assert {error["at"] for error in problem["errors"]} == {"score", "typo"}
    assert problem["type"] == "/problems/invalid"


@pytest.mark.parametrize(("id", "status"), [("missing", 404), ("away", 503), ("bug", 500)])
async def test_failures_are_problems_that_keep_secrets(
    client: httpx.AsyncClient, id: str, status: int
) -> None:
    answer = await put(client, '{"score": 1}', id=id)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert "secret" not in answer.text
    assert ("retry-after" in answer.headers) == (status == 503)
    assert answer.json()["instance"].startswith("/requests/")


async def test_unknown_paths_and_methods_are_problems(client: httpx.AsyncClient) -> None:
    for answer in (await client.get("/nowhere"), await client.post("/v1/things/a")):
        assert answer.status_code in (404, 405)
        assert answer.headers["content-type"] == "application/problem+json"


async def test_no_key_is_401(client: httpx.AsyncClient) -> None:
    answer = await put(client, '{"score": 1}', authorization="Bearer awk_x_y")
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")


async def test_both_length_and_encoding_are_refused(client: httpx.AsyncClient) -> None:
    answer = await put(
        client, '{"score": 1}', **{"transfer-encoding": "chunked", "content-length": "12"}
    )
    assert (answer.status_code, answer.json()["type"]) == (400, "/problems/ambiguous-length")


@pytest.mark.parametrize(
    ("position", "type_"),
    [
        (2**31, int),
        (-1, int),
        (10**30, int),
        ("0001-01-01T00:00:00+14:00", datetime),
        ("9999-12-31T23:59:59-14:00", datetime),
        ("a\x00", str),
    ],
)
def test_a_cursor_to_where_no_row_can_stand_is_422(position: Any, type_: type) -> None:
    with pytest.raises(Problem) as raised:
        decode_cursor(encode_cursor(position), type_)
    assert raised.value.status == 422


def test_a_cursor_comes_back_and_a_tampered_one_is_422() -> None:
    assert decode_cursor(encode_cursor("a", 7), str, int) == ("a", 7)
    assert decode_cursor(None, str) is None
    for text in ("%%", "AAAA", encode_cursor("a"), encode_cursor(1, 2)):
        with pytest.raises(Problem):
            decode_cursor(text, str, int)


async def test_a_shutdown_finishes_what_was_accepted_and_drains_the_work(tmp_path: Path) -> None:
    slow = APIRouter()
    entered = asyncio.Event()
    drained: list[str] = []

    @slow.get("/slow")
    async def answer_slowly() -> dict[str, str]:
        entered.set()
        await asyncio.sleep(0.3)
        return {"done": "yes"}

    async def work(stop: asyncio.Event) -> None:
        await stop.wait()
        drained.append("yes")

    write_access(tmp_path / "access.yaml")
    health = Health()
    app = create_app(
        "probe",
        access=Access.load(tmp_path / "access.yaml"),
        context=None,
        routers=[slow],
        health=health,
    )
    stop, port = asyncio.Event(), free_port()
    service = Service("probe", app, health, [work])
    process = asyncio.create_task(
        run(
            [service],
            app,
            host="127.0.0.1",
            port=port,
            metrics_port=None,
            grace_seconds=10,
            stop=stop,
        )
    )
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:

        async def ready() -> bool:
            try:
                return (await client.get("/health/ready")).status_code == 200
            except httpx.TransportError:
                return False

        await eventually(ready, what="readiness")
        request = asyncio.create_task(client.get("/slow"))
        await entered.wait()
        stop.set()
        assert (await request).json() == {"done": "yes"}
        await asyncio.wait_for(process, 5)
        with pytest.raises(httpx.TransportError):
            await client.get("/health/live")
    assert drained == ["yes"]


async def test_a_worker_that_dies_ends_the_process_and_a_port_in_use_is_one_sentence(
    tmp_path: Path,
) -> None:
    write_access(tmp_path / "access.yaml")
    health = Health()
    app = create_app(
        "probe",
        access=Access.load(tmp_path / "access.yaml"),
        context=None,
        routers=[],
        health=health,
    )

    async def dies(stop: asyncio.Event) -> None:
        raise RuntimeError("stuck")

    port = free_port()
    with pytest.raises(ExceptionGroup) as caught:
        async with asyncio.timeout(5):
            await run(
                [Service("probe", app, health, [dies])],
                app,
                host="127.0.0.1",
                port=port,
                metrics_port=None,
                grace_seconds=1,
                stop=asyncio.Event(),
            )
    assert caught.group_contains(RuntimeError, match="stuck")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        with pytest.raises(StartupError, match=f"cannot listen on 127.0.0.1:{port}"):
            await run(
                [],
                app,
                host="127.0.0.1",
                port=port,
                metrics_port=None,
                grace_seconds=1,
                stop=asyncio.Event(),
            )
