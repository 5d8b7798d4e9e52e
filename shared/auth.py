"""Who may do what: workspaces and API keys from the access file, re-read when it changes."""

import hashlib
import hmac
import re
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import yaml
from fastapi import Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from shared.contracts.keys import WORKSPACE_PATTERN
from shared.contracts.topics import Topic
from shared.data_scope import EVERYTHING, DataScope
from shared.errors import StartupError
from shared.http.parameters import only_known_parameters
from shared.http.problems import Problem
from shared.watched import Watched

_MOST_RECOGNISED = 1_000
"""How many headers are remembered: as many as there are keys, and one key can be written in many ways."""

_KEY_PREFIX = "awk"
_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,200}")


class Scope(StrEnum):
    """What a key may do; `*` in the access file means all of them."""

    EVENTS_WRITE = "events:write"
    CUSTOMERS_READ = "customers:read"
    CUSTOMERS_WRITE = "customers:write"
    DEFINITIONS_READ = "definitions:read"
    DEFINITIONS_WRITE = "definitions:write"
    DECISIONS_READ = "decisions:read"
    RESPONSES_READ = "responses:read"
    RESPONSES_WRITE = "responses:write"
    SCORES_READ = "scores:read"
    ALERTS_READ = "alerts:read"
    ALERTS_WRITE = "alerts:write"
    SECRETS_READ = "secrets:read"
    OPERATIONS_READ = "operations:read"
    OPERATIONS_WRITE = "operations:write"


WITHIN_DATA_SCOPE = frozenset(
    {
        Scope.DEFINITIONS_READ,
        Scope.DECISIONS_READ,
        Scope.RESPONSES_READ,
        Scope.SCORES_READ,
        Scope.ALERTS_READ,
    }
)
"""All that a key with a data scope can do: read definitions, which hold no feedback, and the feedback that it may see.
Nothing else can be limited by dimension."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Workspace(_Strict):
    """A tenant. `clock: event` makes contact clocks follow the events' own time (replays of history)."""

    id: str = Field(pattern=WORKSPACE_PATTERN)
    time_zone: str = "UTC"
    inlets: tuple[str, ...] = ()
    clock: Literal["wall", "event"] = "wall"

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ValueError("must be an IANA time zone such as Asia/Shanghai") from error
        return value


class _Key(_Strict):
    id: str = Field(pattern=r"^[A-Za-z0-9-]{1,64}$")
    workspace: str
    hash: str = Field(pattern=r"^sha256:[0-9a-f]{64}$")
    scopes: frozenset[Scope | Literal["*"]]
    data: DataScope = EVERYTHING


class _Document(_Strict):
    workspaces: tuple[Workspace, ...]
    keys: tuple[_Key, ...] = ()


@dataclass(frozen=True)
class Principal:
    """Who acts: the id stands in every change that is made. `data` is the part of the feedback that it may see."""

    id: str
    workspace: str
    scopes: frozenset[Scope]
    data: DataScope = EVERYTHING


@dataclass(frozen=True)
class _State:
    """What the access file says; whoever is recognised is forgotten with it."""

    workspaces: Mapping[str, Workspace]
    keys: Mapping[str, _Key]
    principals: Mapping[str, Principal]
    recognised: dict[bytes, Principal] = field(default_factory=dict)
    """Whose keys were presented lately, by the digests of the headers that they came in."""


@dataclass(frozen=True)
class Access:
    """The access file as it is now. A broken edit is logged and the last good state stays in force."""

    _file: Watched[_State]

    @classmethod
    def load(cls, path: Path) -> "Access":
        """Read the file. Raises `StartupError` with the field that is wrong."""
        return cls(Watched("access file", [path], partial(_read, path)))

    @property
    def workspaces(self) -> Mapping[str, Workspace]:
        return self._file.value.workspaces

    def workspace(self, id: str) -> Workspace | None:
        return self.workspaces.get(id)

    @property
    def key_count(self) -> int:
        return len(self._file.value.keys)

    def inlets(self) -> dict[str, str]:
        """The workspace of each inlet topic."""
        return {
            inlet: workspace.id
            for workspace in self.workspaces.values()
            for inlet in workspace.inlets
        }

    def authenticate(self, presented: str | None) -> Principal | None:
        """Whose key this is, None for none of ours. The secret is compared in constant time."""
        state = self._file.value
        prefix, _, rest = (presented or "").partition("_")
        id, _, secret = rest.partition("_")
        key = state.keys.get(id) if prefix == _KEY_PREFIX else None
        expected = key.hash if key else "sha256:" + "0" * 64
        same = hmac.compare_digest(hash_secret(secret), expected)
        if key is None or not same:
            return None
        return state.principals[key.id]

    def recognise(self, header: str | None) -> Principal | None:
        """Whose key an Authorization header presents, None for none of ours.

        What was found is remembered until the file is read again. It is looked up by a digest, which tells nobody
        who measures how long that takes anything about a key.
        """
        recognised = self._file.value.recognised
        digest = hashlib.blake2b((header or "").encode("utf-8", "surrogatepass")).digest()
        principal = recognised.get(digest)
        if principal is None and (principal := self.authenticate(bearer(header))) is not None:
            if len(recognised) >= _MOST_RECOGNISED:
                recognised.clear()
            recognised[digest] = principal
        return principal


def _read(path: Path) -> _State:
    try:
        document = _Document.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise StartupError(f"cannot read the access file {path}: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        at = ".".join(str(part) for part in first["loc"])
        raise StartupError(f"the access file {path}: {at}: {first['msg']}") from error
    except (yaml.YAMLError, ValueError) as error:  # not UTF-8, or a date that no calendar has
        raise StartupError(
            f"the access file {path} is not YAML: {error}".replace("\n", " ")
        ) from error
    _check(path, document)
    return _State(
        workspaces={workspace.id: workspace for workspace in document.workspaces},
        keys={key.id: key for key in document.keys},
        principals={key.id: _principal(key) for key in document.keys},
    )


def _principal(key: _Key) -> Principal:
    scopes = Scope if "*" in key.scopes else (Scope(s) for s in key.scopes if s != "*")
    return Principal(key.id, key.workspace, frozenset(scopes), key.data)


def _check(path: Path, document: _Document) -> None:
    known = {workspace.id for workspace in document.workspaces}
    inlets = [inlet for workspace in document.workspaces for inlet in workspace.inlets]
    for what, ids in (
        ("workspace", [workspace.id for workspace in document.workspaces]),
        ("key", [key.id for key in document.keys]),
    ):
        if twice := {id for id in ids if ids.count(id) > 1}:
            raise StartupError(f"the access file {path}: the {what} {min(twice)!r} stands twice")
    for key in document.keys:
        if key.workspace not in known:
            raise StartupError(
                f"the access file {path}: key {key.id} names the unknown workspace {key.workspace!r}"
            )
    if shared := {inlet for inlet in inlets if inlets.count(inlet) > 1}:
        raise StartupError(
            f"the access file {path}: the inlet {min(shared)!r} belongs to two workspaces"
        )
    for inlet in inlets:
        if inlet in set(Topic) or inlet.endswith(".dlq") or not _TOPIC.fullmatch(inlet):
            raise StartupError(
                f"the access file {path}: {inlet!r} cannot be an inlet:"
                " choose 1 to 200 letters, digits, '.', '_' and '-', and none of our own topics"
            )


def hash_secret(secret: str) -> str:
    """How a key's secret is kept. The secret has 256 random bits, so a plain hash cannot be guessed."""
    return "sha256:" + hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def mint_key(id: str) -> tuple[str, str]:
    """A new API key and the hash to put in the access file."""
    secret = secrets.token_urlsafe(32)
    return f"{_KEY_PREFIX}_{id}_{secret}", hash_secret(secret)


def bearer(header: str | None) -> str | None:
    """The key of an Authorization header."""
    scheme, _, value = (header or "").partition(" ")
    return value.strip() if scheme.lower() == "bearer" else None


@dataclass(frozen=True)
class Requirement:
    """A dependency that answers 401 without a valid key, 403 without the scope or with a data scope that cannot hold;
    and 422, to those who may ask, for a parameter that the route does not have."""

    scope: Scope

    async def __call__(self, request: Request) -> Principal:
        access: Access = request.app.state.access
        principal = authorised(access, request.headers.get("authorization"), self.scope)
        only_known_parameters(request)
        return principal


def requires(scope: Scope) -> Callable[[Request], Awaitable[Principal]]:
    """The dependency of a route that needs this scope."""
    return Requirement(scope)


def authorised(access: Access, header: str | None, scope: Scope) -> Principal:
    """The principal of a request. Raises a 401 or 403 `Problem`."""
    principal = access.recognise(header)
    if principal is None:
        raise Problem(
            401, "unauthenticated", "A valid API key is needed: send `Authorization: Bearer KEY`."
        )
    if scope not in principal.scopes:
        raise Problem(403, "forbidden", f"The key {principal.id} lacks the scope {scope.value}.")
    if principal.data.limited and scope not in WITHIN_DATA_SCOPE:
        seen = ", ".join(sorted(principal.data.allowed))
        raise Problem(
            403,
            "data-scope",
            f"The key {principal.id} has a data scope ({seen}) and can only read what lies in it:"
            f" {scope.value} cannot be limited to that and needs a key without `data`.",
        )
    return principal
