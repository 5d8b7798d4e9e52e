"""Finds references to definitions that exist neither in the files at hand nor in the running system."""

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

import httpx

from services.cli.client import ApiError, request
from services.cli.documents import FileDocument, FileError
from services.cli.kinds import BUILT_IN, KINDS

Name = tuple[str, str]
"""Kind and id; a touchpoint's id is JOURNEY/TOUCHPOINT."""


def find_unknown(
    client: httpx.Client, documents: Mapping[Name, FileDocument], changes: Sequence[dict[str, Any]]
) -> list[FileError]:
    """An error for each reference of the changes that would name nothing once they are made. Raises `ApiError`."""
    known = _Known(client, {name: document.body for name, document in documents.items()}, changes)
    errors = []
    for change in changes:
        document = documents.get((change["kind"], change["id"]))
        for reference in change["references"] if document else ():
            name = (reference["kind"], reference["id"])
            if document and not known.has(name):
                errors.append(document.error(reference["at"], known.sentence(name)))
    return errors


class _Known:
    """What will exist: the files and their changes first, then the running system, asked once per name."""

    def __init__(
        self,
        client: httpx.Client,
        bodies: Mapping[Name, dict[str, Any]],
        changes: Sequence[dict[str, Any]],
    ) -> None:
        self._client = client
        self._after: dict[Name, dict[str, Any] | None] = {**bodies}
        self._after |= {(change["kind"], change["id"]): change["after"] for change in changes}

    def has(self, name: Name) -> bool:
        kind, id = name
        if kind == "touchpoint":
            journey, _, touchpoint = id.partition("/")
            return touchpoint in _touchpoints(self._document(("journey", journey)))
        return name in BUILT_IN or self._document(name) is not None

    def sentence(self, name: Name) -> str:
        """What is wrong with the name, and which known one is near to it."""
        kind, id = name
        if kind == "touchpoint":
            journey, _, id = id.partition("/")
            return f"there is no touchpoint {id!r} in the journey {journey!r}" + _near(
                id, _touchpoints(self._document(("journey", journey)))
            )
        ids = [
            known
            for k, known in (*self._after, *BUILT_IN)
            if k == kind and self._after.get((k, known), {}) is not None
        ]
        return f"there is no {kind} {id!r}, neither in the files nor in the system" + _near(
            id, ids + self._stored(kind)
        )

    def _document(self, name: Name) -> dict[str, Any] | None:
        if name not in self._after:
            self._after[name] = self._ask(name)
        return self._after[name]

    def _ask(self, name: Name) -> dict[str, Any] | None:
        kind, id = name
        if kind not in KINDS:
            return None
        try:
            found: dict[str, Any] = request(self._client, "GET", f"/v1/{KINDS[kind].plural}/{id}")
        except ApiError as error:
            if error.status == 404:
                return None
            raise
        return found

    def _stored(self, kind: str) -> list[str]:
        if kind not in KINDS:
            return []
        page = request(self._client, "GET", f"/v1/{KINDS[kind].plural}", params={"limit": 500})
        return [item["id"] for item in page["items"]]


def _touchpoints(journey: dict[str, Any] | None) -> list[str]:
    listed = (journey or {}).get("touchpoints")
    if not isinstance(listed, list):
        return []  # a journey that is wrong is reported for that
    return [str(touchpoint.get("id")) for touchpoint in listed if isinstance(touchpoint, dict)]


def _near(id: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(id, known, n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""
