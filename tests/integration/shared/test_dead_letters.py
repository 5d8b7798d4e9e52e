"""Dead letters are found again: by workspace however many others there are, and never by an id that is none."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from shared.contracts.topics import topic_specs
from shared.dead_letters import dead_letter, find_dead_letter, list_dead_letters
from shared.log import Log, Outgoing, Record
from shared.log.opening import open_log

TOPIC = "events"
LETTERS = "events.trigger.dlq"


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[Log]:
    async with open_log(f"sqlite:///{tmp_path / 'log'}") as log:
        await log.create_topics(topic_specs())
        yield log


async def _die(log: Log, *workspaces: str) -> None:
    records = [
        Record(TOPIC, 0, i, f"{name}/ann".encode(), b"{}", (), 1)
        for i, name in enumerate(workspaces)
    ]
    async with log.producer() as producer:
        await producer.send([dead_letter(record, "trigger", "broken") for record in records])


async def test_the_letters_of_others_leave_room_for_ours(log: Log) -> None:
    await _die(log, "acme", *["other"] * 700, "acme", *["other"] * 5)
    ours = await list_dead_letters(
        log, "trigger", [TOPIC], limit=3, wanted=lambda letter: letter.record.key == b"acme/ann"
    )
    assert [letter.record.offset for letter in ours] == [701, 0]


async def test_the_newest_come_first_and_no_more_than_asked_for(log: Log) -> None:
    await _die(log, *["acme"] * 20)
    newest = await list_dead_letters(log, "trigger", [TOPIC], limit=3, wanted=lambda _: True)
    assert [letter.record.offset for letter in newest] == [19, 18, 17]


@pytest.mark.parametrize("offset", ["7", "9" * 30, "9" * 5_000, "-1", "٣", "", "1.0"])
async def test_an_id_that_is_none_finds_nothing(log: Log, offset: str) -> None:
    await _die(log, "acme")
    assert await find_dead_letter(log, "trigger", [TOPIC], f"{LETTERS}:{offset}") is None


@pytest.mark.parametrize("part", ["key", "value", "headers"])
async def test_what_is_too_large_to_keep_leaves_its_origin(log: Log, part: str) -> None:
    large = b"x" * 1_040_000
    parts = {"key": b"k", "value": b"v", "headers": ()} | {
        part: large if part != "headers" else (("h", large),)
    }
    record = Record("acme-in", 3, 17, timestamp_ms=5, **parts)  # type: ignore[arg-type]
    await log.create_topics(topic_specs(["acme-in"]))
    async with log.producer() as producer:
        await producer.send([dead_letter(record, "ingest", "an event of at most 262,144 bytes")])
    [letter] = await list_dead_letters(log, "ingest", ["acme-in"], limit=3, wanted=lambda _: True)
    assert letter.record.at == record.at
    assert letter.record.offset == 17
    assert letter.reason.startswith("an event of at most 262,144 bytes")


async def test_the_largest_record_that_the_log_takes_is_kept_whole(log: Log) -> None:
    record = Record(TOPIC, 0, 0, b"acme/ann", b"x" * 999_900, (), 1)
    async with log.producer() as producer:
        await producer.send([Outgoing(TOPIC, b"acme/ann", b"x" * 999_900)])
        await producer.send([dead_letter(record, "trigger", "不" * 2_000)])
    found = await find_dead_letter(log, "trigger", [TOPIC], f"{LETTERS}:0")
    assert found is not None
    assert found.record == record
