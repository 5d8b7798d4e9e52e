"""What operators see of retention: what would be let go of now, and whether partitions come and go as they should."""

from collections.abc import Sequence

from fastapi import APIRouter
from pydantic import BaseModel

from shared.operations import Check, Checks, Reader, Writer
from shared.outlook import Outlook
from shared.retention import Retention
from shared.telemetry import log


class RetentionJson(BaseModel):
    """How long a service keeps what, and what it would let go of now."""

    service: str
    classes: list[Outlook]


class LetGoJson(BaseModel):
    """One small piece of the work: how many rows went one by one; 0 when nothing is left, or another replica is at it."""

    service: str
    rows: int
    busy: bool


def retention_routes(service: str, retention: Retention) -> APIRouter:
    """The router. It speaks of all workspaces: partitions hold the rows of all of them."""
    router = APIRouter(prefix=f"/v1/operations/{service}", tags=["operations"])

    @router.get("/retention")
    async def outlook(principal: Reader) -> RetentionJson:
        """What would be let go of now, by class of data. Nothing is changed: the service does it by itself."""
        return RetentionJson(service=service, classes=await retention.outlook())

    @router.post("/retention")
    async def let_go(principal: Writer) -> LetGoJson:
        """Do now a small piece of what the service does by itself within the hour; ask again until no rows are left."""
        rows = await retention.work()
        log.info("retention_asked_for", service=service, by=principal.id, rows=rows)
        return LetGoJson(service=service, rows=rows or 0, busy=rows is None)

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
