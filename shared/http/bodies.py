"""The shape of what clients send, and what pydantic says about it as field errors."""

from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator

from shared.http.problems import FieldError

_MAX_FIELDS = 1_000
_RIGHT = {"missing": "a value", "extra_forbidden": "its right name, or left out"}
"""What would be right where pydantic says only what is wrong, by its kind of error."""
_NOT_LIMITS = frozenset({"error", "field_type", "actual_length", "class", "discriminator", "tag"})


class Body(BaseModel):
    """What a client sends: unknown fields are refused, so that a typing error is not silently ignored."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, str_max_length=10_000
    )

    @model_validator(mode="before")
    @classmethod
    def _bounded(cls, raw: Any) -> Any:
        """Each unknown field would be an error of its own, and 80,000 errors take most of a second to list."""
        if isinstance(raw, dict) and len(raw) > _MAX_FIELDS:
            raise ValueError(f"has {len(raw):,} fields")
        return raw


def field_error(item: Any) -> FieldError:
    """A pydantic error as a field error, with its place as a path."""
    at = ""
    for part in item["loc"]:
        at += f"[{part}]" if isinstance(part, int) else f"{'.' if at else ''}{part}"
    return FieldError(at.removeprefix("body.") or "body", item["msg"], _expected(item))


def _expected(item: Any) -> str | None:
    """What would be right, in pydantic's own words where it has them, else the limits that it checked."""
    context = item.get("ctx") or {}
    if words := context.get("expected") or context.get("expected_tags"):
        return str(words)
    limits = {name: value for name, value in context.items() if name not in _NOT_LIMITS}
    said = ", ".join(f"{name}: {value}" for name, value in limits.items())
    return said or _RIGHT.get(item["type"]) or _wished(item["msg"])


def _wished(message: str) -> str | None:
    """Of `Input should be a valid integer, unable to parse string as an integer`, what it should be."""
    _, found, rest = message.partition("Input should be ")
    return rest.partition(", ")[0] if found else None
