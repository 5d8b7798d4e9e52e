"""What is read again when files change, and what happens when the new content is wrong."""

import os
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from shared import watched
from shared.errors import StartupError
from shared.watched import Watched


@pytest.fixture(autouse=True)
def look_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watched, "LOOK_SECONDS", 0.0)


def number(path: Path) -> int:
    try:
        return int(path.read_text())
    except (OSError, ValueError) as error:
        raise StartupError("no number") from error


def test_a_broken_edit_is_told_once_and_the_last_good_state_stays(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("1")
    found = Watched("number", [file], lambda: number(file))
    file.write_text("two")
    with capture_logs() as logs:
        assert [found.value for _ in range(3)] == [1, 1, 1]
        file.unlink()
        assert found.value == 1
        file.write_text("3")
        assert [found.value for _ in range(3)] == [3, 3, 3]
    assert [entry["event"] for entry in logs] == ["file_refused", "file_read"]


def test_a_link_that_points_elsewhere_is_a_change(tmp_path: Path) -> None:
    """So a mounted Secret changes; the files may be of one size and one moment."""
    for name in ("1", "2"):
        (tmp_path / name).write_text(name)
        os.utime(tmp_path / name, ns=(1, 1))
    link = tmp_path / "link"
    link.symlink_to("1")
    found = Watched("number", [link], lambda: number(link))
    other = tmp_path / "other"
    other.symlink_to("2")
    other.rename(link)
    assert found.value == 2


def test_what_is_wrong_at_first_is_raised(tmp_path: Path) -> None:
    with pytest.raises(StartupError):
        Watched("number", [tmp_path / "none"], lambda: number(tmp_path / "none"))
