"""One purchase on its way through a system: defined, posted, asked about, answered, counted, and told, all from outside."""

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import httpx

from deploy import programs
from deploy.claims import Failed
from deploy.local.process import ServerProcess
from deploy.programs import wait_for

EXAMPLES = Path(__file__).parents[2] / "examples" / "quickstart"
PATIENCE_SECONDS = 30.0
_LISTENER = "http://127.0.0.1:9000/"
_EVENT: Any = {
    "specversion": "1.0",
    "id": "smoke-1",
    "source": "/shop",
    "type": "shop.purchase.completed",
    "subject": "customer-1",
    "data": {"order_no": "o-1", "amount": 25.5, "store": "S12", "product": "cd"},
}
_ANSWER = {"recommend": "2", "comment": "The queue was long. 排队太久。"}
AFTERWORD = (sys.executable, "-m", "services.cli")


class Listener(Protocol):
    """`afterword listen --json`, wherever it runs."""

    @property
    def said(self) -> str: ...

    def end(self, how: signal.Signals) -> None: ...


@dataclass
class Journey:
    """How far it has come: where the system is, who listens for webhooks and where, and the link that was made."""

    url: str
    key: str
    directory: Path
    listening_port: int
    listen: Callable[["Journey"], Listener]
    listener: Listener | None = None
    link: str = ""
    answered_at: float = 0.0

    @property
    def environment(self) -> dict[str, str]:
        return os.environ | {"AFTERWORD_URL": self.url, "AFTERWORD_API_KEY": self.key}

    def get(self, path: str, **params: str) -> Any:
        """What a route answers; `Failed` when that is no success."""
        answer = self.request("GET", f"{self.url}{path}", params=params)
        if not answer.is_success:
            raise Failed(f"GET {path}: {answer.status_code} {answer.text[:500]}")
        return answer.json()

    def request(self, method: str, url: str, **more: Any) -> httpx.Response:
        headers = {"authorization": f"Bearer {self.key}"} | more.pop("headers", {})
        return httpx.request(method, url, headers=headers, timeout=30, trust_env=False, **more)

    def close(self) -> None:
        if self.listener is not None:
            self.listener.end(signal.SIGTERM)


def the_examples_are_applied(journey: Journey) -> str:
    """`afterword apply` takes examples/quickstart, but for where webhooks go; `afterword listen` is there."""
    definitions = journey.directory / "definitions"
    definitions.mkdir()
    here = f"http://127.0.0.1:{journey.listening_port}/"
    for file in EXAMPLES.glob("*.yaml"):
        text = file.read_text(encoding="utf-8").replace(_LISTENER, here)
        (definitions / file.name).write_text(text, encoding="utf-8")
    said = programs.must(*AFTERWORD, "apply", "-f", str(definitions), env=journey.environment).out
    journey.listener = journey.listen(journey)
    return ", ".join(line[2:] for line in said.splitlines() if line.startswith("+ "))


def an_event_invites(journey: Journey) -> str:
    """A 202, then a decision that says invited, with a link."""
    headers = {"content-type": "application/cloudevents+json"}
    started = time.monotonic()
    answer = journey.request("POST", f"{journey.url}/v1/events", json=_EVENT, headers=headers)
    if answer.status_code != 202:
        raise Failed(f"{answer.status_code} {answer.text[:500]}")
    asked = {"source": _EVENT["source"], "event": _EVENT["id"], "wait": "20s"}
    (decision,) = journey.get("/v1/decisions", **asked)["items"]
    if decision["outcome"] != "invited":
        raise Failed(f"{decision['outcome']}: {decision.get('why')}")
    (invitation,) = journey.get("/v1/invitations", **asked)["items"]
    journey.link = invitation["link"]
    return f"202, invited with a link {time.monotonic() - started:.1f} s after"


def the_link_takes_an_answer(journey: Journey) -> str:
    """The page is shown, takes a form once, and thanks."""
    page = journey.request("GET", journey.link)
    if page.status_code != 200 or "recommend" not in page.text:
        raise Failed(f"the page: {page.status_code} {page.text[:500]}")
    answer = journey.request("POST", journey.link, data=_ANSWER)
    if answer.status_code != 303:
        raise Failed(f"the answer: {answer.status_code} {answer.text[:500]}")
    journey.answered_at = time.monotonic()
    return f"a page of {len(page.content) / 1024:.1f} KiB, and 303 for its form"


def the_score_moves(journey: Journey) -> str:
    """The answer is counted, once."""

    def counted() -> Any | None:
        items = journey.get("/v1/scores", metric="purchase-nps.recommend")["items"]
        return items[0] if items and items[0]["n"] else None

    score = wait_for(counted, "a score", PATIENCE_SECONDS)
    if (score["n"], score["value"]) != (1, -100.0):
        raise Failed(str(score))
    return f"NPS {score['value']:.0f}, n = {score['n']}"


def the_alert_is_told_and_signed(journey: Journey) -> str:
    """The webhook is there, its signature is the endpoint's, and it says what was answered."""
    told = wait_for(lambda: _delivery(journey), "the webhook", PATIENCE_SECONDS)
    seconds = time.monotonic() - journey.answered_at
    if told["refused"]:
        raise Failed(f"a webhook that is not genuine: {told['refused']}")
    body = told["body"]
    answers = {each["question"]: each["value"] for each in body["data"]["response"]["answers"]}
    if answers != {"recommend": 2, "comment": _ANSWER["comment"]}:
        raise Failed(f"it says {answers}")
    (alert,) = journey.get("/v1/alerts")["items"]
    return f"{body['type']} of rule {alert['rule']}, verified, {seconds:.1f} s after the answer at most"


def the_doctor_finds_nothing(journey: Journey) -> str:
    """`afterword doctor` ends with 0."""
    said = programs.must(*AFTERWORD, "doctor", env=journey.environment).out
    return f"{len(said.splitlines())} lines, none that fails"


def listen_here(journey: Journey) -> ServerProcess:
    """A process of this machine, where the system reaches it."""
    process = ServerProcess(
        [*AFTERWORD, "listen", "--json", "--port", str(journey.listening_port)],
        output=journey.directory / "listen.log",
        env=journey.environment,
    )
    process.wait_until(lambda: "listening on" in process.said)
    return process


def _delivery(journey: Journey) -> Any | None:
    if journey.listener is None:
        raise Failed("nobody listens")
    lines = [each for each in journey.listener.said.splitlines() if each.startswith("{")]
    return json.loads(lines[0]) if lines else None


CLAIMS: tuple[Callable[[Journey], str], ...] = (
    the_examples_are_applied,
    an_event_invites,
    the_link_takes_an_answer,
    the_score_moves,
    the_alert_is_told_and_signed,
    the_doctor_finds_nothing,
)
