"""`doctor`: one line for each dependency, each lag and each thing unsent or overdue, with a hint where one helps."""

from collections.abc import Iterator
from typing import Any

import httpx
import typer
from rich.console import Console
from rich.text import Text

from services.cli.client import ApiError, open_client, request
from services.cli.context import read_context
from services.cli.dlq import MOST, dead_letters
from services.cli.paths import SERVICES
from services.cli.plain import plain
from shared.operations import Check

_STYLES = {"ok": "green", "warn": "yellow", "fail": "red"}
_LAGGING_RECORDS = 10_000
_OLD_SECONDS = 60.0
_REFUSED = {
    401: "no access file of this system knows the key: see AFTERWORD_API_KEY and the context file",
    403: "it takes a key that has the scope operations:read and no data scope",
}
_AWAY = "see the log of its process"


def doctor() -> None:
    """Look at every part of the running system; exit 1 when something needs an operator."""
    console = Console(highlight=False)
    failed = False
    with open_client(read_context()) as client:
        for check in examine(client):
            failed |= check.state == "fail"
            console.print(_line(check), soft_wrap=True)
    if failed:
        raise typer.Exit(1)


def examine(client: httpx.Client) -> Iterator[Check]:
    """Everything there is to say about the system, as it is found."""
    origin = _origin(client)
    yield origin
    if origin.state == "fail" and "does not answer" in origin.detail:
        return
    for service in SERVICES:
        yield from _service(client, service)


def _origin(client: httpx.Client) -> Check:
    try:
        request(client, "GET", "/health/ready")
    except ApiError as error:
        hint = (
            "start it: afterword dev"
            if error.status is None
            else "it starts, drains, or a process of it is away"
        )
        return Check("origin", "fail", str(error), hint)
    return Check("origin", "ok", f"{client.base_url} is ready")


def _service(client: httpx.Client, service: str) -> Iterator[Check]:
    try:
        status = request(client, "GET", f"/v1/operations/{service}/status")
    except ApiError as error:
        yield Check(service, "fail", str(error), _REFUSED.get(error.status or 0, _AWAY))
        return
    yield from judge(status)
    yield _dead_letters(client, service)


def judge(status: dict[str, Any]) -> Iterator[Check]:
    """What a service's status means. Pure."""
    service = status["service"]
    yield from _database(service, status["database"])
    yield from _log(service, status["log"])
    yield from _loop(service, status["loop"])
    for check in status.get("checks", []):
        yield Check(
            f"{service} {check['name']}", check["state"], check["detail"], check.get("hint")
        )


def _database(service: str, database: dict[str, Any]) -> Iterator[Check]:
    name = f"{service} database"
    if not database["ok"]:
        hint = _unless_named("is it up, and does AFTERWORD_DATABASE_URL name it?", database)
        yield Check(name, "fail", database["reason"], hint)
        return
    yield Check(name, "ok", "answers")
    outbox = database["outbox"]
    waiting, oldest, blocked = (
        int(outbox["waiting"]),
        outbox["oldest_seconds"],
        int(outbox["blocked"]),
    )
    said = f"{waiting} messages wait, the oldest for {oldest:.0f} s" if waiting else "nothing waits"
    name = f"{service} outbox"
    if blocked:
        yield Check(
            name,
            "fail",
            f"{blocked} messages were refused by the log; {said}",
            "see outbox_row_refused in its log",
        )
    elif oldest > _OLD_SECONDS:
        yield Check(name, "fail", said, "is the log up, and does a replica hold the relay's lease?")
    else:
        yield Check(name, "ok", said)


def _log(service: str, log: dict[str, Any]) -> Iterator[Check]:
    if not log["ok"]:
        hint = _unless_named("is it up, and does AFTERWORD_LOG_URL name it?", log)
        yield Check(f"{service} log", "fail", log["reason"], hint)
        return
    yield Check(f"{service} log", "ok", "answers")
    for topic, records in sorted(log["lag"].items()):
        behind = f"{records} records behind" if records else "up to date"
        late = records > _LAGGING_RECORDS
        yield Check(
            f"{service} reading {topic}",
            "warn" if late else "ok",
            behind,
            "add replicas if it keeps growing" if late else None,
        )


def _unless_named(hint: str, away: dict[str, Any]) -> str | None:
    """The hint, where the reason does not say itself which setting to look at."""
    return None if "AFTERWORD_" in away["reason"] else hint


def _loop(service: str, loop: dict[str, Any]) -> Iterator[Check]:
    for stopped in loop.get("stopped", []):
        detail = f"stopped at {stopped['topic']}[{stopped['partition']}]: {stopped['reason']}"
        yield Check(f"{service} loop", "fail", detail, "mend the cause and restart the process")
    if loop.get("waiting_for"):
        yield Check(
            f"{service} loop",
            "fail",
            f"waits for {loop['waiting_for']}",
            "it goes on by itself when that is back",
        )
    if loop["ok"]:
        yield Check(f"{service} loop", "ok", "turns")


def _dead_letters(client: httpx.Client, service: str) -> Check:
    name = f"{service} dead letters"
    try:
        count = len(dead_letters(client, service))
    except ApiError as error:
        return Check(name, "fail", str(error))
    if not count:
        return Check(name, "ok", "none")
    said = f"{count} or more" if count == MOST else str(count)
    return Check(
        name,
        "warn",
        said,
        f"afterword dlq list --service {service}; replay them once the cause is gone",
    )


def _line(check: Check) -> Text:
    line = Text()
    line.append(f"{check.state:4} ", style=_STYLES[check.state])
    line.append(f"{plain(check.name)}: {plain(check.detail, limit=500)}")
    if check.hint and check.state != "ok":
        line.append(f"  ({plain(check.hint)})", style="dim")
    return line
