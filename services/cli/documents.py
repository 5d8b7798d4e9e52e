"""Reads definitions from YAML files and remembers the line of everything, so that errors can name it."""

import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from services.cli.plain import plain
from shared.errors import AfterwordError

_MOST_BYTES = 5_000_000
_MOST_NODES = 200_000
_DEEPEST = 50
_STDIN = "-"
_NULL = re.compile(r"~|null|")
_BOOLEAN = re.compile(r"true|false")
_INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,18})")
_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?")
_STEP = re.compile(r"[^.\[\]]+")


@dataclass(frozen=True)
class FileError:
    """One thing that is wrong in a file."""

    file: str
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {plain(self.message, limit=500)}"


class FilesError(AfterwordError):
    """What is wrong in the files, all of it, a line each."""

    def __init__(self, errors: Sequence[FileError]) -> None:
        super().__init__("nothing was changed:\n" + "\n".join(str(error) for error in errors))
        self.errors = tuple(errors)


@dataclass
class Lines:
    """Where a value stands, and where each value inside it does."""

    line: int
    inside: dict[str, "Lines"] = field(default_factory=dict)

    def of(self, at: str) -> int:
        """The line of a place such as `questions[0].text`, or of what is nearest to it; steps it lacks are skipped."""
        here = self
        for step in _STEP.findall(at):
            here = here.inside.get(step, here)
        return here.line


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


class _Wrong(Exception):
    def __init__(self, node: yaml.Node, message: str) -> None:
        super().__init__(message)
        self.line = node.start_mark.line + 1


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
    except _Wrong as wrong:
        errors.append(FileError(name, wrong.line, str(wrong)))
    except OSError as error:
        errors.append(FileError(name, 1, f"cannot be read: {error.strerror}"))
    except UnicodeDecodeError as error:
        errors.append(FileError(name, error.object[: error.start].count(b"\n") + 1, "is not UTF-8"))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        errors.append(
            FileError(
                name, mark.line + 1 if mark else 1, f"is not YAML: {error.problem or error.context}"
            )
        )
    except (yaml.YAMLError, ValueError) as error:
        errors.append(FileError(name, 1, f"is not YAML: {error}"))
    except RecursionError:
        errors.append(FileError(name, 1, "is nested too deeply"))
    return documents


def _text(path: Path) -> str:
    raw = sys.stdin.buffer.read(_MOST_BYTES + 1) if str(path) == _STDIN else path.read_bytes()
    if len(raw) > _MOST_BYTES:
        raise ValueError(f"it is larger than {_MOST_BYTES} bytes")
    return raw.decode("utf-8-sig")


def _compose(text: str) -> Iterator[yaml.Node]:
    loader = yaml.SafeLoader(text)
    try:
        while loader.check_node():
            if node := loader.get_node():
                yield node
    finally:
        loader.dispose()


def _document(
    file: str, node: yaml.Node, kinds: Sequence[str], errors: list[FileError]
) -> FileDocument | None:
    body, lines = _Reading().value(node, 0)
    if body is None:
        return None
    if not isinstance(body, dict):
        raise _Wrong(node, "is not a definition: a mapping with kind and id is expected")
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


class _Reading:
    """Turns nodes into plain JSON values as YAML 1.2 means them, so that `on`, `no` and dates stay text."""

    def __init__(self) -> None:
        self._nodes = 0

    def value(self, node: yaml.Node, depth: int) -> tuple[Any, Lines]:
        """The value and its lines. Raises `_Wrong` where an alias refers to itself or multiplies without end."""
        self._nodes += 1
        if self._nodes > _MOST_NODES:
            raise _Wrong(
                node, f"the document has more than {_MOST_NODES} values; aliases count each time"
            )
        if depth > _DEEPEST:
            raise _Wrong(node, f"is nested more than {_DEEPEST} levels deep")
        lines = Lines(node.start_mark.line + 1)
        if isinstance(node, yaml.ScalarNode):
            return _scalar(node), lines
        if isinstance(node, yaml.SequenceNode):
            items = []
            for index, child in enumerate(node.value):
                item, lines.inside[str(index)] = self.value(child, depth + 1)
                items.append(item)
            return items, lines
        return self._mapping(node, lines, depth), lines

    def _mapping(self, node: yaml.Node, lines: Lines, depth: int) -> dict[str, Any]:
        mapping: dict[str, Any] = {}
        for key_node, child in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise _Wrong(key_node, "a key must be text")
            key = key_node.value
            if key in mapping:
                raise _Wrong(
                    key_node, f"{key} stands twice, first on line {lines.inside[key].line}"
                )
            mapping[key], found = self.value(child, depth + 1)
            lines.inside[key] = Lines(key_node.start_mark.line + 1, found.inside)
        return mapping


def _scalar(node: yaml.ScalarNode) -> Any:
    text: str = node.value
    if node.tag.startswith("!") or node.tag == "tag:yaml.org,2002:binary":
        raise _Wrong(node, f"the tag {node.tag} is not supported")
    if node.style in ("'", '"', "|", ">"):
        return text
    if _NULL.fullmatch(text):
        return None
    if _BOOLEAN.fullmatch(text):
        return text == "true"
    if _INTEGER.fullmatch(text):
        return int(text)
    if _NUMBER.fullmatch(text) and abs(float(text)) != float("inf"):
        return float(text)
    return text
