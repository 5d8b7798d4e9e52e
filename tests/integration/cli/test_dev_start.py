"""A start of `dev` that comes to nothing leaves the system that runs, its keys and its context, alone."""

import socket
from pathlib import Path

import pytest

from services.cli.client import open_client
from services.cli.context import Context, read_context
from services.cli.dev import WORKSPACE, _dev, prepare
from shared.errors import StartupError
from shared.log.embedded.lock import hold_directory


async def test_a_second_start_on_a_directory_leaves_the_keys_of_the_first_in_force(
    tmp_path: Path,
) -> None:
    prepare(tmp_path, {WORKSPACE: {}})
    before = (tmp_path / "access.yaml").read_text(encoding="utf-8")
    with (
        hold_directory(tmp_path),
        pytest.raises(StartupError, match="another process already uses"),
    ):
        prepare(tmp_path, {WORKSPACE: {}})
    assert (tmp_path / "access.yaml").read_text(encoding="utf-8") == before


async def test_a_start_on_a_port_in_use_does_not_write_the_context(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AFTERWORD_CONTEXT", str(tmp_path / "context.yaml"))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(StartupError, match="cannot listen"):
            await _dev(taken.getsockname()[1], tmp_path / "data", None)
    assert not (tmp_path / "context.yaml").exists()


def test_a_data_directory_that_cannot_be_is_refused(tmp_path: Path) -> None:
    (tmp_path / "taken").touch()
    with pytest.raises(StartupError, match="cannot be used"):
        prepare(tmp_path / "taken", {WORKSPACE: {}})


@pytest.mark.parametrize(
    ("url", "key"),
    [("garbage", "awk_a_b"), ("http://127.0.0.1:9", "awk_\u00e9_b"), ("http://h", "awk_a\nb")],
)
def test_a_context_that_can_never_work_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, url: str, key: str
) -> None:
    monkeypatch.setenv("AFTERWORD_CONTEXT", str(tmp_path / "context.yaml"))
    monkeypatch.setenv("AFTERWORD_URL", url)
    monkeypatch.setenv("AFTERWORD_API_KEY", key)
    with pytest.raises(StartupError, match="AFTERWORD_URL must be"):
        read_context()


def test_a_broken_context_file_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "context.yaml").write_text("a: [", encoding="utf-8")
    monkeypatch.setenv("AFTERWORD_CONTEXT", str(tmp_path / "context.yaml"))
    with pytest.raises(StartupError, match="cannot be read"):
        read_context()


@pytest.mark.parametrize("url", ["http://127.0.0.1:port", "http://[::1"])
def test_an_origin_with_a_bad_port_is_one_sentence(url: str) -> None:
    with pytest.raises(StartupError, match="is not a URL"):
        open_client(Context(url, "awk_a_b"))
