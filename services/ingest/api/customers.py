"""Customers: upsert, read, erase, list, and many at once."""

from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Response
from pydantic import BaseModel, Field, StrictBool

from services.ingest.context import InContext
from services.ingest.rules.customers import Customer, Profile, check_id, check_profile
from services.ingest.store import customers as store
from shared.auth import Principal, Scope, requires
from shared.definitions.documents import Locale
from shared.http.bodies import Body
from shared.http.pages import Cursor, Limit, Page, decode_cursor, following
from shared.http.problems import FieldError, invalid, not_found

router = APIRouter(prefix="/v1/customers", tags=["customers"])

Reader = Annotated[Principal, Depends(requires(Scope.CUSTOMERS_READ))]
Writer = Annotated[Principal, Depends(requires(Scope.CUSTOMERS_WRITE))]
CustomerId = Annotated[str, Path(description="The customer's ID, percent-encoded")]


class ProfileBody(Body):
    """All that is known of a customer; what is left out is forgotten, but for a stop of surveys."""

    attributes: dict[str, Any] = Field({}, description="Up to 100 keys, 3 levels, 16 KiB")
    contact: dict[str, str] = Field({}, description="Contact points: email, phone, wechat, others")
    locale: Locale | None = Field(None, description="A BCP 47 language tag such as zh-CN")
    time_zone: str | None = Field(None, description="An IANA time zone such as Asia/Shanghai")
    consent: dict[str, StrictBool] = Field({}, description="Whether each purpose is agreed to")

    def profile(self) -> Profile:
        return Profile(self.attributes, self.contact, self.locale, self.time_zone, self.consent)


class CustomerBody(ProfileBody):
    """A customer among many."""

    id: str


class CustomersBody(Body):
    """Up to 1,000 customers, each id once."""

    customers: tuple[CustomerBody, ...] = Field(min_length=1, max_length=1_000)


class CustomerJson(BaseModel):
    """A customer as it is stored; `revision` counts its changes."""

    id: str
    attributes: dict[str, Any]
    contact: dict[str, str]
    locale: str | None
    time_zone: str | None
    consent: dict[str, bool]
    revision: int
    changed_at: datetime
    changed_by: str


class BulkJson(BaseModel):
    """What a bulk write came to."""

    created: int
    updated: int
    unchanged: int


@router.post("")
async def put_customers(body: CustomersBody, principal: Writer, context: InContext) -> BulkJson:
    """Upsert many customers, all or nothing."""
    profiles = {each.id: each.profile() for each in body.customers}
    if errors := _bulk_errors(body):
        raise invalid(errors)
    async with context.database.begin() as tx:
        writes = await store.put_customers(tx, principal.workspace, profiles, by=principal.id)
    actions = [each.action for each in writes.values()]
    return BulkJson(
        created=actions.count("create"),
        updated=actions.count("update"),
        unchanged=actions.count("unchanged"),
    )


@router.get("")
async def list_customers(
    principal: Reader, context: InContext, limit: Limit = 100, cursor: Cursor = None
) -> Page[CustomerJson]:
    """Customers in the order of their ids."""
    after = decode_cursor(cursor, str)
    async with context.database.read() as tx:
        found = await store.list_customers(
            tx, principal.workspace, after=after[0] if after else "", limit=limit + 1
        )
    items = [_json(customer) for customer in found[:limit]]
    return Page(items=items, next=following(found, limit, "id"))


@router.put("/{id:path}")
async def put_customer(
    id: CustomerId, body: ProfileBody, principal: Writer, context: InContext, response: Response
) -> CustomerJson:
    """Make a customer known, or replace what is known; 201 when it was not known before."""
    profile = body.profile()
    if errors := [*check_id(id), *check_profile(profile)]:
        raise invalid(errors)
    async with context.database.begin() as tx:
        writes = await store.put_customers(tx, principal.workspace, {id: profile}, by=principal.id)
        customer = writes[id].after or await store.get_customer(tx, principal.workspace, id)
    if customer is None:
        raise not_found("customer", id)
    response.status_code = 201 if writes[id].action == "create" else 200
    return _json(customer)


@router.get("/{id:path}")
async def get_customer(id: CustomerId, principal: Reader, context: InContext) -> CustomerJson:
    """All that is known of a customer."""
    async with context.database.read() as tx:
        customer = await store.get_customer(tx, principal.workspace, _known(id))
    if customer is None:
        raise not_found("customer", id)
    return _json(customer)


@router.delete("/{id:path}", status_code=204)
async def erase_customer(id: CustomerId, principal: Writer, context: InContext) -> Response:
    """Forget all that is known of a customer, here and in every service."""
    async with context.database.begin() as tx:
        erased = await store.erase_customer(tx, principal.workspace, _known(id), by=principal.id)
    if not erased:
        raise not_found("customer", id)
    return Response(status_code=204)


def _known(id: str) -> str:
    """The id, if it can be one at all."""
    if any(check_id(id)):
        raise not_found("customer", id[:255])
    return id


def _bulk_errors(body: CustomersBody) -> list[FieldError]:
    errors: list[FieldError] = []
    seen: set[str] = set()
    for index, each in enumerate(body.customers):
        found = [*check_id(each.id), *check_profile(each.profile())]
        if each.id in seen:
            found.append(FieldError("id", f"{each.id!r} stands twice", "each id once"))
        seen.add(each.id)
        errors += [replace(error, at=f"customers[{index}].{error.at}") for error in found]
    return errors


def _json(customer: Customer) -> CustomerJson:
    return CustomerJson(
        id=customer.id,
        **customer.profile.__dict__,
        revision=customer.revision,
        changed_at=customer.changed_at,
        changed_by=customer.changed_by,
    )
