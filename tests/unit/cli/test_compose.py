"""The origin over services of one process."""

import httpx
import pytest
from fastapi import FastAPI

from services.cli.compose import Origin
from shared.http.app import Health
from shared.http.serve import Service


async def probe(*healths: Health) -> tuple[int, str]:
    services = [
        Service(str(number), FastAPI(), health) for number, health in enumerate(healths, start=1)
    ]
    transport = httpx.ASGITransport(app=Origin(services))
    async with httpx.AsyncClient(transport=transport, base_url="http://origin") as client:
        answer = await client.get("/health/ready")
    return answer.status_code, answer.json()["status"]


@pytest.mark.parametrize(
    ("last", "expected"),
    [
        (Health(started=True), (200, "ready")),
        (Health(), (503, "starting")),
        (Health(started=True, comparing=True), (503, "starting")),
        (Health(started=True, comparing=True, restoring="3 of 5"), (503, "restoring")),
        (Health(started=True, restoring="3 of 5"), (200, "ready")),
        (Health(started=True, draining=True), (503, "draining")),
    ],
)
async def test_one_process_is_ready_when_all_its_services_are(
    last: Health, expected: tuple[int, str]
) -> None:
    assert await probe(Health(started=True), last) == expected
