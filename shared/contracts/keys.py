"""Record keys: the workspace first, because a consumer takes the workspace from the key alone."""

import re
from functools import lru_cache
from typing import NamedTuple

from shared.errors import Undecodable

WORKSPACE_PATTERN = r"^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$"
IDENTIFIER_PATTERN = r"^[A-Za-z0-9](?:[A-Za-z0-9._-]{0,126}[A-Za-z0-9])?$"
"""What an integrator may choose as the id of a definition; it stands in URLs and file names."""

_WORKSPACE = re.compile(WORKSPACE_PATTERN)


class Key(NamedTuple):
    """`workspace/entity`; the entity is a customer ID, or an own id where there is no customer."""

    workspace: str
    entity: str

    def encode(self) -> bytes:
        return f"{self.workspace}/{self.entity}".encode()


@lru_cache(maxsize=1_024)
def _is_workspace(text: str) -> bool:
    return _WORKSPACE.match(text) is not None


def decode_key(raw: bytes | None) -> Key:
    """Split a record's key at the first slash. Raises `Undecodable` for anything that we did not write."""
    if not raw:
        raise Undecodable("the record has no key, so its workspace is unknown")
    try:
        workspace, slash, entity = raw.decode().partition("/")
    except UnicodeDecodeError as error:
        raise Undecodable("the record's key is not UTF-8") from error
    if not slash or not entity or not _is_workspace(workspace):
        raise Undecodable("the record's key is not workspace/entity")
    return Key(workspace, entity)
