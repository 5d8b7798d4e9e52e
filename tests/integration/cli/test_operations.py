"""`dlq`, `doctor` and `scoring rebuild` on a system whose log holds records that nobody can handle."""

import asyncio
import time
from collections.abc import Iterator

import pytest

from services.cli.compose import create_topics, settings_of
from services.cli.dev import WORKSPACE, prepare
from shared.dead_letters import dead_letter
from shared.log import Outgoing, Record
from shared.log.opening import open_log
from tests.integration.cli.conftest import System, running_system
from tests.support import TOKEN_KEYS

LATER = b"""{"specversion": "1.0", "id": "1", "source": "/s", "type": "of.a.later.version", "subject": "c-1",
 "time": "2024-01-01T00:00:00Z", "schemaversion": "1.0", "data": {}}"""


async def write_poison(url: str, access_file: str) -> None:
    """What cannot be decoded, of this workspace and of another, and a dead letter that can be handled by now."""
    settings = settings_of(
        "ingest", log_url=url, database_url=url, access_file=access_file, token_keys=TOKEN_KEYS
    )
    await create_topics(settings)
    healed = Record("responses", 0, 7, f"{WORKSPACE}/c-1".encode(), LATER, (), 1_700_000_000_000)
    async with open_log(url) as log, log.producer() as producer:
        await producer.send(
            [
                Outgoing("responses", f"{WORKSPACE}/c-1".encode(), b"\x1b[2J not JSON"),
                Outgoing("responses", b"other/c-1", b"not JSON either"),
                dead_letter(healed, "scoring", "the handler of that day"),
            ]
        )


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    directory = tmp_path_factory.mktemp("poisoned")
    data = directory / "data"
    prepare(data, {WORKSPACE: {}})
    asyncio.run(write_poison(f"sqlite:///{data}", str(data / "access.yaml")))
    with running_system(directory) as system:
        yield system


def dead(system: System) -> list[str]:
    """The ids that `dlq list` shows once every reader gave the record up."""
    deadline = time.monotonic() + 30
    while True:
        listed = system.afterword("dlq", "list")
        assert listed.code == 0, listed.err
        ids = [line.split()[1] for line in listed.out.splitlines()[1:]]
        if len(ids) == 4:
            return ids
        assert time.monotonic() < deadline, listed.out


def test_dead_letters_are_listed_shown_and_replayed(system: System) -> None:
    ids = dead(system)
    services = sorted(id.split(".")[1] for id in ids)
    assert services == ["alerting", "scoring", "scoring", "trigger"]

    [triggers] = [id for id in ids if ".trigger." in id]
    shown = system.afterword("dlq", "show", triggers)
    assert "reason: undecodable: not one of our messages" in shown.out
    assert r"value: \x1b[2J not JSON" in shown.out

    once = system.afterword("dlq", "replay", "responses.scoring.dlq:0")
    assert (once.code, once.out) == (0, "responses.scoring.dlq:0: handled\n")
    everything = system.afterword("dlq", "replay", "--all", "--service", "scoring")
    assert everything.code == 1
    assert "It failed again" in everything.out
    assert everything.out.endswith("1 handled, 1 failed again\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["show", "responses.scoring.dlq:99"], "There is no dead letter"),
        (["show", "../../etc/passwd"], "is not the id of a dead letter"),
        (["replay"], "name one dead letter, or give --all"),
    ],
)
def test_what_is_no_dead_letter_is_said(system: System, arguments: list[str], message: str) -> None:
    refused = system.afterword("dlq", *arguments)
    assert refused.code != 0
    assert message in refused.err


def test_doctor_tells_of_every_part_and_of_the_dead_letters(system: System) -> None:
    dead(system)
    deadline = time.monotonic() + 30
    while True:  # the offset is committed after the dead letter is written
        told = system.afterword("doctor")
        assert told.code == 0, told.out
        readers = ("trigger", "scoring", "alerting")
        if all(f"ok   {reader} reading responses: up to date" in told.out for reader in readers):
            break
        assert time.monotonic() < deadline, told.out
    for service in ("ingest", "trigger", "scoring", "alerting"):
        for part in ("database", "outbox", "log", "loop"):
            assert f"ok   {service} {part}: " in told.out
    assert "warn scoring dead letters: 2  (afterword dlq list --service scoring" in told.out
    assert "ok   ingest dead letters: none" in told.out


def test_doctor_fails_when_nobody_answers(system: System) -> None:
    nobody = System("", "", system.environment | {"AFTERWORD_URL": "http://127.0.0.1:9"})
    told = nobody.afterword("doctor")
    assert told.code == 1
    assert told.out.startswith("fail origin: ")
    assert "afterword dev" in told.out


def test_rebuilding_nothing_finds_nothing_drifted(system: System) -> None:
    told = system.afterword("scoring", "rebuild", "--dimension", "tier=data.tier", "--dry-run")
    assert (told.code, told.err) == (0, "")
    assert told.out.startswith("0 facts, 0 cells, none had drifted\n")
    assert "tier=data.tier" in told.out
    refused = system.afterword("scoring", "rebuild", "--dimension", "tier=nonsense.tier")
    assert refused.code == 1
    assert "tier" in refused.err


def test_what_is_kept_and_for_how_long_is_shown(system: System) -> None:
    shown = system.afterword("retention")
    assert shown.code == 0, shown.err
    lines = [line.split() for line in shown.out.replace(", ", ",").splitlines()]
    assert [line[:5] for line in lines[1:]] == [
        ["ingest", "answers", "responses", "for", "ever"],
        ["ingest", "invitations", "invitations", "400", "days"],
        ["trigger", "decisions", "decisions", "400", "days"],
        ["trigger", "invitations", "invitations", "400", "days"],
        ["trigger", "events", "seen", "40", "days"],
        ["scoring", "answers", "facts,answers", "for", "ever"],
        ["alerting", "deliveries", "deliveries,messages,attempts", "90", "days"],
        ["alerting", "answers", "alerts", "for", "ever"],
    ]


def test_what_is_old_can_be_let_go_of_at_once(system: System) -> None:
    done = system.afterword("retention", "--run")
    assert done.code == 0, done.err
    assert [line.split(":")[0] for line in done.out.splitlines()] == [
        "ingest",
        "trigger",
        "scoring",
        "alerting",
    ]
