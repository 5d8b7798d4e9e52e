"""A workspace's definitions made ready for deciding: compiled once, found by event type. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from services.trigger.definitions import (
    CANCEL_ROOTS,
    CHANNEL,
    CONDITION_ROOTS,
    CONTACT_POLICY,
    DATA_ROOT,
    DEFAULT_POLICY,
    DIMENSION_ROOTS,
    LINK,
    SURVEY,
    TRIGGER,
    UNIT,
    ContactPolicyDocument,
    TriggerDocument,
)
from shared.conditions import Condition, Path, parse, parse_path
from shared.contracts.units import UnitTree
from shared.contracts.values import DefinitionState
from shared.definitions import Definition
from shared.durations import parse_duration

DEFAULT_AFTER_INVITATION = timedelta(days=30)
"""The contact clock of a workspace that has not defined the policy `default`."""


@dataclass(frozen=True, slots=True)
class Cancel:
    """An event that cancels a trigger's pending decisions about the same transaction."""

    trigger: str
    transaction: Path
    when: Condition | None


@dataclass(frozen=True, slots=True)
class DimensionSource:
    """Where a dimension's value is read; a fixed value has no path."""

    name: str
    path: Path | None
    value: str | None


@dataclass(frozen=True, slots=True)
class Trigger:
    """A trigger, compiled."""

    workspace: str
    id: str
    state: DefinitionState
    active_from: datetime
    changed_at: datetime
    on: tuple[str, ...]
    when: Condition | None
    transaction: Path | None
    survey: str
    journey: str | None
    touchpoint: str | None
    dimensions: tuple[DimensionSource, ...]
    channel: str
    delay: timedelta
    expires: timedelta
    cancel_on: tuple[tuple[str, Cancel], ...]
    max_age: timedelta
    priority: int
    sample: float
    contact_policy: str
    contact: tuple[tuple[str, Path], ...]
    reads_customer: bool
    """Whether the condition or a dimension needs to know the customer."""
    reads_dimensions: bool
    """Whether the condition looks at dimensions."""


@dataclass(frozen=True)
class Rulebook:
    """All that decisions in one workspace go by."""

    triggers: Mapping[str, Trigger] = field(default_factory=dict)
    by_type: Mapping[str, tuple[Trigger, ...]] = field(default_factory=dict)
    """The triggers that listen to a type, the one with the highest priority first."""
    cancels: Mapping[str, tuple[Cancel, ...]] = field(default_factory=dict)
    surveys: Mapping[str, DefinitionState] = field(default_factory=dict)
    channels: frozenset[str] = frozenset({LINK})
    policies: Mapping[str, timedelta] = field(
        default_factory=lambda: {DEFAULT_POLICY: DEFAULT_AFTER_INVITATION}
    )
    """How long after an invitation each contact policy lets nobody ask again."""
    units: UnitTree = field(default_factory=lambda: UnitTree.of({}))


@dataclass(frozen=True, slots=True)
class Copy:
    """A definition of another service, as far as it matters here."""

    kind: str
    id: str
    state: DefinitionState
    document: Mapping[str, Any]


def compile_rulebook(own: Iterable[Definition], copies: Iterable[Copy]) -> Rulebook:
    """Make the rulebook of one workspace from what is stored there, without deleted definitions."""
    triggers: dict[str, Trigger] = {}
    channels = {LINK}
    policies = {DEFAULT_POLICY: DEFAULT_AFTER_INVITATION}
    for definition in own:
        if definition.kind == TRIGGER:
            triggers[definition.id] = compile_trigger(definition)
        elif definition.kind == CHANNEL:
            channels.add(definition.id)
        elif definition.kind == CONTACT_POLICY:
            document = ContactPolicyDocument.model_validate(definition.document)
            policies[definition.id] = parse_duration(document.after_invitation)
    found = list(copies)
    return Rulebook(
        triggers=triggers,
        by_type=_by_type(triggers.values()),
        cancels=_cancels(triggers.values()),
        surveys={copy.id: copy.state for copy in found if copy.kind == SURVEY},
        channels=frozenset(channels),
        policies=policies,
        units=UnitTree.of({copy.id: copy.document for copy in found if copy.kind == UNIT}),
    )


def compile_trigger(definition: Definition) -> Trigger:
    """Compile one stored trigger; it was validated when it was put."""
    document = TriggerDocument.model_validate(definition.document)
    when = None if document.when is None else parse(document.when, roots=CONDITION_ROOTS)
    transaction = (
        None if document.transaction is None else parse_path(document.transaction, DATA_ROOT)
    )
    dimensions = tuple(
        DimensionSource(
            name,
            None if source.path is None else parse_path(source.path, DIMENSION_ROOTS),
            source.value,
        )
        for name, source in document.dimensions.items()
    )
    cancel_on = tuple(
        (
            each.on,
            Cancel(
                definition.id,
                transaction,
                None if each.when is None else parse(each.when, roots=CANCEL_ROOTS),
            ),
        )
        for each in document.cancel_on
        if transaction is not None
    )
    return Trigger(
        workspace=definition.workspace,
        id=definition.id,
        state=definition.state,
        active_from=definition.active_from,
        changed_at=definition.changed_at,
        on=tuple(document.on),
        when=when,
        transaction=transaction,
        survey=document.survey,
        journey=document.journey,
        touchpoint=document.touchpoint,
        dimensions=dimensions,
        channel=document.channel,
        delay=parse_duration(document.delay),
        expires=parse_duration(document.expires),
        cancel_on=cancel_on,
        max_age=parse_duration(document.max_age),
        priority=document.priority,
        sample=float(document.sample),
        contact_policy=document.contact_policy,
        contact=tuple(
            (name, parse_path(path, DATA_ROOT)) for name, path in document.contact.items()
        ),
        reads_customer=_reads_customer(when, dimensions),
        reads_dimensions=_reads(when, "dimensions."),
    )


def _reads_customer(when: Condition | None, dimensions: tuple[DimensionSource, ...]) -> bool:
    of_customer = (
        source.path is not None and source.path[0] == "customer" for source in dimensions
    )
    return _reads(when, "customer.") or any(of_customer)


def _reads(when: Condition | None, root: str) -> bool:
    return when is not None and any(path.startswith(root) for path in when.paths)


def _by_type(triggers: Iterable[Trigger]) -> dict[str, tuple[Trigger, ...]]:
    found: dict[str, list[Trigger]] = {}
    for trigger in triggers:
        for type in dict.fromkeys(trigger.on):
            found.setdefault(type, []).append(trigger)
    return {
        type: tuple(sorted(some, key=lambda t: (-t.priority, t.id))) for type, some in found.items()
    }


def _cancels(triggers: Iterable[Trigger]) -> dict[str, tuple[Cancel, ...]]:
    found: dict[str, list[Cancel]] = {}
    for trigger in triggers:
        for type, cancel in trigger.cancel_on:
            found.setdefault(type, []).append(cancel)
    return {type: tuple(some) for type, some in found.items()}
