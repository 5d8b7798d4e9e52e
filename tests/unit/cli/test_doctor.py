"""What `doctor` makes of a service's status."""

from typing import Any

import httpx
import pytest

from services.cli.doctor import examine, judge

WELL: dict[str, Any] = {
    "service": "scoring",
    "database": {"ok": True, "outbox": {"waiting": 0, "oldest_seconds": 0.0, "blocked": 0}},
    "log": {"ok": True, "lag": {"responses": 0}},
    "loop": {"ok": True, "waiting_for": None, "stopped": []},
    "checks": [],
}
STOPPED = [{"topic": "responses", "partition": 3, "reason": "poison"}]


def states(**changed: Any) -> dict[str, str]:
    return {check.name.removeprefix("scoring "): check.state for check in judge(WELL | changed)}


def test_a_service_that_is_well_has_nothing_but_ok() -> None:
    assert states() == {
        "database": "ok", "outbox": "ok", "log": "ok", "reading responses": "ok", "loop": "ok"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "name", "state"),
    [
        ({"database": {"ok": False, "reason": "refused"}}, "database", "fail"),
        ({"database": {"ok": True, "outbox": {"waiting": 1, "oldest_seconds": 0.2, "blocked": 1}}}, "outbox", "fail"),
        ({"database": {"ok": True, "outbox": {"waiting": 9, "oldest_seconds": 900.0, "blocked": 0}}}, "outbox", "fail"),
        ({"database": {"ok": True, "outbox": {"waiting": 9, "oldest_seconds": 0.5, "blocked": 0}}}, "outbox", "ok"),
        ({"log": {"ok": False, "reason": "refused"}}, "log", "fail"),
        ({"log": {"ok": True, "lag": {"responses": 50_000}}}, "reading responses", "warn"),
        ({"loop": {"ok": False, "waiting_for": None, "stopped": STOPPED}}, "loop", "fail"),
        ({"loop": {"ok": False, "waiting_for": "the database", "stopped": []}}, "loop", "fail"),
        ({"checks": [{"name": "parked", "state": "warn", "detail": "2"}]}, "parked", "warn"),
    ],
)  # fmt: skip
def test_each_thing_that_is_wrong_is_seen(changed: dict[str, Any], name: str, state: str) -> None:
    assert states(**changed)[name] == state


@pytest.mark.parametrize("part", ["log", "database"])
def test_a_reason_that_names_the_setting_needs_no_hint(part: str) -> None:
    for reason, hinted in (("refused", True), ("see AFTERWORD_KAFKA_CA_FILE", False)):
        [check] = [
            check
            for check in judge(WELL | {part: {"ok": False, "reason": reason}})
            if check.name == f"scoring {part}"
        ]
        assert (check.hint is not None) == hinted


@pytest.mark.parametrize(
    ("status", "hint"),
    [(401, "AFTERWORD_API_KEY"), (403, "operations:read and no data scope"), (500, "the log")],
)
def test_a_key_that_is_refused_is_told_what_would_do(status: int, hint: str) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        ready = request.url.path == "/health/ready"
        return httpx.Response(200 if ready else status, json={"detail": "no"})

    with httpx.Client(transport=httpx.MockTransport(answer), base_url="http://afterword") as client:
        origin, *services = examine(client)
    assert origin.state == "ok"
    assert len(services) == 4
    assert all(check.state == "fail" and hint in (check.hint or "") for check in services)
