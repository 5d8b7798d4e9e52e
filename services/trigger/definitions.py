"""The kinds of definitions that trigger owns: triggers, channels and contact policies, as they are written."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, StrictFloat, StrictInt, StrictStr

from shared.conditions import ConditionError, parse, parse_path
from shared.definitions import Document, Kind, Reference
from shared.definitions.documents import Identifier, Stateful, Translations
from shared.durations import EXPECTED, DurationError, parse_duration
from shared.http.bodies import Body
from shared.http.problems import FieldError
from shared.webhook import UrlError, check_url

TRIGGER = "trigger"
CHANNEL = "channel"
CONTACT_POLICY = "contact-policy"
SURVEY = "survey"
JOURNEY = "journey"
UNIT = "unit"
TOUCHPOINT = "touchpoint"

LINK = "link"
"""The channel that is built in: the link is read by API, nothing is sent."""
DEFAULT_POLICY = "default"
COPIED_KINDS = frozenset({SURVEY, JOURNEY, UNIT})

CONDITION_ROOTS = frozenset({"event", "data", "customer", "dimensions"})
CANCEL_ROOTS = frozenset({"event", "data"})
DIMENSION_ROOTS = frozenset({"event", "data", "customer"})
DATA_ROOT = frozenset({"data"})

EventType = Annotated[str, Field(min_length=1, max_length=255)]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
PathText = Annotated[StrictStr, Field(min_length=1, max_length=200)]


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _cancelling(value: Any) -> Any:
    return (
        [{"on": item} if isinstance(item, str) else item for item in _listed(value)]
        if isinstance(value, list | str)
        else value
    )


def _mapped(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return {
        name: {"path": source} if isinstance(source, str) else source
        for name, source in value.items()
    }


class CancelOn(Body):
    """An event that cancels what is not released yet of the same transaction."""

    on: EventType
    when: dict[str, Any] | None = None


class Source(Body):
    """Where a dimension's value comes from: a `path` into the event or the customer, or a fixed `value`."""

    path: PathText | None = None
    value: StrictStr | None = Field(None, min_length=1, max_length=255)


class TriggerDocument(Stateful):
    """Which event leads to which survey, for whom, when and how."""

    name: Translations = {}
    on: Annotated[list[EventType], BeforeValidator(_listed)] = Field(
        min_length=1, max_length=50, description="CloudEvents type, or a list of types"
    )
    when: dict[str, Any] | None = Field(
        None, description="Condition over event, data, customer, dimensions"
    )
    transaction: PathText | None = Field(
        None,
        description="Path of the business transaction's number; by default each event is its own",
    )
    survey: Identifier
    journey: Identifier | None = None
    touchpoint: Identifier | None = None
    dimensions: Annotated[dict[Name, Source], BeforeValidator(_mapped)] = Field({}, max_length=20)
    channel: Identifier = LINK
    delay: str = Field("0s", description="How long to wait before asking, e.g. 2h")
    expires: str = Field("14d", description="How long the link lives")
    cancel_on: Annotated[list[CancelOn], BeforeValidator(_cancelling)] = Field([], max_length=20)
    max_age: str = Field(
        "30d", description="Events older than this when they arrive are not asked about"
    )
    priority: StrictInt = Field(
        0, ge=-1_000, le=1_000, description="The highest goes first in the same instant"
    )
    sample: StrictFloat | StrictInt = Field(
        1, ge=0, le=1, description="Share of the customers to ask, sticky"
    )
    contact_policy: Identifier = DEFAULT_POLICY
    contact: dict[Name, PathText] = Field(
        {}, max_length=10, description="Paths in data of contact points, which are cut out of data"
    )


class ChannelDocument(Document):
    """How a customer is reached: a business system that receives the link, signed, and sends it itself."""

    name: Translations = {}
    type: Literal["webhook"]
    url: str = Field(min_length=1, max_length=2_048)


class ContactPolicyDocument(Document):
    """The clocks that protect customers, over all triggers and channels of the workspace."""

    name: Translations = {}
    after_invitation: str = Field(
        "30d", description="No further invitation within this time of the last one"
    )


def kinds(*, allow_loopback: bool) -> tuple[Kind, ...]:
    """The three kinds; `allow_loopback` is the development setting that lets a channel be on this machine."""

    def check_channel(document: ChannelDocument) -> Sequence[FieldError]:
        if document.id == LINK:
            return [FieldError("id", "the channel 'link' is built in", "another id")]
        try:
            check_url(document.url, allow_loopback=allow_loopback)
        except UrlError as error:
            return [FieldError("url", str(error), "a public https:// URL")]
        return []

    return (
        Kind(TRIGGER, "triggers", TriggerDocument, check=_check_trigger, references=_references),
        Kind(CHANNEL, "channels", ChannelDocument, check=check_channel),
        Kind(CONTACT_POLICY, "contact-policies", ContactPolicyDocument, check=_check_policy),
    )


def _references(document: TriggerDocument) -> Sequence[Reference]:
    found = [Reference(SURVEY, document.survey, "survey")]
    if document.journey is not None:
        found.append(Reference(JOURNEY, document.journey, "journey"))
    if document.journey is not None and document.touchpoint is not None:
        touchpoint = f"{document.journey}/{document.touchpoint}"
        found.append(Reference(TOUCHPOINT, touchpoint, "touchpoint"))
    if document.channel != LINK:
        found.append(Reference(CHANNEL, document.channel, "channel"))
    if document.contact_policy != DEFAULT_POLICY:
        found.append(Reference(CONTACT_POLICY, document.contact_policy, "contact_policy"))
    return found


def _check_policy(document: ContactPolicyDocument) -> Sequence[FieldError]:
    return list(_duration_errors({"after_invitation": document.after_invitation}))


def _check_trigger(document: TriggerDocument) -> Sequence[FieldError]:
    errors = list(
        _duration_errors(
            {"delay": document.delay, "expires": document.expires, "max_age": document.max_age}
        )
    )
    errors += _condition_errors(document.when, CONDITION_ROOTS, "when")
    for index, cancel in enumerate(document.cancel_on):
        errors += _condition_errors(cancel.when, CANCEL_ROOTS, f"cancel_on[{index}].when")
    errors += _path_errors([("transaction", document.transaction)], DATA_ROOT)
    errors += _path_errors(
        ((f"contact.{name}", path) for name, path in document.contact.items()), DATA_ROOT
    )
    paths = (
        (f"dimensions.{name}.path", source.path) for name, source in document.dimensions.items()
    )
    errors += _path_errors(paths, DIMENSION_ROOTS)
    errors += _shape_errors(document)
    return errors


def _shape_errors(document: TriggerDocument) -> Iterator[FieldError]:
    if document.cancel_on and document.transaction is None:
        yield FieldError(
            "cancel_on",
            "needs to know which transaction an event cancels",
            "transaction: data.order_no",
        )
    if document.touchpoint is not None and document.journey is None:
        yield FieldError(
            "touchpoint", "stands without its journey", "journey: the journey it belongs to"
        )
    for name, source in document.dimensions.items():
        if (source.path is None) == (source.value is None):
            yield FieldError(
                f"dimensions.{name}", "needs one of path and value", "data.store or {value: acme}"
            )
    if document.expires in {"0s", "0m", "0h", "0d", "0w"}:
        yield FieldError("expires", "a link that never lives cannot be opened", "14d")


def _duration_errors(durations: dict[str, str]) -> Iterator[FieldError]:
    for at, text in durations.items():
        try:
            parse_duration(text)
        except DurationError as error:
            yield FieldError(at, str(error), EXPECTED)


def _condition_errors(
    when: dict[str, Any] | None, roots: frozenset[str], at: str
) -> Iterator[FieldError]:
    if when is None:
        return
    try:
        parse(when, roots=roots, at=at)
    except ConditionError as error:
        yield from (
            FieldError(problem.at, problem.message, problem.expected) for problem in error.problems
        )


def _path_errors(
    paths: Iterable[tuple[str, str | None]], roots: frozenset[str]
) -> Iterator[FieldError]:
    for at, path in paths:
        try:
            if path is not None:
                parse_path(path, roots, at=at)
        except ConditionError as error:
            yield from (
                FieldError(problem.at, problem.message, problem.expected)
                for problem in error.problems
            )
