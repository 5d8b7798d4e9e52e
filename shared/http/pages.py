"""Pages of results by an opaque cursor: where the last page ended, never a count of rows to skip."""

import base64
import binascii
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Generic, TypeVar

import msgspec
from fastapi import Query
from pydantic import BaseModel

from shared.http.problems import FieldError, invalid

T = TypeVar("T")

Limit = Annotated[int, Query(ge=1, le=500, description="How many at the most")]
Cursor = Annotated[str | None, Query(max_length=1_000, description="`next` of the page before")]


class Page(BaseModel, Generic[T]):
    """One page; `next` is absent on the last."""

    items: list[T]
    next: str | None = None


def encode_cursor(*position: Any) -> str:
    """The cursor after a row, made of the values that the rows are ordered by."""
    return base64.urlsafe_b64encode(msgspec.json.encode(position)).decode().rstrip("=")


def following(found: Sequence[Any], limit: int, *order: str) -> str | None:
    """The cursor after a page, None on the last one: there was asked for one more than the limit, ordered by these
    attributes."""
    if len(found) <= limit:
        return None
    last = found[limit - 1]
    return encode_cursor(*(getattr(last, name) for name in order))


def decode_cursor(cursor: str | None, *types: type) -> tuple[Any, ...] | None:
    """The position in a cursor, None without one. Raises a 422 `Problem` for a cursor that is not ours."""
    if cursor is None:
        return None
    try:
        raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        position: tuple[Any, ...] = msgspec.json.decode(raw, type=tuple[types])  # type: ignore[valid-type]  # built from the arguments
        if not all(map(_comparable, position)):
            raise ValueError("no row can stand there")  # noqa: TRY301 - answered below like the others
    except (binascii.Error, ValueError, OverflowError, msgspec.MsgspecError):
        expected = "the `next` of an earlier page of the same list"
        raise invalid([FieldError("cursor", "is not a cursor of this list", expected)]) from None
    return position


def _comparable(part: Any) -> bool:
    """Whether a column can be compared with it. Raises `OverflowError` for times beyond the calendar in UTC."""
    if isinstance(part, datetime):
        part.astimezone(UTC)
        return True
    if isinstance(part, int):
        return 0 <= part < 2**31
    return "\x00" not in part if isinstance(part, str) else True
