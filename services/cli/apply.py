"""`apply`: makes the system's definitions as YAML files say, after all of them were found to be right."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer
from rich.console import Console

from services.cli.client import ApiError, open_client, request
from services.cli.context import read_context
from services.cli.diff import show_diff
from services.cli.documents import FileDocument, FileError, FilesError, read_documents
from services.cli.kinds import KINDS, OWNERS
from services.cli.references import find_unknown
from shared.errors import AfterwordError

_OURS = re.compile(r"documents\[(\d+)\]\.?(.*)", re.DOTALL)


class Incomplete(AfterwordError):
    """Some services took their definitions and one did not."""


@dataclass(frozen=True)
class Plan:
    """What each service is asked to make true; a service without documents is not asked."""

    documents: dict[str, list[FileDocument]]
    prune: bool

    @property
    def all(self) -> list[FileDocument]:
        return [document for documents in self.documents.values() for document in documents]

    def body(self, service: str) -> dict[str, Any]:
        return {
            "documents": [document.body for document in self.documents[service]],
            "prune": self.prune,
        }


def apply(
    paths: Annotated[
        list[Path] | None, typer.Argument(help="More files, as a shell expands *.yaml.")
    ] = None,
    file: Annotated[
        list[Path] | None, typer.Option("--file", "-f", help="File, directory, or - for stdin.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would change.")] = False,
    prune: Annotated[
        bool,
        typer.Option(
            "--prune", help="Delete what the files leave out, for each service that they concern."
        ),
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Do not ask before something is deleted.")
    ] = False,
) -> None:
    """Make the definitions of this workspace as the files say: all of them right, or nothing changes."""
    wanted = [*(file or []), *(paths or [])]
    if not wanted:
        raise typer.BadParameter("name a file or a directory: afterword apply -f PATH")
    plan = plan_of(read_documents(wanted, tuple(KINDS)), prune=prune)
    console = Console(highlight=False, markup=False)
    with open_client(read_context()) as client:
        changes = check(client, plan)
        show_diff(console, changes)
        if dry_run or all(change["action"] == "unchanged" for change in changes):
            return
        deleted = sum(change["action"] == "delete" for change in changes)
        if deleted and not yes:
            typer.confirm(f"Delete {deleted} definitions?", abort=True)
        carry_out(client, plan)
        console.print("applied")
        _hint_at_secrets(console, client, changes)


def plan_of(documents: Sequence[FileDocument], *, prune: bool = False) -> Plan:
    """The documents by the service that owns them, in the order in which services are asked."""
    by_service = {
        owner: [d for d in documents if KINDS[d.kind].service == owner] for owner in OWNERS
    }
    return Plan({service: found for service, found in by_service.items() if found}, prune)


def check(client: httpx.Client, plan: Plan) -> list[dict[str, Any]]:
    """What would change, asked of every service and changing nothing.

    Raises `FilesError` with everything that any service finds wrong and every reference to something unknown.
    """
    changes: list[dict[str, Any]] = []
    errors: list[FileError] = []
    for service, documents in plan.documents.items():
        try:
            changes += request(
                client,
                "POST",
                f"/v1/apply/{service}",
                params={"dry-run": "true"},
                json=plan.body(service),
            )["changes"]
        except ApiError as error:
            if error.status != 422:
                raise
            errors += _placed(error, service, documents)
    errors += find_unknown(client, {(d.kind, d.id): d for d in plan.all}, changes)
    if errors:
        raise FilesError(errors)
    return changes


def carry_out(client: httpx.Client, plan: Plan) -> None:
    """Apply for good, service by service. Raises `Incomplete` when one refuses after others took theirs."""
    done: list[str] = []
    for service in plan.documents:
        try:
            request(client, "POST", f"/v1/apply/{service}", json=plan.body(service))
        except ApiError as error:
            said = f"{', '.join(done)} took the definitions" if done else "nothing was changed"
            raise Incomplete(
                f"{service} did not take its definitions ({said}; applying again is safe): {error}"
            ) from error
        done.append(service)


def _placed(error: ApiError, service: str, documents: Sequence[FileDocument]) -> list[FileError]:
    """A service's field errors with the file and line of each."""
    placed = []
    for item in error.problem.get("errors", []):
        expected = f" (expected {item['expected']})" if item.get("expected") else ""
        message = item["message"] + expected
        match = _OURS.fullmatch(item["at"])
        if match and int(match[1]) < len(documents):
            placed.append(documents[int(match[1])].error(match[2], message))
        else:
            placed.append(FileError(service, None, f"{item['at']}: {message}"))
    if not placed:
        raise error
    return placed


def _hint_at_secrets(
    console: Console, client: httpx.Client, changes: Sequence[dict[str, Any]]
) -> None:
    created = [c for c in changes if c["action"] == "create" and KINDS[c["kind"]].secret]
    for change in created:
        path = f"/v1/{KINDS[change['kind']].plural}/{change['id']}/secret"
        console.print(
            f"{change['kind']} {change['id']} signs with a secret of its own; read it with GET {client.base_url}{path}",
            soft_wrap=True,
        )
