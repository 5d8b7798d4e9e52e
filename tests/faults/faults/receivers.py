"""Receivers that misbehave in every way at once, beside one that does not.

Finds a build in which one of them delays or starves the others, is called again too soon or never, is followed where
it points, or has its answer read whole into memory.
"""

import random
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

from deploy.local.ports import free_port
from tests.faults.distributed import Distributed
from tests.faults.faults.misbehaviour import bomb, drip, endless, hang, reset, throttle
from tests.faults.laboratory import after, resident_mb
from tests.integration.alerting.receivers import ERROR, GONE, Behaviour, Receiver, receiving
from tests.support import eventually

_GROWTH_MB = 64.0
_AT_LEAST_SECONDS = 1.0
_SPREAD = 1.2


@dataclass(frozen=True)
class Expected:
    """What a delivery to a receiver comes to, and how long after its first attempt the second may be due."""

    outcome: str
    seconds: tuple[float, float] | None = None


_EXPECTED: Mapping[str, Expected] = {
    "oops": Expected("retry", (4.0, 6.0)),
    "throttles": Expected("retry", (120.0, 120 * _SPREAD)),
    "throttles-by-date": Expected("retry", (540.0, 600 * _SPREAD)),
    "throttles-for-ever": Expected("retry", (86_400.0, 86_400 * _SPREAD)),
    "throttles-back-in-time": Expected("retry", (60.0, 60 * _SPREAD)),
    "hangs": Expected("retry", (60.0, 60 * _SPREAD)),
    "drips": Expected("retry", (60.0, 60 * _SPREAD)),
    "resets": Expected("retry", (4.0, 6.0)),
    "redirects": Expected("retry", (4.0, 6.0)),
    "closed": Expected("retry", (4.0, 6.0)),
    "no-tls": Expected("retry", (60.0, 60 * _SPREAD)),
    "bombs": Expected("delivered"),
    "endless": Expected("delivered"),
    "gone": Expected("gone"),
}


async def receivers_misbehave(lab: Distributed, rng: random.Random) -> None:
    """Each alert goes to all of them for a while."""
    (alerting,) = lab.processes("alerting")
    await eventually(lambda: _latencies(lab, None), what="a delivery")
    await after(3.0)
    before = await _latencies(lab, None)
    since, held = datetime.now(UTC), resident_mb(alerting)
    async with _misbehaving(lab) as elsewhere:
        await after(8.0)
        for name, expected in _EXPECTED.items():
            await eventually(
                lambda n=name, e=expected: _as_expected(lab, n, e),  # type: ignore[misc]
                seconds=30,
                every=0.3,
                what=f"an attempt at {name}",
            )
        grown = resident_mb(alerting) - held
        assert not elsewhere.requests, "a redirect was followed"
        gone = (await lab.workload.client.get("/v1/endpoints/gone")).json()
        assert gone["state"] == "paused", "an endpoint that is gone was not paused"
    await eventually(lambda: _all_delivered(lab), seconds=30, every=0.2, what="all to the other")
    late, usual = _p95(await _latencies(lab, since)), _p95(before)
    lab.workload.ledger.notes["s to the other receiver (p95)"] = round(late, 2)
    assert late <= max(2 * usual, _AT_LEAST_SECONDS), (
        f"the other receiver waited {late:.2f} s beside these, {usual:.2f} s before"
    )
    assert grown < _GROWTH_MB, f"alerting grew by {grown:.0f} MB"


@asynccontextmanager
async def _misbehaving(lab: Distributed) -> AsyncIterator[Receiver]:
    """An endpoint for each of them; what comes is the place that one of them redirects to."""
    in_ten_minutes = format_datetime(datetime.now(UTC) + timedelta(minutes=10), usegmt=True)
    client = lab.workload.client
    async with AsyncExitStack() as stack:
        elsewhere = await stack.enter_async_context(receiving())
        to = f"HTTP/1.1 302 Found\r\nLocation: {elsewhere.url}\r\nContent-Length: 0\r\n\r\n"
        behaviours: dict[str, Behaviour] = {
            "oops": ERROR,
            "throttles": throttle("120"),
            "throttles-by-date": throttle(in_ten_minutes),
            "throttles-for-ever": throttle("99999999999"),
            "throttles-back-in-time": throttle("-5"),
            "hangs": hang,
            "drips": drip,
            "resets": reset,
            "redirects": to.encode(),
            "bombs": bomb(),
            "endless": endless,
            "gone": GONE,
        }
        urls = {
            name: (await stack.enter_async_context(receiving(behaviour))).url
            for name, behaviour in behaviours.items()
        }
        urls["closed"] = f"http://127.0.0.1:{free_port()}/hook"
        urls["no-tls"] = elsewhere.url.replace("http:", "https:")
        assert urls.keys() == _EXPECTED.keys()
        for name, url in urls.items():
            answer = await client.put(f"/v1/endpoints/{name}", json={"url": url})
            assert answer.is_success, answer.text
        try:
            yield elsewhere
        finally:
            for name in urls:
                await client.delete(f"/v1/endpoints/{name}")


async def _as_expected(lab: Distributed, name: str, expected: Expected) -> bool:
    """Whether there was an attempt; fails when it came to something else, or the next one is due at another time."""
    attempted = [d for d in await _deliveries(lab, name) if d["attempts"] >= 1]
    for delivery in attempted[-3:]:
        told = (await lab.workload.client.get(f"/v1/deliveries/{delivery['id']}")).json()
        first = told["log"][0]
        assert first["outcome"] == expected.outcome, f"{name}: {first}"
        if expected.seconds is not None and told["attempts"] == 1 and told["next_attempt_at"]:
            ended = _time(first["at"]) + timedelta(milliseconds=first["duration_ms"])
            wait = (_time(told["next_attempt_at"]) - ended).total_seconds()
            low, high = expected.seconds
            assert low - 0.1 <= wait <= high + 2, f"{name} is called again after {wait:.1f} s"
    return bool(attempted)


async def _latencies(lab: Distributed, since: datetime | None) -> list[float]:
    """From the alert until its delivery was recorded, by the database's clock."""
    delivered = [d for d in await _deliveries(lab, "crm") if d["state"] == "delivered"]
    return [
        (_time(d["changed_at"]) - _time(d["created_at"])).total_seconds()
        for d in delivered
        if since is None or _time(d["created_at"]) > since
    ]


async def _all_delivered(lab: Distributed) -> bool:
    params = {"endpoint": "crm", "state": "pending"}
    answer = await lab.workload.client.get("/v1/deliveries", params=params)
    return len(answer.json()["items"]) <= 1


async def _deliveries(lab: Distributed, endpoint: str) -> list[dict[str, Any]]:
    params = {"endpoint": endpoint, "limit": "500"}
    answer = await lab.workload.client.get("/v1/deliveries", params=params)
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


def _p95(seconds: list[float]) -> float:
    return sorted(seconds)[int(0.95 * len(seconds))] if seconds else 0.0


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
