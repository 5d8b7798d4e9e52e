"""What operators see of retention: what would be let go of now, and whether partitions come and go as they should."""

from collections.abc import Sequence

from fastapi import APIRouter
from pydantic import BaseModel

from shared.operations import Check, Checks, Reader
from shared.retention import Outlook, Retention


class RetentionJson(BaseModel):
    """How long a service keeps what, and what it would let go of now."""

    service: str
    classes: list[Outlook]


def retention_routes(service: str, retention: Retention) -> APIRouter:
    """The router. It speaks of all workspaces: partitions hold the rows of all of them."""
    router = APIRouter(prefix=f"/v1/operations/{service}", tags=["operations"])

    @router.get("/retention")
    async def outlook(principal: Reader) -> RetentionJson:
        """What would be let go of now, by class of data. Nothing is changed: the service does it by itself."""
        return RetentionJson(service=service, classes=await retention.outlook())

    return router


def retention_checks(own: Checks, retention: Retention) -> Checks:
    """A service's own checks and those of its partitions. They raise `Unavailable`."""

    async def look(workspace: str) -> Sequence[Check]:
        outlooks = await retention.outlook(most=0)
        return [*await own(workspace), *(check for each in outlooks for check in checks_of(each))]

    return look


def checks_of(outlook: Outlook) -> list[Check]:
    """What `doctor` says of a class of data; nothing where there are no partitions. Pure."""
    if outlook.days_ahead is None:
        return []
    name = f"partitions of {outlook.name}"
    if outlook.days_ahead < 1:
        hint = (
            "rows go to the default one: may its role make tables? see retention_failed in its log"
        )
        return [Check(name, "warn", "there is none for tomorrow", hint)]
    if waiting := sum(one.waits for one in outlook.partitions):
        hint = "something in them is pending; see `afterword retention`"
        return [Check(name, "warn", f"{waiting} are old and cannot be dropped yet", hint)]
    return [Check(name, "ok", f"made for {outlook.days_ahead} days to come")]
