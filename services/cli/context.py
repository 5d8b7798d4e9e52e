"""The context file: which system the commands talk to and with which key, as a kubeconfig says it."""

import os
from dataclasses import dataclass
from pathlib import Path

import yaml

from shared.errors import StartupError


@dataclass(frozen=True)
class Context:
    """A system's origin and an API key of one of its workspaces."""

    url: str
    api_key: str


def context_path() -> Path:
    """AFTERWORD_CONTEXT, or the user's configuration directory."""
    if named := os.environ.get("AFTERWORD_CONTEXT"):
        return Path(named)
    base = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(base) / "afterword" / "context.yaml"


def write_context(context: Context) -> Path:
    """Store it, readable by this user alone."""
    path = context_path()
    path.parent.mkdir(parents=True, exist_ok=True)
    text = yaml.safe_dump({"url": context.url, "api_key": context.api_key})
    with os.fdopen(
        os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8"
    ) as file:
        file.write(text)
    return path


def read_context() -> Context:
    """AFTERWORD_URL and AFTERWORD_API_KEY, then the file. Raises `StartupError` saying what to do."""
    stored: dict[str, str] = {}
    path = context_path()
    if path.exists():
        loaded = _loaded(path)
        stored = loaded if isinstance(loaded, dict) else {}
    url = os.environ.get("AFTERWORD_URL") or stored.get("url")
    key = os.environ.get("AFTERWORD_API_KEY") or stored.get("api_key")
    if not url or not key:
        raise StartupError(
            "no system to talk to: start one with `afterword dev`, or set AFTERWORD_URL and AFTERWORD_API_KEY"
        )
    if not url.startswith(("http://", "https://")) or not key.isascii() or not key.isprintable():
        raise StartupError(
            "AFTERWORD_URL must be the origin of a system, such as http://127.0.0.1:8000,"
            " and AFTERWORD_API_KEY a key of it, such as `afterword dev` prints"
        )
    return Context(url.rstrip("/"), key)


def _loaded(path: Path) -> object:
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError, ValueError) as error:
        raise StartupError(
            f"the context file {path} cannot be read: remove it, `afterword dev` writes a new one"
        ) from error
