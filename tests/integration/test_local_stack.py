"""The servers that the other tests stand on: they come up, survive a kill, and keep databases apart."""

import os
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

import asyncpg
import pytest
from playwright.async_api import Browser

from deploy.local.kafka import KafkaBroker
from deploy.local.postgres import PostgresServer
from deploy.local.process import MissingPart, ServerProcess, StartFailed


def run(command: list[str], text: str | None = None) -> str:
    answer = subprocess.run(
        command, input=text, capture_output=True, text=True, check=False, timeout=60
    )
    assert answer.returncode == 0, answer.stderr
    return answer.stdout


def running(pid: int) -> bool:
    """Whether the process lives; one that ended but is not yet collected does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_killed_broker_comes_back_at_its_port_with_its_records(kafka_broker: KafkaBroker) -> None:
    topic, url = f"stack-{uuid.uuid4().hex[:8]}", kafka_broker.url
    run(kafka_broker.console_topics("--create", "--topic", topic, "--partitions", "1"))
    run(kafka_broker.console_producer(topic), "before the kill\n")
    kafka_broker.kill()
    kafka_broker.start()
    assert kafka_broker.url == url
    run(kafka_broker.console_producer(topic), "after it\n")
    all_of_it = ("--from-beginning", "--max-messages", "2", "--timeout-ms", "20000")
    assert run(kafka_broker.console_consumer(topic, *all_of_it)) == "before the kill\nafter it\n"


def test_a_topic_is_never_made_by_asking_for_it(kafka_broker: KafkaBroker) -> None:
    absent = f"stack-{uuid.uuid4().hex[:8]}"
    command = kafka_broker.console_producer(absent, "--max-block-ms", "500")
    subprocess.run(command, input="lost\n", capture_output=True, text=True, check=False, timeout=60)
    assert absent not in run(kafka_broker.console_topics("--list")).splitlines()


async def test_a_database_is_cloned_from_its_template(postgres_server: PostgresServer) -> None:
    template = postgres_server.create_database()
    connection = await asyncpg.connect(template)
    await connection.execute("CREATE TABLE kept (n int); INSERT INTO kept VALUES (41)")
    await connection.close()
    copies = [postgres_server.create_database(template) for _ in range(2)]
    first, second = [await asyncpg.connect(copy) for copy in copies]
    await first.execute("UPDATE kept SET n = 42")
    assert await first.fetchval("SELECT n FROM kept") == 42
    assert await second.fetchval("SELECT n FROM kept") == 41
    await second.close()
    postgres_server.drop_database(copies[0])  # the first one's connection is still open
    with pytest.raises(asyncpg.PostgresError):
        await first.fetchval("SELECT n FROM kept")
    await first.close()
    for url in (copies[1], template):
        postgres_server.drop_database(url)


async def test_a_killed_database_server_comes_back_with_what_was_committed(
    postgres_server: PostgresServer, postgres_url: str
) -> None:
    connection = await asyncpg.connect(postgres_url)
    await connection.execute("CREATE TABLE kept (n int); INSERT INTO kept VALUES (1)")
    postgres_server.kill()
    try:
        with pytest.raises(ConnectionRefusedError):
            await asyncpg.connect(postgres_url, timeout=5)
        connection.terminate()
    finally:
        postgres_server.start()
    connection = await asyncpg.connect(postgres_url)
    assert await connection.fetchval("SELECT n FROM kept") == 1
    await connection.close()


async def test_the_database_server_does_not_run_as_root(postgres_url: str) -> None:
    connection = await asyncpg.connect(postgres_url)
    backend = await connection.fetchval("SELECT pg_backend_pid()")
    assert Path(f"/proc/{backend}").stat().st_uid != 0
    await connection.close()


def test_a_server_that_does_not_come_up_says_its_last_words(tmp_path: Path) -> None:
    server = ServerProcess(["/bin/sh", "-c", "echo no port left; exit 3"], output=tmp_path / "log")
    with pytest.raises(StartFailed, match=r"ended \(3\)(?s:.*)no port left"):
        server.wait_until(lambda: False)


def test_a_server_does_not_outlive_a_killed_starter(tmp_path: Path) -> None:
    starter = (
        "import sys, time; from pathlib import Path\n"
        "from deploy.local.process import ServerProcess\n"
        "print(ServerProcess(['sleep', '300'], output=Path(sys.argv[1])).pid, flush=True)\n"
        "time.sleep(300)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", starter, str(tmp_path / "log")], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        server = int(process.stdout.readline())
        assert running(server)
        process.kill()
    deadline = time.monotonic() + 10
    while running(server) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not running(server)


async def test_the_browser_has_letters_for_chinese(browser: Browser) -> None:
    page = await (await browser.new_context(locale="zh-CN")).new_page()
    await page.set_content("<span>\u8bc4</span><br><span>\u4ef7</span><br><span>\ue999</span>")
    drawn = [await letter.screenshot() for letter in await page.locator("span").all()]
    assert await page.evaluate("navigator.language") == "zh-CN"
    assert len(set(drawn)) == 3, "without a font every letter is the same box"


def test_an_old_java_is_named_with_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = tmp_path / "java"
    old.write_text("#!/bin/sh\necho 'openjdk version \"11.0.2\"' >&2\n")
    old.chmod(0o755)
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}/bin/none")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingPart, match=r"version 11\)?: install default-jre-headless"):
        KafkaBroker()


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_server_in_the_foreground_ends_with_its_data_when_told(how: signal.Signals) -> None:
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o755)  # the server's own account must pass through
        with subprocess.Popen(
            [sys.executable, "-m", "deploy.local.postgres"],
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"TMPDIR": place},
        ) as process:
            assert process.stdout is not None
            said = [process.stdout.readline() for _ in range(2)]
            assert said[1].startswith("postgresql://postgres@127.0.0.1:"), said
            process.send_signal(how)
            assert process.wait(30) == 0
        assert list(Path(place).iterdir()) == []
