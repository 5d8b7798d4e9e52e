"""The customers who answer: each opens the link, fills in the form as often as the page asks, and leaves."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlencode

import httpx

from services.cli.client import ApiError
from services.cli.demo.api import Api
from services.cli.demo.definitions import QUESTION, REASON
from services.cli.demo.form import read_form
from services.cli.demo.laws import Invitation
from services.cli.demo.model import Reply

_VISITORS = 32
_MOST_PAGES = 3


@dataclass
class Visits:
    """What came of the visits, by invitation."""

    accepted: dict[str, Reply] = field(default_factory=dict)
    comments: int = 0
    sent_twice: int = 0
    refused: list[str] = field(default_factory=list)


async def visit_all(
    api: Api, visits: Sequence[tuple[Invitation, Reply]], on_visit: Callable[[], None]
) -> Visits:
    """Answer all of them, some at a time. A form that is not taken is noted, not raised; raises `ApiError`
    only when the system is gone."""
    done = Visits()
    waiting = iter(visits)

    async def visitor() -> None:
        for invitation, reply in waiting:
            await _visit(api, invitation, reply, done)
            on_visit()

    async with asyncio.TaskGroup() as group:
        for _ in range(_VISITORS):
            group.create_task(visitor())
    return done


async def _visit(api: Api, invitation: Invitation, reply: Reply, done: Visits) -> None:
    said = {QUESTION: str(reply.score)} | ({REASON: reply.comment} if reply.comment else {})
    headers = {"accept-language": reply.language}
    link = invitation.link + (f"?answer={reply.score}" if reply.clicks else "")
    page = await api.visit("GET", link, headers=headers)
    for _ in range(_MOST_PAGES):
        form = read_form(page.text, invitation.link) if page.status_code == 200 else None
        if form is None:
            break
        fields = form.filled(said)
        page = await _send(api, form.action, fields, headers)
        if page.status_code == 303:
            done.accepted[invitation.id] = reply
            done.comments += any(name == REASON for name, _ in fields)
            if reply.twice:
                await _again(api, form.action, fields, headers, done)
            return
    done.refused.append(f"{invitation.id}: the page answered {page.status_code}")


async def _send(
    api: Api, action: str, fields: list[tuple[str, str]], headers: dict[str, str]
) -> httpx.Response:
    body = urlencode(fields)
    headers = headers | {"content-type": "application/x-www-form-urlencoded"}
    return await api.visit("POST", action, content=body, headers=headers)


async def _again(
    api: Api, action: str, fields: list[tuple[str, str]], headers: dict[str, str], done: Visits
) -> None:
    """A second tap on the button: it must show thanks and change nothing."""
    page = await _send(api, action, fields, headers)
    if page.status_code != 303:
        raise ApiError(
            page.status_code,
            {},
            f"a form sent twice was answered {page.status_code}, not with thanks",
        )
    done.sent_twice += 1
