"""The messages as msgspec structs, made of their models: a quarter of the price to read or write, for who has many."""

import types
from collections.abc import Callable
from datetime import datetime
from functools import cache, reduce
from operator import or_
from typing import Annotated, Any, Union, get_args, get_origin

import msgspec
from pydantic import AwareDatetime, BaseModel

_Aware = Annotated[datetime, msgspec.Meta(tz=True)]


@cache
def lean(model: type[BaseModel]) -> type[Any]:
    """A frozen struct with the fields, types and defaults of the model, and those of its parts; nothing else of it.

    It is read as the model is: unknown fields are ignored, a missing one is an error. Numbers are not read from
    strings. It is written as the model is without what is None. Nothing is checked when it is made by hand.
    """
    fields = [_field(name, field) for name, field in model.model_fields.items()]
    return msgspec.defstruct(
        model.__name__, fields, frozen=True, kw_only=True, gc=False, omit_defaults=True
    )


@cache
def lean_decoder(model: type[BaseModel]) -> Callable[[msgspec.Raw], Any]:
    """Reads JSON into the model's struct. Raises `msgspec.ValidationError`, which names the field."""
    return msgspec.json.Decoder(lean(model)).decode


def _field(name: str, field: Any) -> tuple[str, Any] | tuple[str, Any, Any]:
    kind = _lean_type(field.annotation)
    if field.is_required():
        return (name, kind)
    default = field.get_default()
    if default is None:
        return (name, kind, None)
    # The struct omits a default that it can see, and of a message only None may be omitted.
    return (name, kind, msgspec.field(default_factory=field.get_default))


def _lean_type(annotation: Any) -> Any:
    if annotation is AwareDatetime:
        return _Aware
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return lean(annotation)
    origin = get_origin(annotation)
    if origin in (Union, types.UnionType):
        return reduce(or_, map(_lean_type, get_args(annotation)))
    if origin in (dict, tuple, list):
        return origin[tuple(_lean_type(part) for part in get_args(annotation))]
    return annotation
