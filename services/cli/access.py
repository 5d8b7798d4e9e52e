"""`access`: mint API keys and token keys, and check the file that says who may do what; touches no running system."""

import base64
import re
import secrets
from pathlib import Path
from typing import Annotated

import typer
import yaml
from rich.console import Console

from shared.auth import Access, Scope, mint_key
from shared.errors import StartupError

access = typer.Typer(
    help="Mint keys, and check the access file. Nothing is written.", no_args_is_help=True
)
_console = Console()
_ID = re.compile(r"[A-Za-z0-9-]{1,64}")
_RING_NAME = re.compile(r"[A-Za-z0-9_.-]{1,32}")
_EVERYTHING = "*"


@access.command("key")
def key(
    id: Annotated[str, typer.Argument(help="The key's name: it stands in every change it makes.")],
    workspace: Annotated[str, typer.Option(help="Whose data the key is for.")],
    scope: Annotated[
        list[str] | None,
        typer.Option(
            help="What the key may do, repeatable, e.g. events:write; everything without it."
        ),
    ] = None,
) -> None:
    """Mint an API key: shown this once; the access file gets only its hash."""
    if not _ID.fullmatch(id):
        raise StartupError(f"{id!r} is no key id: 1 to 64 letters, digits and '-'")
    known = [each.value for each in Scope]
    scopes = scope or [_EVERYTHING]
    for each in scopes:
        if each not in (*known, _EVERYTHING):
            raise StartupError(f"there is no scope {each!r}; there are {', '.join(known)}")
    minted, hashed = mint_key(id)
    entry = {"id": id, "workspace": workspace, "hash": hashed, "scopes": scopes}
    _say(f"The key, which nobody can show again:\n\n    {minted}\n\nIts entry under `keys:`:\n")
    _say(yaml.safe_dump([entry], sort_keys=False))


@access.command("token-key")
def token_key(
    name: Annotated[str, typer.Argument(help="Its name in the ring, e.g. 2026-11.")],
) -> None:
    """Make a key for survey links. First in the key ring it signs; the others still open their links."""
    if not _RING_NAME.fullmatch(name):
        raise StartupError(f"{name!r} is no name: 1 to 32 letters, digits, '.', '_' and '-'")
    _say(f"{name}:{base64.b64encode(secrets.token_bytes(32)).decode()}")


@access.command("check")
def check(
    file: Annotated[Path, typer.Argument(help="The access file.", dir_okay=False)],
) -> None:
    """Read the file as every service would; exit 1 with what is wrong."""
    found = Access.load(file)
    workspaces, keys = len(found.workspaces), found.key_count
    _say(f"{file} is right; {_counted(workspaces, 'workspace')} and {_counted(keys, 'key')}")


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _say(text: str) -> None:
    _console.print(text, highlight=False, markup=False, soft_wrap=True)
