"""The README's first three minutes, command by command as they stand there, on ports that are free here."""

import inspect
import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from deploy.local.ports import free_port
from services.cli.dev import dev
from services.cli.listen import listen
from tests.support import eventually

ROOT = Path(__file__).parents[2]
SECTION = "## Ask your first question in three minutes"

pytestmark = pytest.mark.timeout(180)


@dataclass(frozen=True)
class Checkout:
    """A directory that looks like the checkout, but whose data and ports are this test's own."""

    directory: Path
    ports: dict[str, str]

    def moved(self, text: str) -> str:
        """The text with this test's ports in the addresses."""
        return re.sub(r"(?<=127\.0\.0\.1:)\d+", lambda found: self.ports[found[0]], text)

    def commands(self) -> list[str]:
        """The shell blocks of the section, in order."""
        text = (ROOT / "README.md").read_text(encoding="utf-8").split(SECTION)[1].split("\n## ")[0]
        blocks = re.findall(r"```bash\n(.*?)```", text, flags=re.DOTALL)
        return [self.moved(block).rstrip() for block in blocks]


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    made = Checkout(tmp_path, {"8000": str(free_port()), "9000": str(free_port())})
    for entry in ROOT.iterdir():
        if entry.name == "examples":
            shutil.copytree(entry, tmp_path / entry.name)
        elif entry.name not in (".afterword", "build"):
            (tmp_path / entry.name).symlink_to(entry)
    for example in (tmp_path / "examples" / "quickstart").iterdir():
        example.write_text(made.moved(example.read_text(encoding="utf-8")), encoding="utf-8")
    return made


def test_the_ports_are_those_that_the_commands_choose_by_themselves() -> None:
    chosen = [inspect.signature(command).parameters["port"].default for command in (dev, listen)]
    assert chosen == [8000, 9000]


@contextmanager
def terminal(script: str, directory: Path, output: Path) -> Iterator[None]:
    """Run a block until the end of the test, as in a terminal of its own that is ended with Ctrl-C."""
    with output.open("wb") as out:
        child = subprocess.Popen(
            ["bash", "-euc", script],
            cwd=directory,
            env=environment(directory),
            stdout=out,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
    try:
        yield
        assert child.poll() is None, output.read_text()
    finally:
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGTERM)
        child.wait(30)


def environment(directory: Path) -> dict[str, str]:
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AFTERWORD_", "MAKE", "MFLAGS"))
    }
    return kept | {
        "AFTERWORD_CONTEXT": str(directory / "context.yaml"),
        "PYTHONUNBUFFERED": "1",
        "COLUMNS": "200",
    }


def shell(script: str, directory: Path) -> str:
    done = subprocess.run(
        ["bash", "-euc", script],
        cwd=directory,
        env=environment(directory),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        timeout=60,
        check=False,
    )
    text = done.stdout.decode()
    assert done.returncode == 0, text
    return text


async def test_the_first_three_minutes(
    checkout: Checkout, tmp_path_factory: pytest.TempPathFactory
) -> None:
    start, receive, apply, first, score, second, why = checkout.commands()
    here, ports = checkout.directory, checkout.ports
    outputs = tmp_path_factory.mktemp("terminals")
    one, two = outputs / "one", outputs / "two"

    async def said(output: Path, pattern: str) -> str:
        async def look() -> str | None:
            found = re.search(pattern, output.read_text())
            return found[0] if found else None

        try:
            return await eventually(look, seconds=60, what=pattern)
        except AssertionError:
            pytest.fail(f"{pattern} was never said:\n{output.read_text()}")

    with terminal(f"{start} --port {ports['8000']}", here, one):
        await said(one, "Afterword is up")
        with terminal(f"{receive} --port {ports['9000']}", here, two):
            await said(two, f":{ports['9000']}")
            shell(apply, here)
            assert json.loads(shell(first, here))["accepted"] == 1
            link = (await said(one, r"customer-7: \S+")).split()[-1]
            async with httpx.AsyncClient(trust_env=False) as visitor:
                assert (await visitor.get(link)).status_code == 200
                answered = await visitor.post(
                    link, data={"recommend": "3", "comment": "The queue was long."}
                )
                assert answered.status_code == 303
            await said(two, r"alert\.raised.*customer-7")

            async def counted() -> bool:
                items = json.loads(shell(score, here))["items"]
                return bool(items) and items[0]["n"] == 1 and items[0]["small_n"]

            await eventually(counted, what="the score")
            assert json.loads(shell(second, here))["accepted"] == 1
            (decision,) = json.loads(shell(why, here))["items"]
            assert (decision["outcome"], decision["reason"]) == ("suppressed", "contact_policy")
            assert len(re.findall("customer-7: ", one.read_text())) == 1
