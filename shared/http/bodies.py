"""The shape of what clients send, and what pydantic says about it as field errors."""

from typing import Any

from pydantic import BaseModel, ConfigDict

from shared.http.problems import FieldError


class Body(BaseModel):
    """What a client sends: unknown fields are refused, so that a typing error is not silently ignored."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, str_max_length=10_000
    )


def field_error(item: Any) -> FieldError:
    """A pydantic error as a field error, with its place as a path."""
    at = ""
    for part in item["loc"]:
        at += f"[{part}]" if isinstance(part, int) else f"{'.' if at else ''}{part}"
    expected = ", ".join(
        f"{name}: {value}" for name, value in (item.get("ctx") or {}).items() if name != "error"
    )
    return FieldError(at.removeprefix("body.") or "body", item["msg"], expected or None)
