"""What a request must be before a route sees it: readable in one way only, and nothing that a database cannot hold."""

import re

import msgspec
from starlette.types import Scope

from shared.http.numbers import MOST, too_many_huge
from shared.http.problems import Problem

_ONCE = frozenset({b"authorization", b"content-encoding", b"content-type", b"host"})
_FORMS = frozenset({"application/x-www-form-urlencoded", "multipart/form-data"})
_PAGES = "/s/"
_NUL = re.compile(rb"\\u0000|\x00")
_check_json = msgspec.json.Decoder().decode


def check_address(scope: Scope) -> None:
    """Raise a 422 `Problem` for a NUL in the path or the query, which no text column can be compared with."""
    if "\x00" in scope["path"] or b"%00" in scope["query_string"]:
        raise Problem(422, "nul-character", "The address contains the NUL character (%00).")


def check_headers(scope: Scope) -> None:
    """Raise a 400 `Problem` for a header that may come once and came twice: each reader would believe another one."""
    found = [name for name, _ in scope["headers"] if name in _ONCE]
    if len(found) > len(set(found)):
        twice = next(name for name in found if found.count(name) > 1)
        raise Problem(400, "repeated-header", f"Send the header {twice.decode()} only once.")
    if b"host" not in found and scope["http_version"] == "1.1":
        raise Problem(400, "no-host", "A request of HTTP/1.1 names its Host.")


def check_body(scope: Scope, body: bytes) -> None:
    """Let only clean JSON through, and forms to pages: UTF-8, no NaN, no NUL, no lone surrogate, bounded depth."""
    if not body:
        return
    declared = dict(scope["headers"]).get(b"content-type", b"").decode("latin-1")
    media = declared.partition(";")[0].strip().lower()
    if media in _FORMS and scope["path"].startswith(_PAGES):
        return
    if media != "application/json" and not media.endswith("+json"):
        raise Problem(
            415,
            "content-type",
            f"The body must be application/json, not {media[:100] or 'undeclared'}.",
        )
    check_json(body)


def check_json(body: bytes) -> None:
    """Raise a 400 `Problem` for what is not JSON, a 422 one for the NUL character, which no text column can hold,
    and for what would take long to decode."""
    if too_many_huge(body):
        detail = f"The body has more than {MOST} numbers beyond 1e200 or below 1e-199."
        raise Problem(422, "huge-numbers", detail)
    try:
        _check_json(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Problem(400, "not-json", f"The body is not JSON: {error}") from None
    if _NUL.search(body):
        raise Problem(
            422,
            "nul-character",
            "The body contains the NUL character (\\u0000), which cannot be stored.",
        )
