"""What a definition is: a kind, an id, a validated document, and the others that it refers to."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from shared.contracts.keys import IDENTIFIER_PATTERN
from shared.contracts.values import DefinitionState
from shared.http.bodies import Body, field_error
from shared.http.problems import FieldError

_IDENTIFIER = re.compile(IDENTIFIER_PATTERN)
_AN_ID = "an id of letters, digits, '.', '_' and '-', at most 128 of them"
Identifier = Annotated[str, Field(pattern=IDENTIFIER_PATTERN)]
Locale = Annotated[str, Field(pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$")]
Words = Annotated[str, Field(min_length=1, max_length=2_000)]
Translations = dict[Locale, Words]
"""A text in one or more languages, e.g. {en: Buy, zh: 购买}."""


class Document(Body):
    """What all documents share; `kind` and `id` may stand in the body and must then agree with the path."""

    kind: str | None = None
    id: Identifier | None = None


class Stateful(Document):
    """A document that can be paused."""

    state: Literal["active", "paused"] = "active"


@dataclass(frozen=True)
class Reference:
    """Another definition that a document names, and where it does."""

    kind: str
    id: str
    at: str


def _no_references(document: Any) -> Sequence[Reference]:
    return ()


def _no_problems(document: Any) -> Sequence[FieldError]:
    return ()


def _state_of(document: Mapping[str, Any]) -> DefinitionState:
    state: DefinitionState = document.get("state", "active")
    return state


def _never_beside(stored: "Definition", document: Mapping[str, Any]) -> bool:
    return False


@dataclass(frozen=True)
class Kind:
    """A kind of definition: its names, its shape, what else must hold, and what it refers to.

    `beside` says that a wish leaves what is stored untouched: a draft beside what is published.
    """

    name: str
    plural: str
    model: type[Document]
    check: Callable[[Any], Sequence[FieldError]] = _no_problems
    references: Callable[[Any], Sequence[Reference]] = _no_references
    state: Callable[[Mapping[str, Any]], DefinitionState] = _state_of
    beside: Callable[["Definition", Mapping[str, Any]], bool] = _never_beside


@dataclass(frozen=True)
class Wish:
    """A definition as somebody wants it to be; `document` is normalised, without kind and id."""

    kind: Kind
    id: str
    document: dict[str, Any]
    references: tuple[Reference, ...] = ()
    at: str = ""
    """Where it stands among the documents that were sent, e.g. `documents[2]`; empty when it came alone."""

    def error(self, at: str, message: str, expected: str | None = None) -> FieldError:
        """What is wrong with a field of it, for who sent it."""
        return FieldError(f"{self.at}.{at}" if self.at else at, message, expected)


@dataclass(frozen=True)
class Definition:
    """A definition as it is stored."""

    workspace: str
    kind: str
    id: str
    revision: int
    state: DefinitionState
    document: dict[str, Any]
    active_from: datetime
    changed_at: datetime
    changed_by: str


@dataclass(frozen=True)
class Change:
    """What applying a wish did or would do."""

    kind: str
    id: str
    action: Literal["create", "update", "unchanged", "delete"]
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    references: tuple[Reference, ...] = field(default=())


def read_document(
    kind: Kind, id: str | None, raw: Any, *, at: str = ""
) -> tuple[Wish | None, list[FieldError]]:
    """Validate a document for a path's id (or its own, in `apply`). Pure; returns every error with its place."""
    prefix = f"{at}." if at else ""
    if not isinstance(raw, dict):
        return None, [
            FieldError(at or "body", "is not an object", f"a {kind.name} as in the documentation")
        ]
    try:
        document = kind.model.model_validate(raw)
    except ValidationError as error:
        return None, [
            _placed(prefix, field_error(item)) for item in error.errors(include_input=False)[:100]
        ]
    named = document if document.id is not None else document.model_copy(update={"id": id})
    errors = [_placed(prefix, problem) for problem in kind.check(named)]
    if document.kind not in (None, kind.name):
        errors.append(FieldError(f"{prefix}kind", f"is {document.kind!r}", kind.name))
    if id is not None and document.id not in (None, id):
        errors.append(
            FieldError(f"{prefix}id", f"is {document.id!r}", f"{id!r}, as in the path, or left out")
        )
    wanted = id or document.id
    if wanted is None:
        errors.append(FieldError(f"{prefix}id", "is missing", _AN_ID))
    elif _IDENTIFIER.fullmatch(wanted) is None:
        errors.append(FieldError(f"{prefix}id", f"is {wanted[:60]!r}", _AN_ID))
    if errors or wanted is None:
        return None, errors
    body = document.model_dump(mode="json", exclude={"kind", "id"}, exclude_none=True)
    return Wish(kind, wanted, body, tuple(kind.references(document)), at), []


def _placed(prefix: str, error: FieldError) -> FieldError:
    return FieldError(prefix + error.at, error.message, error.expected)
