"""The binary mode of CloudEvents: attributes in headers and data in the body, made into a structured event."""

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from services.ingest.rules.events import is_json
from shared.http.problems import FieldError

STRUCTURED: Final = "application/cloudevents+json"
BATCH: Final = "application/cloudevents-batch+json"

_PERCENT = re.compile(rb"%[0-9A-Fa-f]{2}")
_check_json = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


def media_type(content_type: str) -> str:
    """The content type without its parameters."""
    return content_type.partition(";")[0].strip().lower()


def percent_decoded(value: bytes) -> str | None:
    """An attribute from an HTTP header, None when its bytes are not UTF-8 in the end."""
    if value[:1] == value[-1:] == b'"' and len(value) > 1:
        value = re.sub(rb"\\(.)", rb"\1", value[1:-1])
    try:
        return _PERCENT.sub(lambda found: bytes([int(found[0][1:], 16)]), value).decode()
    except UnicodeDecodeError:
        return None


def plain_text(value: bytes) -> str | None:
    """An attribute from a header in Kafka, which is UTF-8 as it is."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return None


def from_binary(
    attributes: Mapping[str, str | None], content_type: str | None, body: bytes
) -> bytes | list[FieldError]:
    """The structured event of these attributes and this data; it is checked afterwards like any other."""
    errors = [
        FieldError(f"ce-{name[:60]}", "is not UTF-8", "UTF-8, percent-encoded in HTTP")
        for name, value in attributes.items()
        if value is None
    ]
    errors += [
        FieldError(f"ce-{name}", "must not be a header", "Content-Type and the body")
        for name in ("datacontenttype", "data", "data_base64")
        if name in attributes
    ]
    document: dict[str, Any] = dict(attributes)
    if body:
        errors += _data_problems(content_type, body)
        document |= {"datacontenttype": content_type, "data": msgspec.Raw(body)}
    return errors or _encode(document)


def _data_problems(content_type: str | None, body: bytes) -> list[FieldError]:
    if content_type is None or not is_json(content_type):
        return [
            FieldError(
                "content-type",
                f"is {str(content_type)[:100]!r}",
                "application/json, as the data is JSON",
            )
        ]
    try:
        _check_json(body)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        return [FieldError("data", f"is not JSON: {error}", "a JSON object")]
    except RecursionError:
        return [FieldError("data", "is nested too deep", "a JSON object")]
    return []
