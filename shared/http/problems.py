"""Errors as RFC 9457 problems that name the field, what is wrong with it, and what would be right."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from starlette.responses import Response

from shared.errors import AfterwordError

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_SECONDS = 2

_TITLES = {
    400: "Bad request",
    401: "Unauthenticated",
    403: "Forbidden",
    404: "Not found",
    405: "Method not allowed",
    406: "Not acceptable",
    408: "Request timeout",
    409: "Conflict",
    410: "Gone",
    413: "Too large",
    415: "Unsupported media type",
    422: "Invalid",
    429: "Too many requests",
    431: "Headers too large",
    500: "Internal error",
    503: "Unavailable",
}


@dataclass(frozen=True)
class FieldError:
    """One thing that is wrong: where (`questions[0].text`), what, and what would be right."""

    at: str
    message: str
    expected: str | None = None


class Problem(AfterwordError):
    """An error with an HTTP status; `kind` is its stable name for programs."""

    def __init__(
        self,
        status: int,
        kind: str,
        detail: str,
        errors: Sequence[FieldError] = (),
        *,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.kind = kind
        self.detail = detail
        self.errors = tuple(errors)
        self.retry_after = retry_after

    def body(self, request_id: str | None) -> dict[str, Any]:
        """The problem document; `type` is relative, to be resolved against the API's documentation."""
        document: dict[str, Any] = {
            "type": f"/problems/{self.kind}",
            "title": _TITLES.get(self.status, "Error"),
            "status": self.status,
            "detail": self.detail,
        }
        if request_id:
            document["instance"] = f"/requests/{request_id}"
        if self.errors:
            document["errors"] = [
                {"at": e.at, "message": e.message}
                | ({"expected": e.expected} if e.expected else {})
                for e in self.errors
            ]
        return document

    def headers(self) -> dict[str, str]:
        headers = {} if self.retry_after is None else {"retry-after": str(self.retry_after)}
        return headers | ({"www-authenticate": "Bearer"} if self.status == 401 else {})

    def response(self, request_id: str | None) -> Response:
        return Response(
            msgspec.json.encode(self.body(request_id)),
            self.status,
            media_type=MEDIA_TYPE,
            headers=self.headers(),
        )


def invalid(errors: Sequence[FieldError]) -> Problem:
    """422 with every field that is wrong."""
    first = errors[0]
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return Problem(422, "invalid", f"{first.at}: {first.message}{more}", errors)


def not_found(what: str, id: str) -> Problem:
    """404, the same for what does not exist and for what belongs to another workspace."""
    return Problem(404, "not-found", f"There is no {what} {id!r} in this workspace.")


def unavailable(reason: str) -> Problem:
    """503: nothing is known to have been written; the same request may be sent again."""
    return Problem(503, "unavailable", reason, retry_after=RETRY_AFTER_SECONDS)
