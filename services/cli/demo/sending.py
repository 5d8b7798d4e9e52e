"""Tells the system of its definitions and of the purchases, through the public API."""

from collections.abc import Callable

from services.cli.demo.api import Api
from services.cli.demo.definitions import ENDPOINT, TRIGGER, definitions, of_service
from services.cli.demo.schedule import Schedule
from services.cli.demo.waiting import Patience, at_rest
from services.cli.kinds import OWNERS
from shared.errors import AfterwordError, StartupError

_BATCH_TYPE = "application/cloudevents-batch+json"


async def check_empty(api: Api) -> None:
    """Raises `StartupError` when the workspace has decisions already: the laws are judged over all it holds."""
    if (await api.get("/v1/decisions", limit=1))["items"]:
        raise StartupError(
            "the workspace has events already; the demo needs an empty one with `clock: event`"
        )


async def define(api: Api, receiver_url: str) -> str:
    """Put the definitions and wait until every service has its copies; returns the endpoint's signing secret."""
    documents = definitions(receiver_url)
    for service in OWNERS:
        owned = of_service(service, documents)
        await api.post(f"/v1/apply/{service}", {"documents": owned, "prune": False})
    secret: str = (await api.get(f"/v1/endpoints/{ENDPOINT}/secret"))["secret"]
    patience = Patience()
    while True:
        unresolved = (await api.get(f"/v1/triggers/{TRIGGER}"))["unresolved"]
        rest = await at_rest(api)
        if not unresolved and rest.quiet:
            return secret
        if await patience.spent(len(unresolved), rest):
            raise AfterwordError(
                f"the definitions did not reach all services: {rest.why or unresolved}"
            )


async def send(api: Api, schedule: Schedule, on_sent: Callable[[int], None]) -> None:
    """Post every batch and wait for its acknowledgement before the next, so that the order is the schedule's."""
    for batch in schedule.batches():
        await api.post("/v1/events", [sale.event() for sale in batch], _BATCH_TYPE)
        on_sent(len(batch))
