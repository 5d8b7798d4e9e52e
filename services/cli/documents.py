"""Reads definitions from YAML files and remembers the line of everything, so that errors can name it."""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from services.cli.plain import plain
from services.cli.values import Lines, Reading, WrongNode
from shared.errors import AfterwordError

_MOST_BYTES = 5_000_000
_STDIN = "-"


@dataclass(frozen=True)
class FileError:
    """One thing that is wrong in a file; without a line where a service names no place in it."""

    file: str
    line: int | None
    message: str

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        return f"{place}: {plain(self.message, limit=500)}"


class FilesError(AfterwordError):
    """What is wrong in the files, all of it, a line each."""

    def __init__(self, errors: Sequence[FileError]) -> None:
        super().__init__("nothing was changed:\n" + "\n".join(str(error) for error in errors))
        self.errors = tuple(errors)


@dataclass(frozen=True)
class FileDocument:
    """One definition as a file says it."""

    file: str
    lines: Lines
    kind: str
    id: str
    body: dict[str, Any]

    def error(self, at: str, message: str) -> FileError:
        """An error at a place of this document."""
        return FileError(self.file, self.lines.of(at), f"{at}: {message}" if at else message)


def read_documents(paths: Sequence[Path], kinds: Sequence[str]) -> list[FileDocument]:
    """All documents of the files, of the directories' *.yaml and *.yml, and of stdin for `-`.

    Raises `FilesError` with everything that is wrong, also for a kind that is none of `kinds` and for the
    same kind and id twice.
    """
    documents: list[FileDocument] = []
    errors: list[FileError] = []
    first: dict[tuple[str, str], FileDocument] = {}
    for path in _files(paths, errors):
        for document in _read_file(path, kinds, errors):
            known = first.setdefault((document.kind, document.id), document)
            if known is not document:
                there = f"{known.file}:{known.lines.of('id')}"
                errors.append(
                    document.error(
                        "id", f"{document.kind} {document.id!r} is defined twice, also in {there}"
                    )
                )
            documents.append(document)
    if errors:
        raise FilesError(errors)
    return documents


def _files(paths: Sequence[Path], errors: list[FileError]) -> Iterator[Path]:
    seen: set[Path] = set()
    for path in paths:
        found = [path]
        if path.is_dir():
            found = sorted(
                p for p in path.rglob("*") if p.suffix in (".yaml", ".yml") and p.is_file()
            )
            if not found:
                errors.append(FileError(str(path), 1, "has no *.yaml or *.yml file in it"))
        for file in found:
            if file.resolve() not in seen:
                seen.add(file.resolve())
                yield file


def _read_file(path: Path, kinds: Sequence[str], errors: list[FileError]) -> list[FileDocument]:
    name = "stdin" if str(path) == _STDIN else str(path)
    documents: list[FileDocument] = []
    try:
        for node in _compose(_text(path)):
            if document := _document(name, node, kinds, errors):
                documents.append(document)  # noqa: PERF401 - what stands before a mistake is still checked
    except (WrongNode, OSError, yaml.YAMLError, ValueError, RecursionError) as error:
        errors.append(FileError(name, *_place(error)))
    return documents


def _place(error: Exception) -> tuple[int, str]:
    """The line of what could not be read, and what is wrong there."""
    match error:
        case WrongNode():
            return error.line, str(error)
        case OSError():
            return 1, f"cannot be read: {error.strerror}"
        case UnicodeDecodeError():
            return error.object[: error.start].count(b"\n") + 1, "is not UTF-8"
        case yaml.MarkedYAMLError():
            mark = error.problem_mark or error.context_mark
            return mark.line + 1 if mark else 1, f"is not YAML: {error.problem or error.context}"
        case RecursionError():
            return 1, "is nested too deeply"
    return 1, f"is not YAML: {error}"


def _text(path: Path) -> str:
    raw = sys.stdin.buffer.read(_MOST_BYTES + 1) if str(path) == _STDIN else path.read_bytes()
    if len(raw) > _MOST_BYTES:
        raise ValueError(f"it is larger than {_MOST_BYTES} bytes")
    return raw.decode("utf-8-sig")


class _Loader(yaml.SafeLoader):
    """PyYAML, but a question mark within {en: Would you come back?} is text, as YAML 1.2 has it."""

    _in_text = False

    def scan_plain(self) -> yaml.ScalarToken:
        self._in_text = True
        try:
            return super().scan_plain()
        finally:
            self._in_text = False

    def peek(self, index: int = 0) -> str:
        # The text itself is taken by other means; what is peeked at is only compared.
        found = super().peek(index)
        return "_" if found == "?" and self._in_text else found


def _compose(text: str) -> Iterator[yaml.Node]:
    loader = _Loader(text)
    try:
        while loader.check_node():
            if node := loader.get_node():
                yield node
    finally:
        loader.dispose()


def _document(
    file: str, node: yaml.Node, kinds: Sequence[str], errors: list[FileError]
) -> FileDocument | None:
    body, lines = Reading().value(node, 0)
    if body is None:
        return None
    if not isinstance(body, dict):
        raise WrongNode(node, "is not a definition: a mapping with kind and id is expected")
    kind, id = body.get("kind"), body.get("id")
    if kind not in kinds:
        said = f"kind: {kind!r} is not a kind" if "kind" in body else "kind is missing"
        errors.append(FileError(file, lines.of("kind"), f"{said} (expected {', '.join(kinds)})"))
        return None
    if not isinstance(id, str) or not id:
        said = "must be text; put it in quotes" if id is not None else "is missing"
        errors.append(FileError(file, lines.of("id"), f"id: {said}"))
        return None
    return FileDocument(file, lines, str(kind), id, body)
